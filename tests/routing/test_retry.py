"""Retry: doubling from five minutes to about 67, given up after five days."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.retry import LIFETIME, delay, is_given_up


@pytest.mark.parametrize(
    ("attempts", "seconds"),
    [(0, 300), (1, 300), (2, 600), (3, 1200), (4, 2400), (5, 4000), (6, 4000), (10_000, 4000)],
)
def test_delay_doubles_up_to_a_ceiling(attempts, seconds):
    assert delay(attempts) == timedelta(seconds=seconds)


def test_delay_starts_where_it_is_told():
    assert delay(2, first=timedelta(seconds=1)) == timedelta(seconds=2)


@given(st.integers(1, 1000), st.floats(0, 1))
def test_jitter_moves_a_delay_by_a_tenth_at_most(attempts, spread):
    exact = delay(attempts)

    assert exact * 0.9 <= delay(attempts, spread=spread) <= exact * 1.1


def test_given_up_after_five_days():
    assert not is_given_up(LIFETIME - timedelta(seconds=1))
    assert is_given_up(timedelta(days=5))
