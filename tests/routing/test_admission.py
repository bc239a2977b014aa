"""Admission of messages against counters: all or nothing, in order of arrival."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gateway.routing import replies
from gateway.routing.admission import Ledger, Tally
from gateway.routing.decision import Take
from gateway.routing.window import RollingHour

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MINUTE = int(NOW.timestamp()) // 60
RATE = Take("rate:address:1", 2, replies.RATE_EXCEEDED)
TENANT_RATE = Take("rate:tenant:1", 3, replies.TENANT_RATE_EXCEEDED)
STORAGE = Take("stored:tenant:1", 100, replies.STORAGE_FULL, is_storage=True)


def test_rate_admits_up_to_its_limit():
    ledger = Ledger({}, now=NOW)

    answers = [ledger.admit([RATE], 10) for _ in range(3)]

    assert answers == [None, None, replies.RATE_EXCEEDED]
    assert ledger.changed[RATE.counter].window.total == 2


def test_message_over_one_limit_takes_from_no_counter():
    ledger = Ledger({}, now=NOW)
    for _ in range(2):
        ledger.admit([RATE, TENANT_RATE], 10)

    assert ledger.admit([TENANT_RATE, RATE], 10) is replies.RATE_EXCEEDED
    assert ledger.changed[TENANT_RATE.counter].window.total == 2


def test_each_recipient_is_one_unit_and_storage_counts_the_message_once():
    ledger = Ledger({}, now=NOW)

    assert ledger.admit([RATE, STORAGE, RATE, STORAGE], 60) is None
    assert ledger.changed[RATE.counter].window.total == 2
    assert ledger.changed[STORAGE.counter].total == 60


def test_recipient_without_a_limit_lets_no_other_over_it():
    """postmaster's share of a message is never refused, yet it is the same octets."""
    exempt = replace(STORAGE, limit=None)

    assert Ledger({}, now=NOW).admit([exempt, STORAGE], 101) is replies.STORAGE_FULL
    assert Ledger({}, now=NOW).admit([STORAGE, exempt], 101) is replies.STORAGE_FULL
    assert Ledger({}, now=NOW).admit([exempt, STORAGE], 100) is None


def test_units_of_the_last_hour_count_and_older_ones_do_not():
    recent = Tally(RollingHour.of(MINUTE - 60, [2]))
    older = Tally(RollingHour.of(MINUTE - 61, [2]))

    assert Ledger({RATE.counter: recent}, now=NOW).admit([RATE], 1) is replies.RATE_EXCEEDED
    assert Ledger({RATE.counter: older}, now=NOW).admit([RATE], 1) is None


def test_full_storage_remembers_since_when():
    ledger = Ledger({STORAGE.counter: Tally(total=90)}, now=NOW)

    assert ledger.admit([STORAGE], 20) is replies.STORAGE_FULL
    assert ledger.changed[STORAGE.counter] == Tally(
        RollingHour().at(MINUTE), total=90, full_since=NOW
    )


FULL_FOR_DAYS = Tally(total=99, full_since=NOW - timedelta(days=4))
OTHERS = Take("stored:tenant:2", 100, replies.STORAGE_FULL, is_storage=True)


@pytest.mark.parametrize(
    ("takes", "tally", "reply"),
    [
        ([STORAGE], FULL_FOR_DAYS, replies.STORAGE_FULL_LONG),
        ([RATE, STORAGE], FULL_FOR_DAYS, replies.STORAGE_FULL_LONG),
        ([STORAGE], Tally(total=99, full_since=NOW - timedelta(days=2)), replies.STORAGE_FULL),
        ([STORAGE, OTHERS], FULL_FOR_DAYS, replies.STORAGE_FULL),
    ],
    ids=["for days", "beside a rate", "not yet", "others have room"],
)
def test_storage_that_is_full_for_days_refuses_for_good(takes, tally, reply):
    """A storage stands just below its limit then: what comes no longer fits."""
    assert Ledger({STORAGE.counter: tally}, now=NOW).admit(takes, 5) is reply


def test_mail_without_a_limit_leaves_full_storage_full():
    full = Tally(total=100, full_since=NOW - timedelta(days=1))
    ledger = Ledger({STORAGE.counter: full}, now=NOW)

    assert ledger.admit([replace(STORAGE, limit=None)], 20) is None
    assert ledger.changed[STORAGE.counter].full_since == full.full_since


def test_storage_with_room_again_forgets_since_when():
    tally = Tally(total=50, full_since=NOW - timedelta(days=1))
    ledger = Ledger({STORAGE.counter: tally}, now=NOW)

    assert ledger.admit([STORAGE], 20) is None
    assert ledger.changed[STORAGE.counter].full_since is None


@given(
    moments=st.lists(st.integers(0, 3 * 3600), min_size=1, max_size=200),
    limit=st.integers(1, 20),
)
def test_no_rolling_hour_ever_exceeds_the_limit(moments: list[int], limit: int):
    take = Take("rate:address:1", limit, replies.RATE_EXCEEDED)
    tally, admitted = Tally(), []
    for second in sorted(moments):
        ledger = Ledger({take.counter: tally}, now=NOW + timedelta(seconds=second))
        if ledger.admit([take], 1) is None:
            admitted.append(second)
            tally = ledger.changed[take.counter]

    for start in admitted:
        assert sum(start <= second < start + 3600 for second in admitted) <= limit
