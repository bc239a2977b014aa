"""What one run of the load generator counts: right replies, wrong ones, latencies.

A run passes from waiting through warming up and recording to done; only what is
answered while recording makes a figure. The first wrong reply ends the run.
"""

from collections.abc import Callable, Sequence
from time import monotonic, perf_counter

from benchmarks.histogram import Histogram


class Run:
    """The state that all sessions of one run share."""

    def __init__(self, *, limit: int, on_done: Callable[[], None]) -> None:
        self.limit = limit
        self.latencies = Histogram()
        self.is_recording = False
        self.accepted = 0  # positive final replies of the whole run, warm-up included
        self.deferred = 0  # messages answered 4xx, where these are sent again
        self.recorded_seconds = 0.0
        self.failure = ""
        self.began_at = 0.0  # by the clock that all processes of the machine share
        self._is_going = self._is_over = False
        self._on_done = on_done
        self._recording_since = 0.0

    def is_going(self) -> bool:
        """Whether sessions shall ask on; changes while they wait for a reply."""
        return self._is_going

    def begin(self) -> None:
        self._is_going = True
        self.began_at = monotonic()

    def record(self) -> None:
        if self._is_going:
            self.is_recording = True
            self._recording_since = perf_counter()

    def end(self) -> None:
        """The time is up: finish, as soon as there is anything to make a figure of."""
        self._is_over = True
        if self.latencies.total:
            self.finish()

    def finish(self) -> None:
        """Let every session end after the reply it waits for."""
        if self.is_recording:
            self.recorded_seconds = perf_counter() - self._recording_since
        if self._is_going:
            self._is_going = self.is_recording = False
            self._on_done()

    def fail(self, reason: str) -> None:
        self.failure = self.failure or reason
        self.finish()
        self._on_done()

    def settle(self, started: float, reply: bytes, expected: bytes) -> None:
        """Count and time one decision asked for at `started`; a wrong one fails the run."""
        if self.count(reply, expected) and self.is_recording:
            self._record(perf_counter() - started, 1)

    def settle_all(
        self, started: float, replies: Sequence[bytes], expected: Sequence[bytes]
    ) -> None:
        """Count decisions asked for at once; each took until the last one was answered."""
        if all([*map(self.count, replies, expected)]) and self.is_recording:
            self._record(perf_counter() - started, len(replies))

    def count(self, reply: bytes, expected: bytes) -> bool:
        """Count a reply without its time; False for a wrong one, which fails the run."""
        if reply[:3] != expected:
            self.fail(f"expected {expected!r}, was answered {reply[:200]!r}")
            return False
        if expected == b"250":
            self.accepted += 1
        return True

    def _record(self, seconds: float, decisions: int) -> None:
        self.latencies.record(seconds, decisions)
        if self._is_over or self.latencies.total >= self.limit:
            self.finish()
