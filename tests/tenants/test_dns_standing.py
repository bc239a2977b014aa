"""When a domain changes its state: slow down, quick up, unknown changes nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.facts import DomainState
from tenants.dns import Kind, Standing, State, Step, next_state
from tenants.dns.standing import count

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PENDING, ACTIVE, DEGRADED, RELEASED = DomainState
PRESENT, ABSENT, WRONG, UNKNOWN = State
OWNERSHIP, MX = Kind.OWNERSHIP, Kind.MX


def ago(hours: float, state: State = ABSENT, times: int = 9) -> Standing:
    return Standing(state, NOW - hours * HOUR, times)


def step(domain, found, before=None, life_hours=None) -> Step:
    life = None if life_hours is None else NOW - life_hours * HOUR
    standings = before or {}
    return next_state(domain, standings=standings, found=found, now=NOW, evidence_of_life_at=life)


GOOD = ago(999, PRESENT)
TRANSITIONS = [
    # state, found, standings before, hours since the last mail, state after
    (PENDING, {OWNERSHIP: PRESENT}, {}, None, ACTIVE),
    (PENDING, {OWNERSHIP: PRESENT, MX: ABSENT}, {MX: ago(999)}, None, ACTIVE),
    (PENDING, {OWNERSHIP: ABSENT, MX: PRESENT}, {}, 1, PENDING),
    (PENDING, {OWNERSHIP: WRONG}, {OWNERSHIP: ago(999)}, None, PENDING),
    (PENDING, {OWNERSHIP: UNKNOWN}, {}, None, PENDING),
    (PENDING, {OWNERSHIP: UNKNOWN, MX: PRESENT}, {OWNERSHIP: GOOD}, None, PENDING),
    (PENDING, {MX: PRESENT}, {OWNERSHIP: GOOD}, None, PENDING),
    (ACTIVE, {OWNERSHIP: ABSENT}, {OWNERSHIP: ago(72, times=2)}, None, DEGRADED),
    (ACTIVE, {OWNERSHIP: WRONG}, {OWNERSHIP: ago(72, times=2)}, None, DEGRADED),
    (ACTIVE, {OWNERSHIP: ABSENT}, {OWNERSHIP: ago(72, WRONG, times=2)}, None, DEGRADED),
    (ACTIVE, {OWNERSHIP: ABSENT}, {OWNERSHIP: ago(71.99)}, None, ACTIVE),
    (ACTIVE, {OWNERSHIP: ABSENT}, {OWNERSHIP: ago(999, times=1)}, None, ACTIVE),
    (ACTIVE, {OWNERSHIP: ABSENT}, {OWNERSHIP: GOOD}, None, ACTIVE),
    (ACTIVE, {OWNERSHIP: ABSENT}, {}, None, ACTIVE),
    (ACTIVE, {OWNERSHIP: UNKNOWN}, {OWNERSHIP: ago(999)}, None, ACTIVE),
    (ACTIVE, {OWNERSHIP: PRESENT}, {OWNERSHIP: ago(999)}, None, ACTIVE),
    (ACTIVE, {OWNERSHIP: ABSENT}, {OWNERSHIP: ago(72)}, 1, DEGRADED),
    (ACTIVE, {OWNERSHIP: PRESENT, MX: ABSENT}, {MX: ago(72)}, None, DEGRADED),
    (ACTIVE, {OWNERSHIP: PRESENT, MX: WRONG}, {MX: ago(72)}, 72.01, DEGRADED),
    (ACTIVE, {OWNERSHIP: PRESENT, MX: WRONG}, {MX: ago(72)}, 72, ACTIVE),
    (ACTIVE, {OWNERSHIP: PRESENT, MX: UNKNOWN}, {MX: ago(999)}, None, ACTIVE),
    (ACTIVE, {OWNERSHIP: ABSENT, MX: ABSENT}, {OWNERSHIP: ago(72), MX: ago(1)}, 1, DEGRADED),
    (ACTIVE, {Kind.SPF: ABSENT}, {Kind.SPF: ago(999)}, None, ACTIVE),
    (ACTIVE, {Kind.DMARC: WRONG}, {Kind.DMARC: ago(999)}, None, ACTIVE),
    (ACTIVE, {}, {OWNERSHIP: ago(999), MX: ago(999)}, None, ACTIVE),
    (DEGRADED, {OWNERSHIP: PRESENT}, {OWNERSHIP: ago(999)}, None, ACTIVE),
    (DEGRADED, {MX: PRESENT}, {OWNERSHIP: GOOD, MX: ago(999)}, None, ACTIVE),
    (DEGRADED, {OWNERSHIP: PRESENT, MX: ABSENT}, {MX: ago(999)}, None, DEGRADED),
    (DEGRADED, {OWNERSHIP: PRESENT, MX: ABSENT}, {MX: ago(999)}, 1, ACTIVE),
    (DEGRADED, {OWNERSHIP: PRESENT, MX: WRONG}, {MX: ago(999)}, 72, ACTIVE),
    (DEGRADED, {OWNERSHIP: PRESENT, MX: WRONG}, {MX: ago(999)}, 72.01, DEGRADED),
    (DEGRADED, {OWNERSHIP: ABSENT, MX: WRONG}, {OWNERSHIP: ago(999), MX: ago(999)}, 1, DEGRADED),
    (DEGRADED, {OWNERSHIP: ABSENT, MX: PRESENT}, {OWNERSHIP: ago(999), MX: GOOD}, 1, DEGRADED),
    (DEGRADED, {OWNERSHIP: PRESENT, MX: UNKNOWN}, {MX: ago(999)}, None, DEGRADED),
    (DEGRADED, {OWNERSHIP: PRESENT, MX: ABSENT}, {MX: ago(1)}, None, ACTIVE),
    (DEGRADED, {OWNERSHIP: ABSENT, MX: PRESENT}, {OWNERSHIP: ago(999)}, None, DEGRADED),
    (DEGRADED, {OWNERSHIP: UNKNOWN, MX: UNKNOWN}, {OWNERSHIP: GOOD, MX: GOOD}, 1, DEGRADED),
    (DEGRADED, {Kind.SPF: PRESENT}, {OWNERSHIP: GOOD, MX: GOOD}, None, DEGRADED),
    (RELEASED, {OWNERSHIP: PRESENT, MX: PRESENT}, {}, 1, RELEASED),
]


@pytest.mark.parametrize(("domain", "found", "before", "life_hours", "after"), TRANSITIONS)
def test_check_moves_a_domain(domain, found, before, life_hours, after):
    outcome = step(domain, found, before, life_hours)

    assert outcome.state is after
    assert bool(outcome.reason) == (domain is not after)


@pytest.mark.parametrize(
    ("previous", "found", "after"),
    [
        (None, ABSENT, Standing(ABSENT, NOW, 1)),
        (None, UNKNOWN, Standing(UNKNOWN, NOW, 0, 1)),
        (Standing(UNKNOWN, NOW - HOUR, 0, 1), UNKNOWN, Standing(UNKNOWN, NOW - HOUR, 0, 2)),
        (Standing(UNKNOWN, NOW - HOUR, 0, 1), WRONG, Standing(WRONG, NOW, 1)),
        (Standing(UNKNOWN, NOW - HOUR, 0, 1), PRESENT, Standing(PRESENT, NOW, 1)),
        (ago(5, ABSENT, 2), ABSENT, ago(5, ABSENT, 3)),
        (ago(5, ABSENT, 2), WRONG, ago(5, WRONG, 3)),
        (ago(5, WRONG, 2), ABSENT, ago(5, ABSENT, 3)),
        (ago(5, ABSENT, 2), PRESENT, Standing(PRESENT, NOW, 1)),
        (ago(5, PRESENT, 2), PRESENT, ago(5, PRESENT, 3)),
        (ago(5, PRESENT, 2), WRONG, Standing(WRONG, NOW, 1)),
        (ago(5, ABSENT, 2), UNKNOWN, replace(ago(5, ABSENT, 2), unknown_times=1)),
        (replace(ago(5, ABSENT, 2), unknown_times=4), ABSENT, ago(5, ABSENT, 3)),
    ],
)
def test_standing_counts_one_more_check(previous, found, after):
    assert count(previous, found, NOW) == after


@pytest.mark.parametrize(
    ("mx", "life_hours", "reason"),
    [
        (PRESENT, None, "Found again: ownership, mx."),
        (WRONG, 1, "Found again: ownership. Mail arrives, whatever the MX record says."),
    ],
)
def test_the_history_says_what_made_a_domain_active_again(mx, life_hours, reason):
    found = {OWNERSHIP: PRESENT, MX: mx}
    outcome = step(DEGRADED, found, {OWNERSHIP: ago(99), MX: ago(99)}, life_hours)

    assert outcome.reason == reason


def test_what_is_missing_at_verification_is_counted_afresh():
    outcome = step(PENDING, {OWNERSHIP: PRESENT, MX: ABSENT}, {MX: ago(999)})

    assert outcome.standings[MX] == Standing(ABSENT, NOW, 1)
    assert outcome.standings[OWNERSHIP] == Standing(PRESENT, NOW, 1)


def test_texts_out_of_a_database_are_taken_as_states():
    outcome = next_state(
        "active",
        standings={OWNERSHIP: Standing("absent", NOW - 72 * HOUR, 2)},
        found={OWNERSHIP: "absent"},
        now=NOW,
        evidence_of_life_at=None,
    )

    assert outcome.state is DEGRADED
    assert "absent since 2026-02-26 12:00, in 3 checks in a row" in outcome.reason


states = st.sampled_from(State)
standings = st.dictionaries(
    st.sampled_from(Kind),
    st.builds(
        Standing,
        state=states,
        since=st.timedeltas(timedelta(0), timedelta(days=9)).map(lambda age: NOW - age),
        times_in_row=st.integers(1, 9),
        unknown_times=st.integers(0, 3),
    ),
)
lives = st.none() | st.timedeltas(timedelta(0), timedelta(days=9)).map(lambda age: NOW - age)
checks = st.dictionaries(st.sampled_from(Kind), states)


@given(st.sampled_from(DomainState), standings, st.sets(st.sampled_from(Kind)), lives)
def test_unknown_changes_neither_state_nor_counts(domain, before, kinds, life):
    found = dict.fromkeys(kinds, UNKNOWN)

    outcome = next_state(domain, standings=before, found=found, now=NOW, evidence_of_life_at=life)

    assert outcome.state is domain
    kept = {kind: replace(outcome.standings[kind], unknown_times=0) for kind in before}
    assert kept == {kind: replace(standing, unknown_times=0) for kind, standing in before.items()}


@given(st.sampled_from(DomainState), standings, checks, lives)
def test_moves_are_only_those_of_the_state_machine(domain, before, found, life):
    outcome = next_state(domain, standings=before, found=found, now=NOW, evidence_of_life_at=life)

    moves = {(PENDING, ACTIVE), (ACTIVE, DEGRADED), (DEGRADED, ACTIVE)}
    assert outcome.state is domain or (domain, outcome.state) in moves
    assert set(outcome.standings) == set(before) | set(found)


@given(st.sampled_from(DomainState), standings, lives)
def test_all_present_makes_every_claimed_domain_active(domain, before, life):
    found = dict.fromkeys(Kind, PRESENT)

    outcome = next_state(domain, standings=before, found=found, now=NOW, evidence_of_life_at=life)

    assert outcome.state is (RELEASED if domain is RELEASED else ACTIVE)


@given(st.lists(st.tuples(states, states, st.integers(1, 40)), max_size=30))
def test_active_domain_degrades_only_after_three_checks_and_72_hours(history):
    """Over any history, against a plain reading of the rule."""
    state, known, now = ACTIVE, {}, NOW
    log: list[tuple[datetime, State, State]] = []
    for ownership, mx, hours in history:
        now += hours * HOUR
        log.append((now, ownership, mx))
        found = {OWNERSHIP: ownership, MX: mx}
        outcome = next_state(state, standings=known, found=found, now=now, evidence_of_life_at=None)
        state, known = outcome.state, outcome.standings
        if state is DEGRADED:
            break
    assert (state is DEGRADED) == any(is_lost(log, column) for column in (1, 2))


def is_lost(log, column) -> bool:
    """Whether the log ends in a definite run of missing that is long enough."""
    if not log or log[-1][column] is UNKNOWN:
        return False
    run = []
    for row in reversed(log):
        if row[column] is PRESENT:
            break
        if row[column] is not UNKNOWN:
            run.append(row[0])
    return len(run) >= 3 and run[0] - run[-1] >= 72 * HOUR
