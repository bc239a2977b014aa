"""What the product promises about its speed, and whether a benchmark keeps it.

A floor that the plan did not measure is left out, not passed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks import cases
from benchmarks.figures import Figure, Figures, Row
from benchmarks.plan import Plan

POSTFIX = "Postfix"
BEST = "the best peer"
BUSY = (16, 64)
LARGEST_COST = {"aliases": 1.15, "domains": 1.1}
# A backlog may cost no more than two runs of the same thing differ by.
LEAST_WITH_BACKLOG = 0.9


@dataclass(frozen=True, slots=True)
class Verdict:
    """One floor held against what was measured."""

    row: str
    measured: str
    floor: str
    is_kept: bool


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times a server's rate ours has to be."""

    case: str
    connections: tuple[int, ...]
    other: str
    least: float
    is_at_every_size: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """What a figure of ours may come to at most."""

    case: str
    what: str
    most: float
    unit: str
    read: Callable[[Figure], float | None]
    setting: str = ""  # of the only rows that it is about


RATIOS = (
    Ratio("rcpt", (1, *BUSY), POSTFIX, 1.5, is_at_every_size=True),
    Ratio("messages", (1, *BUSY), POSTFIX, 1.0, is_at_every_size=True),
    Ratio("rcpt", (16,), BEST, 1.0),
    Ratio("rcpt", (64,), BEST, 2.0),
    Ratio("rcpt", BUSY, POSTFIX, 6.0),
    Ratio("pipelined", BUSY, BEST, 1.2),
    Ratio("messages", BUSY, BEST, 2.0),
    Ratio("reconnecting", BUSY, BEST, 1.5),
    Ratio("large", (16,), POSTFIX, 1.0),
    Ratio("authenticated", BUSY, BEST, 1.0, is_at_every_size=True),
    Ratio("end-to-end", (16,), POSTFIX, 1.0, is_at_every_size=True),
)


def _p99(figure: Figure) -> float:
    return figure.p99_ms


def _memory(figure: Figure) -> float | None:
    return figure.memory_mib


LIMITS = (
    Limit("messages", "99th percentile", 50, " ms", _p99),
    Limit("away", "99th percentile", 20, " ms", _p99, cases.away(1)),
    Limit("away", "99th percentile", 100, " ms", _p99, cases.away(80)),
    Limit("crowd", "99th percentile of small messages", 100, " ms", _p99),
    Limit("crowd", "memory of a process", 512, " MiB", _memory),
    Limit("idle", "memory added", 16, " MiB", _memory),
    Limit("idle", "99th percentile of greetings", 100, " ms", _p99),
    Limit("freshness", "stale replies", 0, "", lambda figure: figure.stale),
)


def judge(figures: Figures, plan: Plan) -> list[Verdict]:
    """Every floor that these figures can answer for."""
    return [
        *(verdict for floor in RATIOS for verdict in _ratio(floor, figures, plan)),
        *_latency_beside_best(figures, plan),
        *(verdict for floor in LIMITS for verdict in _limit(floor, figures, plan)),
        *_cost(figures, ("rcpt", "messages"), "aliases", cases.aliases, plan.sizes),
        *_cost(figures, ("domains",), "domains", cases.domains, plan.domain_sizes),
        *_backlog(figures, plan),
    ]


def _ratio(floor: Ratio, figures: Figures, plan: Plan) -> Iterator[Verdict]:
    for row in figures.rows_of(floor.case):
        is_meant = floor.is_at_every_size or row.setting == cases.aliases(plan.many)
        if row.connections not in floor.connections or not is_meant:
            continue
        other = figures.best_other(row) if floor.other == BEST else floor.other
        ratio = figures.ratio(row, other) if other else None
        if ratio is not None:
            least = f"at least {floor.least:g} × {floor.other}"
            yield Verdict(_named(row), f"{ratio:.2f} × {other}", least, ratio >= floor.least)


def _latency_beside_best(figures: Figures, plan: Plan) -> Iterator[Verdict]:
    """The slowest decisions have to be quicker than those of the fastest peer."""
    for row in figures.rows_of("rcpt"):
        ours, other = figures.find(row), figures.best_other(row)
        best = figures.find(row, other) if other else None
        is_meant = row.connections in BUSY and row.setting == cases.aliases(plan.many)
        if is_meant and ours and best:
            measured = f"99th percentile {ours.p99_ms:.2f} ms"
            floor = f"below {other}'s {best.p99_ms:.2f} ms"
            yield Verdict(_named(row), measured, floor, ours.p99_ms < best.p99_ms)


def _limit(floor: Limit, figures: Figures, plan: Plan) -> Iterator[Verdict]:
    for row in figures.rows_of(floor.case):
        figure = figures.find(row)
        value = floor.read(figure) if figure else None
        is_meant = row.setting == (floor.setting or cases.aliases(plan.many))
        if value is None or not is_meant or (floor.case == "messages" and row.connections == 1):
            continue
        measured = f"{floor.what} {value:,.4g}{floor.unit}"
        yield Verdict(
            _named(row), measured, f"at most {floor.most:g}{floor.unit}", value <= floor.most
        )


def _cost(
    figures: Figures,
    names: tuple[str, ...],
    what: str,
    setting: Callable[[int], str],
    numbers: tuple[int, ...],
) -> Iterator[Verdict]:
    """What one decision or message costs with most rows, in terms of fewest."""
    few, many = min(numbers), max(numbers)
    most = LARGEST_COST[what]
    for case in names:
        for connections in BUSY:
            small = figures.find(Row(case, setting(few), connections))
            large = figures.find(Row(case, setting(many), connections))
            if few != many and small and large and small.per_second and large.per_second:
                cost = small.per_second / large.per_second
                row = f"{case}, {few:,} to {many:,} {what}, connections: {connections}"
                yield Verdict(row, f"{cost:.2f} × the cost", f"at most {most:g} ×", cost <= most)


def _backlog(figures: Figures, plan: Plan) -> Iterator[Verdict]:
    """The rate beside a long queue for another hop, in terms of that with an empty queue."""
    for full in figures.rows_of("end-to-end"):
        empty = Row(full.case, cases.waiting(0), full.connections)
        with_backlog, without = figures.find(full), figures.find(empty)
        if full.setting != cases.waiting(plan.backlog) or not (with_backlog and without):
            continue
        share = (with_backlog.per_second or 0) / (without.per_second or 1)
        measured = f"{share:.2f} × the rate with an empty queue"
        floor = f"at least {LEAST_WITH_BACKLOG:g} ×"
        yield Verdict(_named(full), measured, floor, share >= LEAST_WITH_BACKLOG)


def _named(row: Row) -> str:
    return f"{row.case}, {row.setting}, connections: {row.connections}"
