"""Counts in one-minute buckets, so that no rolling hour ever exceeds a limit.

A window is the current minute and the sixty before it: whichever 3,600 seconds one looks at,
all of them lie inside. Two gateways share a window because its row is locked while it is changed.
"""

from collections.abc import Sequence

from msgspec import Struct

MINUTES = 61


class RollingHour(Struct, frozen=True):
    """`counts[0]` belongs to `minute` (minutes since the epoch), `counts[i]` to the i-th before."""

    minute: int = 0
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, minute: int, counts: Sequence[int]) -> "RollingHour":
        return cls(minute, tuple(counts))

    def at(self, minute: int) -> "RollingHour":
        """The window as it stands at a minute; a clock that went back changes nothing."""
        elapsed = max(0, minute - self.minute)
        if elapsed == 0:
            return self
        shifted = ((0,) * min(elapsed, MINUTES) + self.counts)[:MINUTES]
        return RollingHour(minute, shifted)

    @property
    def total(self) -> int:
        return sum(self.counts)

    def take(self, units: int) -> "RollingHour":
        """The window with `units` more in its current minute."""
        head, *rest = self.counts or (0,)
        return RollingHour(self.minute, (head + units, *rest))
