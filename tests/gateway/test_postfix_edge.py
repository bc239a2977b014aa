"""Debian's Postfix in front, with the lines that operators are given: it answers as the gateway."""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from gateway.models import Message, RoutingRecord
from gateway.routing.facts import LookupFailed
from tenants import changes
from tenants.models import SubaddressRule, Target, Tenant
from tests.gateway import edge, peers
from tests.gateway.live import TIMEOUT_SECONDS, LiveGateway, Wire, live_gateway
from tests.gateway.sink import Sink, running
from tests.gateway.stage import ACTOR, Stage
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.needs("postfix", "root"),
    pytest.mark.usefixtures("socket_enabled"),
]
CONTENT = b"From: ann@sender.example\r\nSubject: x\r\n\r\nhello\r\n"


@dataclass(slots=True)
class Front:
    """A Postfix, the listener that it asks, and the gateway behind both."""

    postfix: edge.Edge
    lookups: edge.LiveLookups
    gateway: LiveGateway

    def connect(self) -> Wire:
        address = ("127.0.0.1", self.postfix.port)
        wire = Wire(socket.create_connection(address, TIMEOUT_SECONDS))
        wire.talk("S: 220 \nC: EHLO client.example\nS: 250 ")
        return wire

    def send(self, recipient: str, **said: Any) -> str:
        """One message; the reply that decided it."""
        with self.connect() as wire:
            return send(wire, recipient, **said)

    def deliver(self) -> None:
        """Wait until Postfix has handed over everything."""
        wait_until(lambda: self.postfix.is_empty, seconds=60)


@pytest.fixture
def front(database: None) -> Iterator[Front]:
    with ExitStack() as stack:
        gateway = stack.enter_context(live_gateway())
        lookups = stack.enter_context(edge.lookups(gateway.port))
        postfix = stack.enter_context(edge.postfix(f"inet:127.0.0.1:{lookups.port}"))
        yield Front(postfix, lookups, gateway)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with running(Sink()) as listening:
        yield listening


def send(
    wire: Wire,
    recipient: str,
    *,
    sender: str = "ann@sender.example",
    parameters: str = "",
    content: bytes = CONTENT,
) -> str:
    for command in (f"MAIL FROM:<{sender}>{parameters}", f"RCPT TO:<{recipient}>", "DATA"):
        reply = wire.command(command)
        if reply[0] in "45":
            return reply
    return wire.send_content(content)


def code_of(reply: str) -> str:
    """Code and enhanced code."""
    return " ".join(reply.split(" ")[:2])


def text_of(reply: str) -> str:
    """What a refusal says, without the address and the stage that Postfix puts before it."""
    return re.sub(r"<[^>]*>: [\w -]+ rejected: ", "", reply.split(" ", 2)[2])


def to_mailbox(stage: Stage, port: int, name: str = "team@store.example") -> Target:
    return Target(kind="mailbox", mailbox=stage.mailbox(name, port=port))


# --- one table of addresses, answered twice ----------------------------------


