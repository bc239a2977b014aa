"""A benchmark as JSON with every raw run, and as the Markdown table that people read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Figures
from benchmarks.floors import OURS, Verdict, judge
from benchmarks.measure import Measurement
from benchmarks.plan import Plan

TITLES = {
    "rcpt": "RCPT decisions a second, half of them unknown addresses",
    "messages": "Durable messages a second",
}


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one benchmark found out."""

    plan: Plan
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    measurements: Sequence[Measurement]

    def verdicts(self) -> list[Verdict]:
        return judge(Figures(self.measurements))

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = asdict(self) | {"verdicts": [asdict(verdict) for verdict in self.verdicts()]}
        path.write_text(json.dumps(content, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Report":
        content: dict[str, Any] = json.loads(path.read_text())
        plan: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in content["plan"].items()
        }
        measurements = [Measurement(**one) for one in content["measurements"]]
        return cls(Plan(**plan), content["machine"], content["versions"], measurements)

    def markdown(self) -> str:
        """The machine, a table for each mode, and the floors."""
        figures = Figures(self.measurements)
        lines = [*self._conditions()]
        for mode in figures.modes:
            lines += ["", f"**{TITLES[mode]}**", "", *_table(figures, mode)]
        if verdicts := self.verdicts():
            lines += ["", "**Floors**", "", *_floors(verdicts)]
        return "\n".join(lines) + "\n"

    def _conditions(self) -> Iterator[str]:
        machine, plan = self.machine, self.plan
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        yield (
            f"{machine['date']}: {machine['processor']}, {machine['memory']}, "
            f"{machine['kernel']}, {machine['file system']}, Python {machine['python']}, "
            f"{versions}."
        )
        yield (
            f"Medians of {plan.repeats} × {plan.seconds:g} s, each after {plan.warmup_seconds:g} s "
            f"of warm-up; messages of {plan.message_octets:,} octets. "
            f"Load average of the machine before: {machine['load before']}."
        )


def _table(figures: Figures, mode: str) -> Iterator[str]:
    others = [peer for peer in figures.peers if peer != OURS]
    ratios = others if OURS in figures.peers else []
    heads = ["aliases", "connections", *figures.peers, *(f"ours / {peer}" for peer in ratios)]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'--:|' * len(heads)}"
    for aliases in figures.sizes:
        for connections in figures.connections:
            of_peers = [figures.find(peer, aliases, mode, connections) for peer in figures.peers]
            against = [figures.ratio(aliases, mode, connections, OURS, peer) for peer in ratios]
            cells = [*map(_figure, of_peers), *map(_ratio, against)]
            yield f"| {aliases:,} | {connections} | {' | '.join(cells)} |"
    yield ""
    yield "In brackets: median and 99th percentile of the time to the reply, in milliseconds."


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    return f"{figure.per_second:,.0f} ({figure.p50_ms:.2f} / {figure.p99_ms:.2f})"


def _ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"**{ratio:.2f}**"


def _floors(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "| row | measured | floor | |"
    yield "|---|--:|--:|---|"
    for one in verdicts:
        kept = "kept" if one.is_kept else "**missed**"
        yield f"| {one.row} | {one.measured} | {one.floor} | {kept} |"
