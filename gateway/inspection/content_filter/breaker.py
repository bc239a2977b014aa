"""A circuit breaker: whoever failed several times in a row is left alone for a while.

After that one question goes through; its answer closes the circuit or opens it anew. No clock here:
times are seconds of one clock.
"""

FAILURES = 3
REST_SECONDS = 10.0


class Breaker:
    """Says whether to ask, and hears what came of it."""

    def __init__(self, *, failures: int = FAILURES, rest_seconds: float = REST_SECONDS) -> None:
        self._most = failures
        self._rest_seconds = rest_seconds
        self._failures = 0
        self._closed_from = 0.0

    def lets_through(self, now: float) -> bool:
        """Whether to ask now; where the circuit is open, one asker each rest is told so."""
        if self._failures < self._most:
            return True
        if now < self._closed_from:
            return False
        self._closed_from = now + self._rest_seconds
        return True

    def succeed(self) -> None:
        """An answer came."""
        self._failures = 0

    def fail(self, now: float) -> bool:
        """None came; returns whether that opens the circuit."""
        self._failures += 1
        if self._failures < self._most:
            return False
        self._closed_from = now + self._rest_seconds
        return self._failures == self._most
