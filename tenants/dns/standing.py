"""When what was found changes the state of a domain.

Rule of this file: pure, slow down and quick up. Unknown changes nothing, absence must last,
presence counts at once; mail that arrives speaks for the MX whatever DNS says.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.routing.facts import DomainState
from tenants.dns.expected import Kind
from tenants.dns.records import State

DEGRADING_TIMES = 3
"""Checks in a row that must find a record absent or wrong."""

DEGRADING_HOLD = timedelta(hours=72)
"""How long it must have been absent or wrong."""

LIFE_LASTS = timedelta(hours=72)
"""How long received mail is evidence that the MX works."""

ESSENTIAL_KINDS = (Kind.OWNERSHIP, Kind.MX)
"""Kinds whose lasting absence degrades a domain; the others only advise."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a kind of record stands over time.

    `state` is the last definite state (unknown until there is one). `since` and
    `times_in_row` tell how long and in how many checks it has been present, or not
    present: absent and wrong count as one. `unknown_times` counts checks since the last
    definite one.
    """

    state: State
    since: datetime
    times_in_row: int
    unknown_times: int = 0

    @property
    def is_missing(self) -> bool:
        """Whether the record is definitely not as it should be."""
        return self.state in (State.ABSENT, State.WRONG)


@dataclass(frozen=True, slots=True)
class Step:
    """The outcome of one check of a domain.

    `standings` holds every kind known so far. `reason` is a sentence for the history,
    empty when the state stays. `lasting` are the kinds that will degrade the domain, of
    which its owners have to be told before.
    """

    state: DomainState
    standings: Mapping[Kind, Standing]
    reason: str = ""
    lasting: tuple[Kind, ...] = ()


def next_state(
    domain_state: DomainState,
    *,
    standings: Mapping[Kind, Standing],
    found: Mapping[Kind, State],
    now: datetime,
    evidence_of_life_at: datetime | None,
    told: Collection[Kind] = ESSENTIAL_KINDS,
) -> Step:
    """What one check (`found`, the state per kind) makes of a domain.

    * pending becomes active when the ownership record is present; for what is missing
      at that moment the counting starts afresh, so that onboarding takes its time.
    * active becomes degraded when ownership or MX was found missing in this check, in
      three or more in a row, and for 72 hours or more; for MX, not while mail was received
      (`evidence_of_life_at`) within the last 72 hours, and for neither before its owners
      were `told` of it and have had the time that they were given.
    * degraded becomes active when one of them is found present and none is overdue, of which
      the MX does not count while mail is received.
    * released stays released.
    """
    counted = dict(standings)
    counted |= {kind: count(standings.get(kind), state, now) for kind, state in found.items()}
    if domain_state == DomainState.PENDING:
        return _step_pending(counted, found, now)
    if domain_state == DomainState.ACTIVE:
        return _step_active(counted, found, now, evidence_of_life_at, told)
    if domain_state == DomainState.DEGRADED:
        return _step_degraded(counted, found, now, evidence_of_life_at)
    return Step(DomainState(domain_state), counted)


def count(previous: Standing | None, found: State, now: datetime) -> Standing:
    """The standing of a kind after one more check."""
    if previous is None:
        definite = found != State.UNKNOWN
        return Standing(State(found), now, int(definite), int(not definite))
    if found == State.UNKNOWN:
        unknown_times = previous.unknown_times + 1
        return Standing(previous.state, previous.since, previous.times_in_row, unknown_times)
    never = previous.state == State.UNKNOWN
    if never or (previous.state == State.PRESENT) != (found == State.PRESENT):
        return Standing(State(found), now, 1)
    return Standing(State(found), previous.since, previous.times_in_row + 1)


def _step_pending(
    standings: dict[Kind, Standing], found: Mapping[Kind, State], now: datetime
) -> Step:
    if found.get(Kind.OWNERSHIP) != State.PRESENT:
        return Step(DomainState.PENDING, standings)
    fresh = {
        kind: Standing(standing.state, now, 1) if standing.is_missing else standing
        for kind, standing in standings.items()
    }
    return Step(DomainState.ACTIVE, fresh, "The ownership record was found.")


def _step_active(
    standings: dict[Kind, Standing],
    found: Mapping[Kind, State],
    now: datetime,
    evidence_of_life_at: datetime | None,
    told: Collection[Kind],
) -> Step:
    lasting: list[Kind] = []
    alive = _is_alive(now, evidence_of_life_at)
    for kind in ESSENTIAL_KINDS:
        if found.get(kind, State.UNKNOWN) in (State.PRESENT, State.UNKNOWN):
            continue
        if kind == Kind.MX and alive:
            continue
        if is_overdue(standings[kind], now) and kind in told:
            return Step(DomainState.DEGRADED, standings, _overdue_reason(kind, standings[kind]))
        if standings[kind].times_in_row >= DEGRADING_TIMES:
            lasting.append(kind)
    return Step(DomainState.ACTIVE, standings, lasting=tuple(lasting))


def _step_degraded(
    standings: dict[Kind, Standing],
    found: Mapping[Kind, State],
    now: datetime,
    evidence_of_life_at: datetime | None,
) -> Step:
    back = [kind for kind in ESSENTIAL_KINDS if found.get(kind) == State.PRESENT]
    waiting = [kind for kind in ESSENTIAL_KINDS if _is_waiting(standings.get(kind), now)]
    excused = [Kind.MX] if _is_alive(now, evidence_of_life_at) else []
    if not back or set(waiting).difference(excused):
        return Step(DomainState.DEGRADED, standings)
    reason = f"Found again: {', '.join(back)}."
    if waiting:
        reason += " Mail arrives, whatever the MX record says."
    return Step(DomainState.ACTIVE, standings, reason)


def _is_alive(now: datetime, evidence_of_life_at: datetime | None) -> bool:
    return evidence_of_life_at is not None and now - evidence_of_life_at <= LIFE_LASTS


def _is_waiting(standing: Standing | None, now: datetime) -> bool:
    return standing is not None and is_overdue(standing, now)


def is_overdue(standing: Standing, now: datetime) -> bool:
    """Whether a record has been missing often and long enough to degrade its domain."""
    held = now - standing.since >= DEGRADING_HOLD
    return standing.is_missing and standing.times_in_row >= DEGRADING_TIMES and held


def _overdue_reason(kind: Kind, standing: Standing) -> str:
    return (
        f"The {kind} record has been {standing.state} since {standing.since:%Y-%m-%d %H:%M}, "
        f"in {standing.times_in_row} checks in a row."
    )
