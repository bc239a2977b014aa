"""A benchmark as JSON with every raw run, and as the Markdown tables that people read."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.case import Measurement, Sample
from benchmarks.figures import OURS, Figures, Row
from benchmarks.floors import POSTFIX, Verdict, judge
from benchmarks.kinds import KINDS, Kind
from benchmarks.plan import Plan


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that one benchmark found out."""

    plan: Plan
    machine: Mapping[str, str]
    versions: Mapping[str, str]
    measurements: Sequence[Measurement]

    def verdicts(self) -> list[Verdict]:
        return judge(Figures(self.measurements), self.plan)

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
        measurements = [
            Measurement(**{**one, "sample": Sample(**one["sample"])})
            for one in content["measurements"]
        ]
        return cls(Plan(**plan), content["machine"], content["versions"], measurements)

    def markdown(self) -> str:
        """The machine, a table for each kind of case, and the floors."""
        figures = Figures(self.measurements)
        lines = [*self._conditions()]
        for case, kind in KINDS.items():
            if rows := list(figures.rows_of(case)):
                lines += ["", f"**{kind.title}**", "", *_table(figures, kind, rows)]
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
        processes = "one process" if plan.processes == 1 else f"{plan.processes} processes"
        yield (
            f"Medians of {plan.repeats} × {plan.seconds:g} s, each after {plan.warmup_seconds:g} s "
            f"of warm-up; messages of {plan.message_octets:,} octets; our gateway in {processes}. "
            f"Load average of the machine before: {machine['load before']}."
        )


def _table(figures: Figures, kind: Kind, rows: Sequence[Row]) -> Iterator[str]:
    case = rows[0].case
    peers = figures.peers(case)
    has_ratios = OURS in peers and any(figures.best_other(row) for row in rows)
    ratios = [f"ours / {POSTFIX}", "ours / best"] if has_ratios else []
    heads = ["", "connections", *peers, *ratios]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'--:|' * (len(heads) - 1)}"
    for row in rows:
        found = [figures.find(row, peer) for peer in peers]
        cells = ["–" if figure is None else kind.write(figure) for figure in found]
        against = [POSTFIX, figures.best_other(row) or ""] if has_ratios else []
        cells += [_ratio(figures.ratio(row, other)) for other in against]
        yield f"| {row.setting} | {row.connections:,} | {' | '.join(cells)} |"
    yield ""
    yield kind.note


def _ratio(ratio: float | None) -> str:
    return "–" if ratio is None else f"**{ratio:.2f}**"


def _floors(verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "| row | measured | floor | |"
    yield "|---|--:|--:|---|"
    for one in verdicts:
        kept = "kept" if one.is_kept else "**missed**"
        yield f"| {one.row} | {one.measured} | {one.floor} | {kept} |"
