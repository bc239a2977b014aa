"""The tables, and the file that they are made from again."""

from pathlib import Path

from benchmarks.case import Measurement, Sample
from benchmarks.cases import aliases, cases
from benchmarks.kinds import KINDS
from benchmarks.peers.catalogue import OTHERS, OURS
from benchmarks.plan import Plan
from benchmarks.report import Report

PLAN = Plan()
MACHINE = {
    "date": "2026-01-05",
    "processor": "2 × made up",
    "memory": "8 GiB",
    "kernel": "Linux 6",
    "python": "3.11",
    "file system": "ext4",
    "load before": "0.1",
}


def report() -> Report:
    def run(peer: str, rate: float, repeat: int) -> Measurement:
        sample = Sample(1.5, 4.25, per_second=rate, accepted=10, load_cpu_share=0.25)
        return Measurement(peer, "rcpt", aliases(PLAN.many), 16, repeat, sample)

    runs = [run("ours", 900, 0), run("Exim", 500, 0), run("ours", 1100, 1), run("ours", 1000, 2)]
    return Report(PLAN, MACHINE, {"Exim": "4.96"}, runs)


def test_a_table_shows_medians_latencies_the_loads_share_and_ratios() -> None:
    text = report().markdown()
    assert "| 1,000,000 aliases | 16 | 1,000 (1.50 / 4.25, 25%) | 500 (1.50 / 4.25, 25%)" in text
    assert "| – | **2.00** |" in text  # no Postfix, and Exim is the best
    assert "**missed**" in text  # not below Exim's 99th percentile


def test_the_file_gives_the_same_tables_again(tmp_path: Path) -> None:
    report().write(tmp_path / "latest.json")
    assert Report.read(tmp_path / "latest.json").markdown() == report().markdown()


def test_each_case_has_its_table_and_servers_that_exist() -> None:
    for case in cases(PLAN):
        assert case.name in KINDS
        assert set(case.peers) <= OURS.keys() | OTHERS.keys()
    assert {case.name for case in cases(PLAN)} == KINDS.keys()
