"""How a worker's threads are shared out, so that mail never waits for other work.

Delivery is one task among many: what may take long holds few threads of a process, and what comes
beyond goes away at once, since its rows wait for whoever holds them or for the next schedule.
"""

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

THREADS = 12
"""Of a worker process, as deploy/ and `manage.py up` start it: more than all of these together."""

DNS_CHECKS = 3
JOBS = 2
TELLERS = 2
ALONE = 4
"""Purge, look over, count and look for trouble: each holds one at most, in all processes."""

P = ParamSpec("P")


def at_most(threads: int) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Let so many threads of a process run a function at a time; a call beyond does nothing."""

    def decorate(work: Callable[P, None]) -> Callable[P, None]:
        free = threading.BoundedSemaphore(threads)

        @wraps(work)
        def run(*arguments: P.args, **keywords: P.kwargs) -> None:
            if free.acquire(blocking=False):
                try:
                    work(*arguments, **keywords)
                finally:
                    free.release()

        return run

    return decorate
