"""The rolling hour: whichever 3,600 seconds one looks at, never more than the limit."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.window import MINUTES, RollingHour

HOUR = 3600


def admit(moments: list[int], limit: int) -> list[int]:
    """The seconds at which one unit each was let in."""
    window, admitted = RollingHour(), []
    for second in moments:
        window = window.at(second // 60)
        if window.total + 1 <= limit:
            window = window.take(1)
            admitted.append(second)
    return admitted


@given(st.lists(st.integers(0, 3 * HOUR), max_size=60), st.integers(1, 8))
def test_no_rolling_hour_holds_more_than_the_limit(gaps, limit):
    moments = [1_700_000_000 + second for second in sorted(gaps)]
    admitted = admit(moments, limit)

    for first in admitted:
        assert sum(first <= second < first + HOUR for second in admitted) <= limit


def test_a_full_window_admits_again_after_61_minutes():
    admitted = admit([0, 59, 3600, 3659, 3660, 3661], limit=2)

    assert admitted == [0, 59, 3660, 3661]


@given(st.lists(st.tuples(st.integers(-5, 200), st.integers(0, 9)), max_size=40))
def test_the_window_never_grows_beyond_its_buckets(steps):
    window, minute = RollingHour(), 1000
    for elapsed, units in steps:
        minute += elapsed
        window = window.at(minute).take(units)

        assert len(window.counts) <= MINUTES
        assert 0 <= window.total <= sum(units for _, units in steps)


def test_a_clock_that_went_back_changes_nothing():
    window = RollingHour.of(100, [3, 2])

    assert window.at(90) == window
    assert window.at(90).take(1).total == 6
