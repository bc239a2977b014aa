"""CPU time of this thread, for tests that no stranger's octets hold the event loop.

Ratios of small and large inputs instead of seconds: a busy machine slows both alike.
"""

import gc
import time
from collections.abc import Callable

# Below this a measured difference is that of the clock and of calls.
FLOOR_SECONDS = 0.0005


def growth(work: Callable[[int], Callable[[], object]], small: int, *, times: int = 4) -> float:
    """How often the cost of `small` fits into that of `times` as much; `times` is linear.

    `work` makes a call for a size, whose making does not count.
    """
    return _seconds(work(small * times)) / _seconds(work(small))


def _seconds(call: Callable[[], object], *, tries: int = 3) -> float:
    """The least of a few tries, in CPU time; collecting garbage is another's cost."""
    gc.disable()
    try:
        return min(_once(call) for _ in range(tries)) + FLOOR_SECONDS
    finally:
        gc.enable()


def _once(call: Callable[[], object]) -> float:
    started = time.thread_time()
    call()
    return time.thread_time() - started