def cast(stage: Stage, port: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """Addresses of every kind, and what is said about a message to each."""
    box = to_mailbox(stage, port).mailbox

    def alias(name: str, **fields: Any) -> Any:
        return stage.alias(name, Target(kind="mailbox", mailbox=box), **fields)

    hello = alias("hello")
    changes.save(SubaddressRule(address=hello, detail="spam", action="refuse"), actor=ACTOR)
    alias("off", enabled=False)
    alias("moment", expires_at=timezone.now() - timedelta(hours=1))
    alias("small", max_message_octets=1000)
    alias("busy", rate_per_hour=0)
    alias("partners", allowed_senders=["@partner.example"])
    stage.role("support", holder=box)
    stage.add_domain(f"pending.{stage.domain.name}", state="pending")
    suspended, closed = Stage(), Stage()
    for other, state in ((suspended, Tenant.State.SUSPENDED), (closed, Tenant.State.CLOSED)):
        other.alias("hello")
        other.tenant.state = state
        changes.save(other.tenant, actor=ACTOR)
    large = b"Subject: x\r\n\r\n" + b"x" * 1000 + b"\r\n"
    at = stage.address
    return {
        "known": (at("hello"), {}),
        "known in capitals": (at("HELLO").upper(), {}),
        "quoted": (f'"hello"@{stage.domain.name}', {}),
        "stored inbox, null sender": (at("hello"), {"sender": ""}),
        "subaddress": (at("hello+news"), {}),
        "subaddress whose rule refuses": (at("hello+spam"), {}),
        "unknown": (at("nobody"), {}),
        "disabled": (at("off"), {}),
        "expired": (at("moment"), {}),
        "suspended": (suspended.address("hello"), {}),
        "closed": (closed.address("hello"), {}),
        "size, declared": (at("small"), {"parameters": " SIZE=1001"}),
        "size, not declared": (at("small"), {"content": large}),
        "size of the system": (at("hello"), {"parameters": " SIZE=50000001"}),
        "rate": (at("busy"), {}),
        "role": (at("support"), {}),
        "postmaster of the domain": (at("postmaster"), {}),
        "abuse of the domain": (at("abuse"), {}),
        "postmaster of nowhere": ("postmaster", {}),
        "postmaster of the bounce domain": ("postmaster@bounce.localhost", {}),
        "forged return path": ("SRS0=aaaaaaaa=aa=x.example=jo@bounce.localhost", {"sender": ""}),
        "sender not allowed": (at("partners"), {}),
        "sender allowed": (at("partners"), {"sender": "jo@partner.example"}),
        "null sender where a list stands": (at("partners"), {"sender": ""}),
        "not our domain": ("jo@elsewhere.example", {}),
        "pending domain": (f"hello@pending.{stage.domain.name}", {}),
        "subdomain of ours": (f"hello@sub.{stage.domain.name}", {}),
        "percent hack": (f"jo%elsewhere.example@{stage.domain.name}", {}),
        "bang path": (f"elsewhere.example!jo@{stage.domain.name}", {}),
        "source route": (f"@elsewhere.example:{at('hello')}", {}),
        "source route to others": (f"@{stage.domain.name}:jo@elsewhere.example", {}),
        "quoted address of others": (f'"jo@elsewhere.example"@{stage.domain.name}', {}),
        "address literal": ("jo@[127.0.0.1]", {}),
    }


def test_postfix_answers_as_the_gateway(stage: Stage, front: Front, sink: Sink) -> None:
    different = {}
    for case, (recipient, said) in cast(stage, sink.port).items():
        with front.gateway.connect() as wire:
            ours = send(wire, recipient, **said)
        theirs = front.send(recipient, **said)
        same = code_of(ours) == code_of(theirs)
        if ours[0] in "45":
            same = same and text_of(ours) == text_of(theirs)
        if not same:
            different[case] = (ours, theirs)

    assert different == {}
    front.deliver()
    assert "status=bounced" not in front.postfix.log


# --- where mail goes -----------------------------------------------------------


def test_mail_reaches_the_mailbox_by_its_own_address(
    stage: Stage, front: Front, sink: Sink
) -> None:
    stage.alias("team", to_mailbox(stage, sink.port, stage.address("jo")))
    stage.alias("jo", to_mailbox(stage, sink.port, "other@store.example"))

    assert front.send(stage.address("Team+x")).startswith("250 ")
    front.deliver()

    [received] = sink.received
    assert received.recipients == (stage.address("jo"),)
    assert received.sender == "ann@sender.example"
    assert received.octets.endswith(b"\r\n\r\nhello\r\n")
    assert b".invalid" not in received.octets


def test_every_target_gets_the_message(stage: Stage, front: Front, sink: Sink) -> None:
    names = {f"{name}@store.example" for name in "abc"}
    stage.alias("all", *(to_mailbox(stage, sink.port, name) for name in sorted(names)))

    front.send(stage.address("all"))
    front.deliver()

    assert {name for each in sink.received for name in each.recipients} == names


def test_postfix_s_own_sink_gets_it(stage: Stage, front: Front) -> None:
    with peers.smtp_sink() as (port, folder):
        stage.alias("hello", to_mailbox(stage, port))

        front.send(stage.address("hello"))
        front.deliver()

        [path] = folder.iterdir()
        assert path.read_bytes().rstrip().endswith(b"hello")


@pytest.mark.needs("dovecot")
def test_dovecot_gets_it_by_lmtp(stage: Stage, front: Front) -> None:
    with peers.dovecot() as (port, folder):
        box = stage.mailbox("team@store.example", port=port, protocol="lmtp")
        stage.alias("hello", Target(kind="mailbox", mailbox=box))

        front.send(stage.address("hello"))
        front.deliver()

        [path] = (folder / "team@store.example" / "new").iterdir()
        assert path.read_bytes().endswith(b"hello\n")


def test_stored_inbox_is_reached_through_the_gateway(stage: Stage, front: Front) -> None:
    stage.alias("stored", rate_per_hour=1)

    assert front.send(stage.address("stored")).startswith("250 ")
    front.deliver()

    record = RoutingRecord.objects.get(key=stage.address("stored"))
    assert record.accepted
    assert Message.objects.get(id=record.message_id).sender == "ann@sender.example"
    assert front.send(stage.address("stored")).startswith("450 4.2.1 ")


def test_address_disabled_now_is_refused_by_the_next_rcpt(
    stage: Stage, front: Front, sink: Sink
) -> None:
    alias = stage.alias("hello", to_mailbox(stage, sink.port))
    with front.connect() as wire:
        assert send(wire, stage.address("hello")).startswith("250 ")
        for is_enabled in [False, True] * 3:
            alias.enabled = is_enabled
            changes.save(alias, actor=ACTOR)
            reply = send(wire, stage.address("hello"))
            wire.command("RSET")
            assert code_of(reply) == ("250 2.0.0" if is_enabled else "550 5.2.1")


def test_hourly_limit_is_exact(stage: Stage, front: Front, sink: Sink) -> None:
    stage.alias("busy", to_mailbox(stage, sink.port), rate_per_hour=3)

    replies = [code_of(front.send(stage.address("busy"))) for _ in range(5)]

    assert replies == ["250 2.0.0"] * 3 + ["450 4.2.1"] * 2


@pytest.mark.parametrize(("octets", "code"), [(1000, "250 2.0.0"), (1001, "552 5.2.3")])
def test_size_is_the_same_to_the_octet(
    stage: Stage, front: Front, sink: Sink, octets: int, code: str
) -> None:
    stage.alias("small", to_mailbox(stage, sink.port), max_message_octets=1000)
    head = b"Subject: x\r\n\r\n"
    content = head + b"x" * (octets - len(head) - 2) + b"\r\n"

    assert code_of(front.send(stage.address("small"), content=content)) == code
    assert code_of(front.gateway.send(stage.address("small"), content)) == code


# --- while something is away ----------------------------------------------------


def test_panel_away_postfix_defers_and_takes_it_afterwards(
    stage: Stage, front: Front, sink: Sink
) -> None:
    stage.alias("hello", to_mailbox(stage, sink.port))
    assert front.send(stage.address("hello")).startswith("250 ")
    front.lookups.stop()

    away = front.send(stage.address("hello"))
    front.lookups.start()
    back = front.send(stage.address("hello"))
    front.deliver()

    assert code_of(away) == "451 4.3.0"
    assert text_of(away) == "Local trouble, please try again later"
    assert back.startswith("250 ")
    assert len(sink.received) == 2


def test_panel_away_mail_in_the_queue_waits_and_is_delivered(
    stage: Stage, front: Front, sink: Sink
) -> None:
    names = ("a@store.example", "b@store.example")
    for name in names:
        sink.script.recipients[name] = "451 4.2.0 busy"
        stage.alias(name[0], to_mailbox(stage, sink.port, name))
        assert front.send(stage.address(name[0])).startswith("250 ")
    wait_until(lambda: front.postfix.log.count("451 4.2.0 busy") >= 2, seconds=60)

    front.lookups.stop()
    resolving = "status=deferred (address resolver failure)"
    wait_until(lambda: resolving in front.postfix.log, seconds=60)
    sink.script.recipients.clear()
    front.lookups.start()
    front.postfix.reload()
    front.deliver()

    assert {name for each in sink.received for name in each.recipients} == set(names)
    assert "status=bounced" not in front.postfix.log


def test_database_away_postfix_says_what_the_gateway_says(
    stage: Stage, front: Front, sink: Sink
) -> None:
    class Failing:
        async def facts(self, _recipients: object) -> None:
            raise LookupFailed("away")

    stage.alias("hello", to_mailbox(stage, sink.port))
    policy = front.lookups.server.policy
    real, policy._directory = policy._directory, Failing()  # type: ignore[assignment]

    reply = front.send(stage.address("hello"))
    policy._directory = real

    assert code_of(reply) == "451 4.3.0"
    assert text_of(reply) == "Local trouble, please try again later"
    assert front.send(stage.address("hello")).startswith("250 ")


def test_refusals_of_postfix_are_on_record(stage: Stage, front: Front) -> None:
    front.send(stage.address("nobody"))
    front.lookups.flush_refusals()

    record = RoutingRecord.objects.get(domain=stage.domain)
    assert (record.reason, record.client) == ("unknown-address", "127.0.0.1")
    assert record.queue_id


def test_lines_for_operators_are_those_that_are_printed(tmp_path: Path) -> None:
    from io import StringIO

    from django.core.management import call_command

    for name in ("main.cf", "master.cf", "panel-mailboxes"):
        printed = StringIO()
        call_command("postfix_config", name, stdout=printed)
        kept = Path(__file__).parents[2] / "deploy" / "postfix" / name
        assert kept.read_text() == printed.getvalue()
