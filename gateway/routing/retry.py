"""When a deferred delivery is tried again: doubling as Postfix does, with jitter that is passed in.

Defaults follow postconf(5): minimal_backoff_time 300 s, maximal_backoff_time 4,000 s,
maximal_queue_lifetime 5 days.
"""

from datetime import timedelta

FIRST_DELAY = timedelta(seconds=300)
LONGEST_DELAY = timedelta(seconds=4000)
LIFETIME = timedelta(days=5)
JITTER = 0.1


def delay(attempts: int, *, first: timedelta = FIRST_DELAY, spread: float = 0.5) -> timedelta:
    """How long to wait after the n-th attempt (from 1); `spread` in 0..1 moves it by ±10 %."""
    doublings = min(max(attempts - 1, 0), 16)
    return min(first * (1 << doublings), LONGEST_DELAY) * (1 + JITTER * (2 * spread - 1))


def is_given_up(age: timedelta, *, lifetime: timedelta = LIFETIME) -> bool:
    """Whether a message of this age is not tried again."""
    return age >= lifetime
