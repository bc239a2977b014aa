"""What was said of a recipient then, beside what is said to the same envelope now. Pure.

Compared is what RCPT was answered: Explain has no message, so what only the whole message decided
(its sender's proof, its content, counters that others had filled) stands apart.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from gateway.models import Delivery, RoutingRecord
from gateway.routing.decision import Decision, Destination, Step

LAST = "reply"  # the step that ends the decision at RCPT


@dataclass(frozen=True, slots=True)
class Told:
    """One answer to a recipient: what decided, where the message goes, and each step to it."""

    reply: str
    rule: str
    strategy: str
    detail: str
    destinations: tuple[str, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that was said then and is said now."""

    label: str
    then: str
    now: str

    @property
    def is_different(self) -> bool:
        return self.then != self.now


@dataclass(frozen=True, slots=True)
class Line:
    """A step of both traces, or of one of them: then None where it is new, now where it is gone."""

    then: Step | None
    now: Step | None

    @property
    def is_different(self) -> bool:
        return self.then != self.now


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both answers side by side; `later` is what the whole message led to then."""

    points: tuple[Point, ...]
    lines: tuple[Line, ...]
    later: tuple[Step, ...]

    @property
    def is_same(self) -> bool:
        """Whether the envelope is answered as it was, whatever the steps to it."""
        return not any(point.is_different for point in self.points)


def told_then(record: RoutingRecord, deliveries: Iterable[Delivery]) -> tuple[Told, list[Step]]:
    """What a record says, and the steps that came after RCPT was answered."""
    steps, later = _split([Step(*step) for step in record.trace])
    said = next((step.note for step in steps if step.name == LAST), "")
    told = Told(
        reply=said or record.reply,
        rule=record.rule,
        strategy=record.strategy,
        detail=record.detail,
        destinations=tuple(
            _place(each.kind, each.recipient, each.destination) for each in deliveries
        ),
        steps=tuple(steps),
    )
    return told, later


def told_now(decision: Decision) -> Told:
    """What resolve() says now."""
    steps, _ = _split(decision.trace)
    return Told(
        reply=str(decision.reply),
        rule=decision.rule,
        strategy=decision.strategy,
        detail=decision.detail,
        destinations=tuple(map(_destination, decision.destinations)),
        steps=tuple(steps),
    )


def compare(then: Told, now: Told, later: Sequence[Step] = ()) -> Comparison:
    """Point by point, and step by step as far as the traces go together.

    A message that was refused as a whole has no deliveries to compare.
    """
    points = [
        Point("Reply", then.reply, now.reply),
        Point("Decided by", then.rule, now.rule),
        Point("Strategy", then.strategy, now.strategy),
    ]
    if then.detail or now.detail:
        points.append(Point("Detail", then.detail or "—", now.detail or "—"))
    if then.destinations:
        places = [", ".join(sorted(told.destinations)) or "nowhere" for told in (then, now)]
        points.append(Point("Destinations", *places))
    return Comparison(tuple(points), tuple(_lines(then.steps, now.steps)), tuple(later))


def _split(trace: Sequence[Step]) -> tuple[list[Step], list[Step]]:
    """The steps up to the answer to RCPT, and those after it."""
    ends = [at for at, step in enumerate(trace, start=1) if step.name == LAST]
    end = ends[0] if ends else len(trace)
    return list(trace[:end]), list(trace[end:])


def _lines(then: Sequence[Step], now: Sequence[Step]) -> Iterable[Line]:
    matcher = SequenceMatcher(None, [*map(str, then)], [*map(str, now)], autojunk=False)
    for tag, start, end, new_start, new_end in matcher.get_opcodes():
        if tag == "equal":
            yield from (Line(step, step) for step in then[start:end])
        else:
            yield from (Line(step, None) for step in then[start:end])
            yield from (Line(None, step) for step in now[new_start:new_end])


def _destination(place: Destination) -> str:
    hop = place.hop
    via = f"{hop.protocol}:{hop.host}:{hop.port}" if hop else ""
    return _place(place.kind, str(place.recipient or ""), via)


def _place(kind: str, recipient: str, via: str) -> str:
    return " ".join(filter(None, (kind, recipient, f"via {via}" if via else "")))
