"""Gateways and workers of one version beside a database, and rows, of the next one.

What they have prepared goes on when columns come and go; a row that only a newer version can read
waits for it, and so does one that leads to too many places; both hold up nobody else.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.apps import apps
from django.db import connection

from gateway.delivery.pump import Drain
from gateway.directory import postgres
from gateway.models import Delivery
from gateway.routing import replies
from gateway.routing.address import Address
from gateway.routing.facts import Facts, LookupFailed, Session
from gateway.routing.resolve import resolve
from tenants import changes
from tenants.models import Alias, SubaddressRule, Target
from tests.gateway.live import LiveGateway, live_gateway
from tests.gateway.sink import Sink
from tests.gateway.stage import ACTOR, Stage
from tests.waiting import wait_until

COLUMN = "of_the_next_version"


@contextmanager
def worker() -> Iterator[Drain]:
    """A worker's drain that stays with its connections until it is woken."""
    drain = Drain(linger_seconds=60)
    thread = threading.Thread(target=drain.run)
    thread.start()
    try:
        yield drain
    finally:
        drain.stop()
        thread.join()


def alter_all(action: str) -> None:
    """Change every table of the project at once, as far as gateways and workers may read it."""
    models = [model for app in ("tenants", "gateway") for model in apps.get_app_config(app).models]
    tables = {
        apps.get_model(app, name)._meta.db_table
        for app in ("tenants", "gateway")
        for name in apps.get_app_config(app).models
    } & set(connection.introspection.table_names())
    assert len(tables) > 40, models
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"ALTER TABLE {table} {action}" for table in sorted(tables)))


def deliver(gateway: LiveGateway, drain: Drain, recipient: str) -> None:
    """One message all the way, and one refusal."""
    assert gateway.send(recipient).startswith("250")
    assert gateway.send(f"no-{recipient}") == str(replies.UNKNOWN_ADDRESS)
    gateway.flush_refusals()
    drain.wake()
    sent = Delivery.objects.filter(record__recipient=recipient)
    wait_until(lambda: not sent.exclude(state="delivered").exists())


@pytest.mark.usefixtures("mail", "socket_enabled")
def test_columns_that_come_and_go_beside_running_processes_change_nothing(
    stage: Stage, sink: Sink
) -> None:
    box = stage.mailbox("box@store.example", port=sink.port)
    alias = stage.alias("hello", Target(kind="mailbox", mailbox=box), rate_per_hour=100)
    recipient = stage.address("hello")
    with live_gateway() as gateway, worker() as drain:
        deliver(gateway, drain, recipient)
        alter_all(f"ADD COLUMN {COLUMN} text")
        try:
            deliver(gateway, drain, recipient)
            alias.note = "changed"
            changes.save(alias, actor=ACTOR)
        finally:
            alter_all(f"DROP COLUMN {COLUMN}")
        deliver(gateway, drain, recipient)

    assert len(sink.received) == 3


def test_row_of_a_newer_version_defers_its_own_recipient_alone(
    gateway: LiveGateway, stage: Stage
) -> None:
    stage.alias("hello")
    rule = SubaddressRule(address=stage.alias("newer"), detail="x", action="refuse")
    changes.save(rule, actor=ACTOR)
    SubaddressRule.objects.filter(pk=rule.pk).update(action="postpone")
    known, newer = stage.address("hello"), stage.address("newer+x")

    found = facts_of(gateway, [known, newer, known, known])

    assert [isinstance(each, LookupFailed) for each in found] == [False, True, False, False]
    with gateway.connect() as wire:
        wire.command("MAIL FROM:<>")
        assert wire.command(f"RCPT TO:<{newer}>") == str(replies.TROUBLE)
        assert wire.command(f"RCPT TO:<{known}>").startswith("250")


def test_target_that_cannot_be_read_defers_its_own_recipient_alone(
    gateway: LiveGateway, stage: Stage
) -> None:
    stage.alias("hello")
    broken = stage.alias("broken", Target(kind="forward", forward_to="carl@elsewhere.example"))
    Target.objects.filter(address=broken).update(forward_to="carl @elsewhere.example")

    found = facts_of(gateway, [stage.address("hello"), broken.key, stage.address("hello")])

    assert [isinstance(each, LookupFailed) for each in found] == [False, True, False]


def test_address_that_leads_to_too_many_places_is_read_in_part_and_delays_nobody_else(
    gateway: LiveGateway, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "MOST_FORWARDS", 3)
    for number in range(6):
        stage.alias(f"end{number}")
    ends = [stage.address(f"end{number}") for number in range(6)]
    stage.alias("narrow", Target(kind="forward", forward_to=ends[0]))
    stage.alias("wide", *(Target(kind="forward", forward_to=end) for end in ends))
    names = ["narrow", "wide", "narrow", "end5"]

    found = facts_of(gateway, [stage.address(name) for name in names])

    answers = {
        name: resolve(Address.parse(stage.address(name)), Session(None), facts).reply.reason
        for name, facts in zip(names, found, strict=True)
        if isinstance(facts, Facts)
    }
    assert answers == {"narrow": "accepted", "wide": "too-wide", "end5": "accepted"}


def facts_of(gateway: LiveGateway, texts: list[str]) -> list[Facts | BaseException]:
    """What look-ups that share one question get."""

    async def look() -> list[Facts | BaseException]:
        async def one(text: str) -> Facts:
            return await gateway.server.services.directory.facts([Address.parse(text)])

        return await asyncio.gather(*map(one, texts), return_exceptions=True)

    return asyncio.run_coroutine_threadsafe(look(), gateway.loop).result(10)


def test_target_of_a_newer_version_is_kept_for_a_worker_that_knows_it(
    gateway: LiveGateway, stage: Stage
) -> None:
    alias: Alias = stage.alias("hello")
    Target.objects.filter(address=alias).update(kind="carrier pigeon")

    assert gateway.send(stage.address("hello")).startswith("250")
    assert Delivery.objects.get(record__domain=stage.domain).kind == "carrier pigeon"
