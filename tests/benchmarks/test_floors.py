"""Floors: kept, missed, or left out where nothing was measured."""

import pytest

from benchmarks import cases
from benchmarks.case import Measurement, Sample
from benchmarks.figures import Figures
from benchmarks.floors import judge
from benchmarks.plan import Plan

PLAN = Plan()
FEW, MANY = cases.aliases(PLAN.few), cases.aliases(PLAN.many)


def measured(peer: str, case: str, setting: str, connections: int, **values: float) -> Measurement:
    sample = {"p50_ms": 1.0, "p99_ms": 2.0, **values}
    return Measurement(peer, case, setting, connections, 0, Sample(**sample))  # type: ignore[arg-type]


def rates(case: str, setting: str, connections: int, **per_second: float) -> list[Measurement]:
    return [
        measured(peer, case, setting, connections, per_second=rate, p99_ms=2 + (peer != "ours"))
        for peer, rate in per_second.items()
    ]


def verdicts(*measurements: Measurement) -> dict[str, bool]:
    return {
        f"{one.measured}, {one.floor}": one.is_kept for one in judge(Figures(measurements), PLAN)
    }


def test_without_measurements_there_is_no_verdict() -> None:
    assert verdicts() == {}


def test_a_rate_is_held_against_the_fastest_peer_of_its_row() -> None:
    found = verdicts(*rates("rcpt", MANY, 64, ours=1000, Postfix=100, Exim=600, Haraka=400))
    assert found == {
        "10.00 × Postfix, at least 1.5 × Postfix": True,
        "10.00 × Postfix, at least 6 × Postfix": True,
        "1.67 × Exim, at least 2 × the best peer": False,
        "99th percentile 2.00 ms, below Exim's 3.00 ms": True,
    }


def test_with_few_aliases_postfix_alone_is_the_yardstick() -> None:
    found = verdicts(*rates("rcpt", FEW, 16, ours=140, Postfix=100))
    assert found == {"1.40 × Postfix, at least 1.5 × Postfix": False}


LIMITS = [
    ("away", "1 ms away", 16, {"p99_ms": 19.9}, True),
    ("away", "1 ms away", 16, {"p99_ms": 20.1}, False),
    ("away", "80 ms away", 64, {"p99_ms": 99.0}, True),
    ("messages", MANY, 64, {"p99_ms": 51.0}, False),
    ("freshness", MANY, 2, {"stale": 0}, True),
    ("freshness", MANY, 2, {"stale": 1}, False),
]


@pytest.mark.parametrize(("case", "setting", "connections", "values", "is_kept"), LIMITS)
def test_a_limit_is_kept_or_missed(
    case: str, setting: str, connections: int, values: dict[str, float], is_kept: bool
) -> None:
    assert [*verdicts(measured("ours", case, setting, connections, **values)).values()] == [is_kept]


def test_memory_and_greetings_are_limited_each() -> None:
    found = verdicts(measured("ours", "idle", MANY, 1000, memory_mib=17.0, p99_ms=5.0))
    assert [*found.values()] == [False, True]


@pytest.mark.parametrize(("many", "is_kept"), [(900, True), (800, False)])
def test_more_aliases_may_cost_a_little(many: float, is_kept: bool) -> None:
    found = verdicts(*rates("rcpt", FEW, 16, ours=1000), *rates("rcpt", MANY, 16, ours=many))
    assert [*found.values()] == [is_kept]


@pytest.mark.parametrize(("full", "is_kept"), [(95, True), (60, False)])
def test_a_backlog_may_cost_nothing(full: float, is_kept: bool) -> None:
    found = verdicts(
        *rates("end-to-end", cases.waiting(0), 16, ours=100),
        *rates("end-to-end", cases.waiting(PLAN.backlog), 16, ours=full),
    )
    assert [*found.values()] == [is_kept]


def test_of_repeats_the_median_counts_and_of_stale_replies_the_most() -> None:
    runs = [
        Measurement("ours", "freshness", MANY, 2, repeat, Sample(p50_ms, 2.0, stale=stale))
        for repeat, (p50_ms, stale) in enumerate([(1.0, 0), (9.0, 3), (2.0, 0)])
    ]
    figures = Figures(runs)
    figure = figures.find(figures.rows[0])
    assert figure is not None
    assert (figure.p50_ms, figure.stale) == (2.0, 3)
