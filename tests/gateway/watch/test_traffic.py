"""Counts over time: exact once, whatever is late, repeated or interrupted."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from gateway.watch import figures, traffic
from gateway.watch.figures import WINDOWS, Outcome
from gateway.watch.models import RefusedName, TrafficCount
from tests.gateway.watch.mail import record, refusals
from tests.world import World

NOW = datetime(2026, 3, 1, 12, 30, 20, tzinfo=UTC)
Span = TrafficCount.Span


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def total(span: str, *, tenant_id: int = 0, **about: object) -> int:
    rows = TrafficCount.objects.filter(span=span, tenant_id=tenant_id, **about)
    return rows.aggregate(n=Sum("count"))["n"] or 0


def totals(**about: object) -> list[int]:
    return [total(span, **about) for span in (Span.MINUTE, Span.HOUR, Span.DAY)]


def test_what_was_accepted_and_refused_is_counted_by_minute_hour_and_day(world: World) -> None:
    record(ago(seconds=1), tenant=world.a)
    record(ago(seconds=90), tenant=world.a)
    record(ago(hours=2), tenant=world.b)
    record(ago(seconds=2), is_accepted=False)  # a sample: counts of refusals have it already
    refusals(ago(minutes=1), "unknown-address", 7)
    refusals(ago(minutes=1), "rate", 2)
    refusals(ago(minutes=1), "relay-denied", 5, domain="")
    traffic.fold(NOW)
    assert totals(outcome=Outcome.ACCEPTED) == [3, 3, 3]
    assert totals(outcome=Outcome.REFUSED) == [12, 12, 12]
    assert totals(outcome=Outcome.DEFERRED, reason="rate") == [2, 2, 2]
    assert totals(tenant_id=world.a.pk, outcome=Outcome.ACCEPTED) == [2, 2, 2]
    assert totals(tenant_id=world.a.pk, outcome=Outcome.REFUSED) == [7, 7, 7]
    minutes = TrafficCount.objects.filter(span=Span.MINUTE, tenant_id=0, outcome="accepted")
    assert sorted(row.start for row in minutes) == [
        datetime(2026, 3, 1, 10, 30, tzinfo=UTC),
        datetime(2026, 3, 1, 12, 28, tzinfo=UTC),
        datetime(2026, 3, 1, 12, 30, tzinfo=UTC),
    ]


def test_counting_twice_counts_once_and_what_was_committed_late_counts(world: World) -> None:
    record(ago(minutes=1))
    refusals(ago(minutes=2), "rate", 1)
    traffic.fold(NOW)
    traffic.fold(NOW)
    assert totals() == [2, 2, 2]
    record(ago(minutes=4))
    traffic.fold(NOW + timedelta(seconds=30))
    assert totals() == [3, 3, 3]


def test_counting_that_is_interrupted_goes_on_where_it_ended(world: World) -> None:
    for hours in (20, 10, 1):
        record(ago(hours=hours))
    reached = [traffic.fold(NOW, has_time=lambda: False) for _ in range(4)]
    assert reached == sorted(reached)
    assert reached[0] < reached[-1] == NOW
    assert totals() == [3, 3, 3]
    assert figures.counted_until() == NOW


def test_settled_minutes_are_not_read_again(world: World) -> None:
    record(ago(minutes=1))
    traffic.fold(NOW)
    later = NOW + timedelta(hours=1)
    traffic.fold(later)
    record(ago(minutes=1))  # an hour late: nobody waits that long
    traffic.fold(later + timedelta(minutes=1))
    assert totals() == [1, 1, 1]


def test_most_refused_of_an_hour_are_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "NAMES_AN_HOUR", 2)
    for name, count in (("often", 3), ("twice", 2), ("once", 1)):
        for _ in range(count):
            record(ago(minutes=1), is_accepted=False, key=f"{name}@a.example", client="192.0.2.9")
    traffic.fold(NOW)
    traffic.fold(NOW)
    recipients = RefusedName.objects.filter(role="recipient").values_list("name", "count")
    assert list(recipients) == [("often@a.example", 3), ("twice@a.example", 2)]
    top = figures.top_refused("client", WINDOWS["24h"], now=NOW)
    assert [(each.name, each.count) for each in top] == [("192.0.2.9", 6)]


def test_old_counts_are_forgotten_finer_ones_first(world: World) -> None:
    record(ago(days=3))
    traffic.fold(ago(days=2, hours=23))
    assert totals() == [1, 1, 1]
    traffic.fold(NOW)
    assert totals() == [0, 1, 1]


@pytest.mark.parametrize("name", WINDOWS)
def test_window_shows_what_came_in_it_in_one_query(world: World, name: str) -> None:
    record(ago(minutes=1))
    record(ago(hours=5))
    record(ago(days=20))
    refusals(ago(minutes=3), "spam", 4)
    while traffic.fold(NOW) != NOW:
        pass
    with CaptureQueriesContext(connection) as captured:
        shown = figures.traffic(WINDOWS[name], now=NOW)
    assert len(captured) == 1
    assert shown.total(Outcome.ACCEPTED) == {"1h": 1, "24h": 2, "7d": 2, "30d": 3}[name]
    assert shown.by_reason(Outcome.REFUSED)[0][0] == "spam"
    assert shown.total(Outcome.REFUSED) == 4
    assert len(shown.bars) in range(30, 125)


def test_busiest_tenants_come_first(world: World) -> None:
    for tenant in (world.b, world.b, world.a):
        record(ago(minutes=1), tenant=tenant)
    traffic.fold(NOW)
    for window in WINDOWS.values():
        named = figures.top_tenants(window, now=NOW)
        assert [(each.name, each.count) for each in named] == [("B", 2), ("A", 1)]


def test_tenants_are_ranked_by_refusals_on_their_domains_too(world: World) -> None:
    refusals(ago(minutes=1), "unknown-address", 4)
    refusals(ago(minutes=1), "spam", 5, domain="b.example")
    refusals(ago(minutes=1), "rate", 99)
    refusals(ago(minutes=1), "relay-denied", 99, domain="")
    traffic.fold(NOW)
    for window in WINDOWS.values():
        named = figures.top_tenants(window, now=NOW, outcome=Outcome.REFUSED)
        assert [(each.name, each.count) for each in named] == [("B", 5), ("A", 4)]


def test_id_range_of_a_minute_holds_what_was_made_in_it() -> None:
    minute = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    first, last = (
        record_id(minute),
        record_id(minute + timedelta(minutes=1) - timedelta(milliseconds=1)),
    )
    least, end = traffic._least_id(minute), traffic._least_id(minute + timedelta(minutes=1))
    assert least <= first <= last < end


def record_id(at: datetime) -> str:
    from gateway.ids import uuid7

    return str(uuid7(now_ms=int(at.timestamp() * 1000)))
