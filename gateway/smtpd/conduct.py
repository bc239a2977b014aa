"""How a client behaves in one session, pure: what it hears in, how long it has to wait out.

Counted as RFC 5321 §4.3.2 and Postfix do: every refusal and every command that is none, and the
empty talk beyond a budget. Our own trouble is nobody's error, and a stored message forgives.
"""

from gateway.smtpd.limits import Limits

# Commands that move no mail.
IDLE_TALK = frozenset({"EHLO", "EXPN", "HELO", "HELP", "NOOP", "RSET", "VRFY"})
# RFC 3463 §3.4: the trouble is the mail system's, ours.
OWN_TROUBLE = "4.3."
POSTPONED = "4.5.3"


class Conduct:
    """The errors of one session so far."""

    __slots__ = ("_idle_talk", "_postponed", "errors", "has_erred")

    def __init__(self) -> None:
        self.errors = 0
        # Whether the command that is being answered was an error.
        self.has_erred = False
        self._idle_talk = 0
        self._postponed = 0

    def hear(self, verb: str, limits: Limits) -> None:
        """Note a command, in capitals."""
        if verb in IDLE_TALK:
            self._idle_talk += 1
            self.has_erred = self._idle_talk > limits.max_idle_talk

    def answer(self, code: int, enhanced: str, limits: Limits) -> bool:
        """Note an answer by its codes; returns whether the command was an error."""
        is_error = self.has_erred or (code >= 400 and self._is_fault(enhanced, limits))
        self.errors += is_error
        self.has_erred = False
        return is_error

    def delay(self, limits: Limits) -> float:
        """Seconds that an answer to an error has to wait: more with each error."""
        return limits.delay_seconds * max(0, self.errors - limits.tarpit_errors + 1)

    def is_over(self, limits: Limits, *, is_stressed: bool) -> bool:
        """Whether the session ends now: where connections are scarce, nobody is made to wait."""
        return self.errors >= (limits.tarpit_errors if is_stressed else limits.max_errors)

    def forgive(self) -> None:
        """A message was stored: this is no client that only errs."""
        self.errors = self._idle_talk = self._postponed = 0

    def _is_fault(self, enhanced: str, limits: Limits) -> bool:
        if enhanced == POSTPONED:
            self._postponed += 1
            return self._postponed > limits.max_postponed
        return not enhanced.startswith(OWN_TROUBLE)
