"""Room in memory for large messages, shared by lanes.

Who holds room may hold it for as long as an attempt may last: a next hop that falls silent answers
none of its connections. So no lane takes more than it leaves to the others.
"""

import asyncio
from collections import Counter


class Room:
    """So many octets in all. A message of more than half of that counts as half."""

    def __init__(self, octets: int) -> None:
        self._free = octets
        self._most = octets // 2
        self._held: Counter[str] = Counter()
        self._waiting: dict[asyncio.Future[None], tuple[str, int]] = {}

    async def take(self, lane: str, octets: int) -> None:
        """Return once there is room; who waits for less may come first."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting[waiter] = lane, min(octets, self._most)
        self._admit()
        try:
            await waiter
        except asyncio.CancelledError:
            if self._waiting.pop(waiter, None) is None:  # it had room by then
                self.leave(lane, octets)
            raise

    def leave(self, lane: str, octets: int) -> None:
        """Give back what was taken."""
        self._move(lane, -min(octets, self._most))
        self._admit()

    def _admit(self) -> None:
        for waiter, (lane, octets) in list(self._waiting.items()):
            if not waiter.done() and self._has_room(lane, octets):
                del self._waiting[waiter]
                self._move(lane, octets)
                waiter.set_result(None)

    def _has_room(self, lane: str, octets: int) -> bool:
        left = self._free - octets
        return left >= 0 and (lane not in self._held or self._held[lane] + octets <= left)

    def _move(self, lane: str, octets: int) -> None:
        self._free -= octets
        self._held[lane] += octets
        if not self._held[lane]:
            del self._held[lane]
