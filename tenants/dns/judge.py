"""From the answers of all name servers of a zone to one finding.

Rule of this file: pure, and slow to say absent. Servers that failed never outvote one that
has the record, absence needs every server, and disagreement needs more answers than failures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from tenants.dns.answers import Outcome, ServerAnswer
from tenants.dns.expected import Expected, Kind
from tenants.dns.records import State, Verdict, assess

EVIDENCE_VALUES = 20
"""Values of one server that are kept as evidence; a zone can hold thousands."""

EVIDENCE_CHARACTERS = 1_000
"""Characters kept of one value."""


class Evidence(TypedDict):
    """What one name server said, and its worth, fit for JSON. `ttl` is in seconds."""

    server: str
    address: str
    outcome: str
    values: list[str]
    ttl: int | None
    reason: str
    alias: str
    state: str


@dataclass(frozen=True, slots=True)
class Hints:
    """What more is known to word the advice by; it never changes the state.

    `misplaced_at` is the name at which the record was found instead, `aliases` pairs an
    MX host with the target of the CNAME that it is, `trouble` tells why no server could
    be asked at all.
    """

    misplaced_at: str = ""
    trouble: str = ""
    aliases: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """How one expected record stands, with the evidence of each name server.

    `advice` asks for something to be done, `note` only tells.
    """

    expected: Expected
    state: State
    found: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    advice: str = ""
    note: str = ""

    @property
    def kind(self) -> Kind:
        """The kind of the expected record."""
        return self.expected.kind


NO_HINTS = Hints()


def judge(expected: Expected, answers: Sequence[ServerAnswer], hints: Hints = NO_HINTS) -> Finding:
    """Weigh the answers of all authoritative servers for one expected record.

    | servers that answered say | and others failed | state |
    |---|---|---|
    | nothing (none answered) | | unknown |
    | all present | any number | present |
    | all absent | none | absent |
    | all absent | some | unknown |
    | anything else (wrong, or they disagree) | fewer than answered | wrong |
    | anything else | as many or more | unknown |
    """
    verdicts = [_verdict(expected, answer) for answer in answers]
    state = _weigh([verdict.state for verdict in verdicts])
    return Finding(
        expected=expected,
        state=state,
        found=_clip(dict.fromkeys(text for verdict in verdicts for text in verdict.found)),
        evidence=tuple(map(_evidence, answers, verdicts)),
        advice=_advise(expected, state, list(zip(answers, verdicts, strict=True)), hints),
    )


def _verdict(expected: Expected, answer: ServerAnswer) -> Verdict:
    if answer.outcome is Outcome.FAILED:
        return Verdict(State.UNKNOWN)
    return assess(expected, answer.records)


def _weigh(states: Sequence[State]) -> State:
    definite = [state for state in states if state is not State.UNKNOWN]
    failures = len(states) - len(definite)
    said = set(definite)
    if said == {State.PRESENT}:
        return State.PRESENT
    if said == {State.ABSENT} and not failures:
        return State.ABSENT
    if said <= {State.ABSENT} or failures >= len(definite):
        return State.UNKNOWN
    return State.WRONG


_Weighed = list[tuple[ServerAnswer, Verdict]]


def _advise(expected: Expected, state: State, weighed: _Weighed, hints: Hints) -> str:
    if state is State.ABSENT:
        return _absent_advice(expected, hints)
    if state is State.UNKNOWN:
        return hints.trouble or _failures(weighed) or "The zone has no name servers to ask."
    if state is State.WRONG:
        return _wrong_advice(expected, weighed, hints)
    notes = (verdict.advice for _, verdict in weighed if verdict.advice)
    return next(notes, "") or _failures(weighed)


def _absent_advice(expected: Expected, hints: Hints) -> str:
    if hints.misplaced_at:
        return (
            f"Rename the record: it stands at {hints.misplaced_at}, "
            "since the zone's name was added to a name that had it already."
        )
    return f"Publish the {expected.rdtype} record at {expected.name}."


def _wrong_advice(expected: Expected, weighed: _Weighed, hints: Hints) -> str:
    for host, target in hints.aliases:
        if target in expected.wanted:
            return f"Name {target} in the MX record itself: {host} is an alias (CNAME) of it."
    having = _hosts(weighed, State.PRESENT)
    if having:
        lacking = ", ".join(_hosts(weighed, State.ABSENT, State.WRONG))
        return (
            f"The name servers disagree: {', '.join(having)} has the record as it should be "
            f"and {lacking} has not; bring all of them to the same zone."
        )
    return next(verdict.advice for _, verdict in weighed if verdict.state is State.WRONG)


def _failures(weighed: _Weighed) -> str:
    failed = [answer for answer, verdict in weighed if verdict.state is State.UNKNOWN]
    if not failed:
        return ""
    told = "; ".join(f"{answer.server.host} ({answer.reason})" for answer in failed[:3])
    return f"Repair these name servers or take them out of the zone's NS records: {told}."


def _hosts(weighed: _Weighed, *states: State) -> list[str]:
    return [answer.server.host for answer, verdict in weighed if verdict.state in states]


def _evidence(answer: ServerAnswer, verdict: Verdict) -> Evidence:
    return Evidence(
        server=answer.server.host,
        address=answer.address,
        outcome=answer.outcome.value,
        values=list(_clip(answer.records)),
        ttl=answer.ttl,
        reason=answer.reason,
        alias=answer.alias,
        state=verdict.state.value,
    )


def _clip(values: Sequence[str] | dict[str, None]) -> tuple[str, ...]:
    return tuple(value[:EVIDENCE_CHARACTERS] for value in list(values)[:EVIDENCE_VALUES])
