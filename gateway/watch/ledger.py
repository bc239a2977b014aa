"""Open alarms and new findings in, what becomes of each alarm out.

Pure. An alarm that is not found any more closes once it has been clear for CLEAR_AFTER, and goes on
where it is found again before.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Generic, TypeVar

from gateway.watch.facts import Finding, Severity

CLEAR_AFTER = timedelta(minutes=5)
Id = TypeVar("Id", bound=Hashable)


class Turn(StrEnum):
    """What becomes of an alarm."""

    OPENED = "opened"
    WORSENED = "worsened"
    EASED = "eased"
    SEEN = "seen"
    CLEARED = "cleared"  # not found now; it may close later
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Open(Generic[Id]):
    """An alarm that is open."""

    id: Id
    severity: Severity
    clear_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change(Generic[Id]):
    """One alarm's turn; a new one has no id, one that was not found no finding."""

    turn: Turn
    id: Id | None = None
    finding: Finding | None = None


def settle(
    alarms: Mapping[tuple[str, str], Open[Id]], findings: Sequence[Finding], *, now: datetime
) -> list[Change[Id]]:
    """A change for each alarm that is open or has to be, those that are found first."""
    found = {finding.key: finding for finding in findings}
    changes = [_found(alarms.get(key), finding) for key, finding in found.items()]
    gone = [_gone(alarm, now) for key, alarm in alarms.items() if key not in found]
    return changes + gone


def _found(alarm: Open[Id] | None, finding: Finding) -> Change[Id]:
    if alarm is None:
        return Change(Turn.OPENED, finding=finding)
    if finding.severity == alarm.severity:
        return Change(Turn.SEEN, alarm.id, finding)
    is_worse = finding.severity > alarm.severity
    return Change(Turn.WORSENED if is_worse else Turn.EASED, alarm.id, finding)


def _gone(alarm: Open[Id], now: datetime) -> Change[Id]:
    is_over = alarm.clear_since is not None and now - alarm.clear_since >= CLEAR_AFTER
    return Change(Turn.CLOSED if is_over else Turn.CLEARED, alarm.id)
