"""Bars stay inside the chart, stack without gaps, and are in proportion."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.watch.chart import HEIGHT, LEFT, WIDTH, Series, compact, draw, round_up


@pytest.mark.parametrize(
    ("number", "top"),
    [(0, 2), (2, 2), (3, 4), (5, 6), (11, 12), (17, 20), (21, 40), (99, 100), (101, 120)],
)
def test_scale_ends_at_a_round_number(number: int, top: int) -> None:
    assert round_up(number) == top


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (1500, "1.5k"), (20_000, "20k"), (4_000_000, "4M")]
)
def test_large_numbers_are_short(number: int, text: str) -> None:
    assert compact(number) == text


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1, max_size=40))
def test_bars_stay_inside_and_what_is_zero_is_not_drawn(rows: list[tuple[int, int]]) -> None:
    series = [Series("a", tuple(a for a, _ in rows)), Series("b", tuple(b for _, b in rows))]
    chart = draw("Title", [str(i) for i in range(len(rows))], series)
    assert len(chart.bars) == sum(bool(value) for row in rows for value in row)
    for bar in chart.bars:
        assert LEFT <= float(bar.x) <= float(bar.x) + float(bar.width) <= WIDTH + 0.1
        assert 0 <= float(bar.y) <= float(bar.y) + float(bar.height) <= HEIGHT - 21


def test_stack_has_no_gap_and_says_what_it_is() -> None:
    chart = draw("Refused", ["12:00"], [Series("rate", (10,)), Series("spam", (30,))])
    lower, upper = chart.bars
    assert float(upper.y) + float(upper.height) == pytest.approx(float(lower.y), abs=0.2)
    assert float(upper.height) == pytest.approx(3 * float(lower.height), abs=0.3)
    assert upper.title == "12:00: 30 spam"
    assert chart.summary == "Refused: 10 rate, 30 spam"
