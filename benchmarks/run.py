"""What one run of the load generator counts: right replies, wrong ones, latencies.

A run passes from waiting through warming up and recording to done; only what is
answered while recording makes a figure. The first wrong reply ends the run.
"""

from collections.abc import Callable
from time import perf_counter

from benchmarks.histogram import Histogram


class Run:
    """The state that all sessions of one run share."""

    def __init__(self, *, limit: int, on_done: Callable[[], None]) -> None:
        self.limit = limit
        self.latencies = Histogram()
        self.is_recording = False
        self.accepted = 0  # positive final replies of the whole run, warm-up included
        self.recorded_seconds = 0.0
        self.failure = ""
        self._is_going = False
        self._on_done = on_done
        self._recording_since = 0.0

    def is_going(self) -> bool:
        """Whether sessions shall ask on; changes while they wait for a reply."""
        return self._is_going

    def begin(self) -> None:
        self._is_going = True

    def record(self) -> None:
        if self._is_going:
            self.is_recording = True
            self._recording_since = perf_counter()

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
        """Count one decision asked for at `started`; a wrong one fails the run."""
        if reply[:3] != expected:
            self.fail(f"expected {expected!r}, was answered {reply[:200]!r}")
            return
        if expected == b"250":
            self.accepted += 1
        if self.is_recording:
            self.latencies.record(perf_counter() - started)
            if self.latencies.total >= self.limit:
                self.finish()
