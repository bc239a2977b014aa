"""“Check now” says each time what came of it, and asks other people's name servers politely."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.messages import ERROR, INFO, SUCCESS, WARNING
from django.db import DataError, connection
from django.test import Client
from django.utils import timezone

from tenants import lock, services
from tenants.admin.check_now import check_now, tell
from tenants.admin.records import print_ttl
from tenants.changes import Actor
from tenants.models import Domain, DomainCheck
from tests.tenants.memory_resolver import MemoryResolver
from tests.world import World

ACTOR = Actor.system("test", surface="admin")
NOW = timezone.now()
MX, SPF = ("mx", "a.example"), ("spf", "a.example")
STS = ("mta-sts", "_mta-sts.a.example")
GOOD = {MX: "present", SPF: "present"}


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> MemoryResolver:
    """What all name servers say; nothing at first."""
    made = MemoryResolver()
    monkeypatch.setattr(services, "configured_resolver", lambda **_: made)
    return made


TOLD = [
    # state before, found before, found now, how loud, what is said
    ("active", GOOD, GOOD, SUCCESS, "stays active. Nothing has changed."),
    ("pending", GOOD, GOOD, SUCCESS, "was pending and is active now. Nothing has changed."),
    ("active", {}, GOOD, SUCCESS, "stays active. What was found stands below."),
    ("active", GOOD | {SPF: "absent"}, GOOD, SUCCESS, "SPF is present, was absent."),
    ("active", GOOD, GOOD | {MX: "wrong"}, WARNING, "MX is wrong, was present; 1 of 2 needed"),
    (
        "active",
        GOOD | {MX: "wrong"},
        GOOD | {MX: "wrong"},
        WARNING,
        "Nothing has changed; 1 of 2 needed records are not as they should be.",
    ),
    ("active", GOOD, GOOD | {STS: "wrong"}, SUCCESS, "MTA-STS is wrong."),
    ("active", GOOD, {MX: "unknown", SPF: "unknown"}, WARNING, "No name server gave an answer"),
]


@pytest.mark.parametrize(("was", "before", "after", "level", "text"), TOLD)
def test_what_a_check_changed_is_told(
    was: str, before: dict, after: dict, level: int, text: str
) -> None:
    told = tell(Domain(name="a.example", state=Domain.State.ACTIVE), was, before, after)
    assert told.level == level
    assert text in told.text
    assert told.text.startswith("Checked: a.example ")


def test_a_second_press_asks_nobody_and_says_when_it_would(
    world: World, resolver: MemoryResolver
) -> None:
    check_now(world.domain, actor=ACTOR, now=NOW)
    asked = resolver.questions
    told = check_now(world.domain, actor=ACTOR, now=NOW + timedelta(seconds=4))
    assert told.level == INFO
    assert "checked a moment ago" in told.text
    assert "Ask again in 6 s" in told.text
    assert resolver.questions == asked
    told = check_now(world.domain, actor=ACTOR, now=NOW + timedelta(seconds=10))
    assert told.text.startswith("Checked:")


def test_a_check_that_runs_already_is_told(world: World, resolver: MemoryResolver) -> None:
    with ThreadPoolExecutor(1) as pool:

        def hold(query: str) -> None:
            with connection.cursor() as cursor:
                cursor.execute(query, [lock.DNS_CHECK, world.domain.pk])

        try:
            pool.submit(hold, "SELECT pg_advisory_lock(%s, %s)").result()
            told = check_now(world.domain, actor=ACTOR, now=NOW)
        finally:
            pool.submit(connection_close).result()
    assert (told.level, resolver.questions) == (INFO, 0)
    assert "runs at this moment" in told.text


def connection_close() -> None:
    connection.close()


def test_a_check_that_breaks_off_is_told_and_changes_nothing(
    world: World, resolver: MemoryResolver, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_now(world.domain, actor=ACTOR, now=NOW)
    move, later = services._move, NOW + timedelta(hours=1)

    def break_off(domain: Domain, state: str, reason: str, actor: Actor) -> str:
        monkeypatch.setattr(services, "_move", move)
        raise DataError("a NUL")

    monkeypatch.setattr(services, "_move", break_off)
    told = check_now(world.domain, actor=ACTOR, now=later)
    assert "No name server gave an answer, which changes nothing" in told.text
    rows = DomainCheck.objects.filter(domain=world.domain)
    assert set(rows.values_list("state", "checked_at", "unknown_times")) == {("unknown", later, 1)}
    assert all("log" in check.advice for check in rows)


def test_without_a_resolver_the_mend_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> None:
        raise ValueError("The system names no DNS resolver; set DNS_RESOLVERS.")

    monkeypatch.setattr(services, "configured_resolver", refuse)
    told = check_now(world.domain, actor=ACTOR, now=NOW)
    assert (told.level, told.text) == (
        ERROR,
        "The system names no DNS resolver; set DNS_RESOLVERS.",
    )


def test_the_page_shows_each_name_server_with_its_state_and_ttl(
    client: Client, world: World, resolver: MemoryResolver
) -> None:
    mx = services.expected_of(world.domain)[1]
    resolver.records[mx.name, "MX"] = mx.values
    page = client.post(f"/admin/tenants/domain/{world.domain.pk}/check-now/", follow=True)
    text = page.content.decode()
    assert "Checked: a.example stays active. What was found stands below" in text
    assert "300 s" in text
    assert "ns1.test" in text
    check = DomainCheck.objects.get(domain=world.domain, kind="mx")
    assert [line["state"] for line in check.evidence] == ["present"]


def test_what_is_only_worth_having_is_no_alarm(
    client: Client, world: World, resolver: MemoryResolver
) -> None:
    check_now(world.domain, actor=ACTOR, now=NOW)
    page = client.get(world.domain.get_absolute_url())
    colours = {row.expected.kind.value: row.colour for row in page.context_data["records"]}
    assert (colours["mta-sts"], colours["tls-rpt"], colours["mx"]) == (
        "default",
        "default",
        "danger",
    )
    assert "https://mta-sts.a.example/.well-known/mta-sts.txt" in page.content.decode()
    assert "version: STSv1" in page.content.decode()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "—"), (0, "0 s"), (300, "300 s"), (3600, "1 h"), (5400, "5400 s"), (172800, "2 d")],
)
def test_a_ttl_reads_in_its_largest_unit(seconds: int | None, text: str) -> None:
    assert print_ttl(seconds) == text
