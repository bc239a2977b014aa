"""Alarms open, become worse, ease and close; one that comes back before it closed goes on."""

from datetime import UTC, datetime

import pytest

from gateway.watch.facts import Finding, Kind, Severity
from gateway.watch.ledger import CLEAR_AFTER, Open, Turn, settle

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
KEY = ("queue", "queue")


def finding(severity: Severity = Severity.WARNING) -> Finding:
    return Finding(Kind.QUEUE, "queue", severity, "Mail waits", "since noon")


@pytest.mark.parametrize(
    ("alarm", "found", "turn"),
    [
        (None, finding(), Turn.OPENED),
        (Open(1, Severity.WARNING), finding(), Turn.SEEN),
        (Open(1, Severity.WARNING), finding(Severity.CRITICAL), Turn.WORSENED),
        (Open(1, Severity.CRITICAL), finding(), Turn.EASED),
        (Open(1, Severity.WARNING, NOW - CLEAR_AFTER), finding(), Turn.SEEN),
        (Open(1, Severity.WARNING), None, Turn.CLEARED),
        (Open(1, Severity.WARNING, NOW - CLEAR_AFTER / 2), None, Turn.CLEARED),
        (Open(1, Severity.WARNING, NOW - CLEAR_AFTER), None, Turn.CLOSED),
    ],
)
def test_turn_follows_from_what_is_open_and_what_is_found(
    alarm: Open[int] | None, found: Finding | None, turn: Turn
) -> None:
    alarms = {KEY: alarm} if alarm else {}
    [change] = settle(alarms, [found] if found else [], now=NOW)
    assert change.turn is turn
    assert change.id == (alarm.id if alarm else None)
    assert change.finding == found


def test_nothing_open_and_nothing_found_is_no_change() -> None:
    assert settle({}, [], now=NOW) == []
