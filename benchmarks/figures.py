"""Measurements of repeated runs made into one figure each: the median of every column."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from benchmarks.measure import Measurement


@dataclass(frozen=True, slots=True)
class Figure:
    """Medians over the repeats of one peer at one size, mode and number of connections."""

    per_second: float
    p50_ms: float
    p99_ms: float


class Figures:
    """All figures of a benchmark; sizes, modes, connections and peers in measured order."""

    def __init__(self, measurements: Iterable[Measurement]) -> None:
        found: dict[tuple[str, int, str, int], list[Measurement]] = {}
        for one in measurements:
            found.setdefault((one.peer, one.aliases, one.mode, one.connections), []).append(one)
        self._figures = {cell: _median(repeats) for cell, repeats in found.items()}
        self.peers = tuple(dict.fromkeys(cell[0] for cell in found))
        self.sizes = tuple(dict.fromkeys(cell[1] for cell in found))
        self.modes = tuple(dict.fromkeys(cell[2] for cell in found))
        self.connections = tuple(dict.fromkeys(cell[3] for cell in found))

    def find(self, peer: str, aliases: int, mode: str, connections: int) -> Figure | None:
        """The figure, or None where it was not measured."""
        return self._figures.get((peer, aliases, mode, connections))

    def ratio(
        self, aliases: int, mode: str, connections: int, peer: str, other: str
    ) -> float | None:
        """How many times faster `peer` is than `other`; None where either is missing."""
        one = self.find(peer, aliases, mode, connections)
        two = self.find(other, aliases, mode, connections)
        return one.per_second / two.per_second if one and two else None


def _median(repeats: list[Measurement]) -> Figure:
    return Figure(
        median(one.per_second for one in repeats),
        median(one.p50_ms for one in repeats),
        median(one.p99_ms for one in repeats),
    )
