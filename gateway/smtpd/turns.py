"""Large messages take turns: a piece of one of them a turn of the loop, whoever else comes between.

A piece of a quarter of a MiB takes about a millisecond to look through, and the network may bring
one for each of fifty connections at a time: a small message would wait for them all at each step.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class Turns:
    """Calls those who wait, one in each turn of the loop, in their order."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` when its turn comes."""
        self._waiting.append(go_on)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._call_next)

    def _call_next(self) -> None:
        go_on = self._waiting[0]
        try:
            go_on()
        finally:
            self._waiting.popleft()
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._call_next)
