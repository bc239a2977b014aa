"""Measurements of repeated runs made into one figure each: the median of every column."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from benchmarks.case import Measurement, Sample

OURS = "ours"
MIDDLES = ("per_second", "accepted", "deferred", "load_cpu_share", "memory_mib")


@dataclass(frozen=True, slots=True)
class Row:
    """What figures stand beside each other for, one of each server."""

    case: str
    setting: str
    connections: int


@dataclass(frozen=True, slots=True)
class Figure:
    """Medians over the repeats of one server in one row; of stale replies the most."""

    p50_ms: float
    p99_ms: float
    per_second: float | None
    accepted: float | None
    deferred: float | None
    load_cpu_share: float | None
    memory_mib: float | None
    stale: float | None


class Figures:
    """All figures of a benchmark; rows and servers in measured order."""

    def __init__(self, measurements: Iterable[Measurement]) -> None:
        found: dict[tuple[Row, str], list[Sample]] = {}
        for one in measurements:
            row = Row(one.case, one.setting, one.connections)
            found.setdefault((row, one.peer), []).append(one.sample)
        self._figures = {cell: _figure(samples) for cell, samples in found.items()}
        self.rows = tuple(dict.fromkeys(row for row, _ in found))

    def peers(self, case: str) -> tuple[str, ...]:
        """The servers of a table."""
        return tuple(dict.fromkeys(peer for row, peer in self._figures if row.case == case))

    def rows_of(self, case: str) -> Iterator[Row]:
        return (row for row in self.rows if row.case == case)

    def find(self, row: Row, peer: str = OURS) -> Figure | None:
        """The figure, or None where it was not measured."""
        return self._figures.get((row, peer))

    def best_other(self, row: Row) -> str | None:
        """The fastest server of the row besides ours; None where there is none."""
        rates = {
            peer: figure.per_second
            for (its, peer), figure in self._figures.items()
            if its == row and peer != OURS and figure.per_second is not None
        }
        return max(rates, key=lambda peer: rates[peer]) if rates else None

    def ratio(self, row: Row, other: str) -> float | None:
        """How many times faster ours is; None where either is missing or there is no rate."""
        one, two = self.find(row), self.find(row, other)
        if not (one and two and one.per_second and two.per_second):
            return None
        return one.per_second / two.per_second


def _figure(samples: list[Sample]) -> Figure:
    def middle(name: str, summary: Callable[[list[float]], float] = median) -> float | None:
        values = [value for one in samples if (value := getattr(one, name)) is not None]
        return summary(values) if values else None

    return Figure(
        p50_ms=median(one.p50_ms for one in samples),
        p99_ms=median(one.p99_ms for one in samples),
        stale=middle("stale", max),
        **{name: middle(name) for name in MIDDLES},
    )
