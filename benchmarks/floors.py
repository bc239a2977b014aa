"""What the product promises about its speed, and whether a benchmark keeps it.

A floor that the plan did not measure is left out, not passed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.figures import Figures

OURS = "ours"
YARDSTICK = "Postfix"
TIMES_POSTFIX = {
    ("rcpt", 16): 1.5,
    ("rcpt", 64): 1.5,
    **{("messages", n): 1.0 for n in (1, 16, 64)},
}
LARGEST_COST = 1.3
COST_CONNECTIONS = (16, 64)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One floor held against what was measured."""

    row: str
    measured: str
    floor: str
    is_kept: bool


def judge(figures: Figures) -> list[Verdict]:
    """Every floor that these figures can answer for."""
    return [*_against_postfix(figures), *_cost_of_size(figures)]


def _against_postfix(figures: Figures) -> Iterator[Verdict]:
    for aliases in figures.sizes:
        for (mode, connections), floor in TIMES_POSTFIX.items():
            ratio = figures.ratio(aliases, mode, connections, OURS, YARDSTICK)
            if ratio is not None:
                row = f"{mode}, connections: {connections}, aliases: {aliases:,}"
                yield Verdict(row, f"{ratio:.2f} × Postfix", f"at least {floor} ×", ratio >= floor)


def _cost_of_size(figures: Figures) -> Iterator[Verdict]:
    """What one decision or message costs with most aliases, in terms of fewest."""
    few, many = min(figures.sizes), max(figures.sizes)
    if few == many:
        return
    for mode in figures.modes:
        for connections in COST_CONNECTIONS:
            small = figures.find(OURS, few, mode, connections)
            large = figures.find(OURS, many, mode, connections)
            if small and large:
                cost = small.per_second / large.per_second
                row = f"{mode}, connections: {connections}, aliases: {few:,} to {many:,}"
                yield Verdict(
                    row, f"{cost:.2f} × the cost", f"at most {LARGEST_COST} ×", cost <= LARGEST_COST
                )
