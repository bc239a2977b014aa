"""Latencies in a fixed number of buckets, each 2 % wider than the one before.

Bounded memory however long a run is; a percentile is right to within 2 %.
"""

from math import exp, log

_WIDTH = log(1.02)
_BUCKETS = 1_000  # 1 microsecond * 1.02**1000 is 398 seconds


class Histogram:
    """Counts of durations between one microsecond and six minutes."""

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.total = 0

    def record(self, seconds: float, times: int = 1) -> None:
        bucket = int(log(seconds * 1e6) / _WIDTH) if seconds > 1e-6 else 0
        self._counts[min(bucket, _BUCKETS - 1)] += times
        self.total += times

    def percentile(self, percent: float) -> float | None:
        """Upper edge in milliseconds of the bucket that holds it; None when empty."""
        wanted = self.total * percent / 100
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return exp((bucket + 1) * _WIDTH) / 1e3
        return None
