"""How long each session may keep a connection: all timers of the gateway's sessions stand here.

One watch looks at every session in turn, so that a command costs a session no timer of its own. A
session is judged by what it is waited for; only whole commands and octets of messages count.
"""

import asyncio
from collections.abc import Callable, Collection
from enum import Enum, auto
from typing import Protocol

from gateway import metrics
from gateway.routing import replies
from gateway.smtpd.limits import Limits
from gateway.smtpd.strangers import Strangers

# How often the watch looks; a deadline may be passed by as much.
LONGEST_PERIOD_SECONDS = 1.0


class Phase(Enum):
    """What a session waits for."""

    COMMAND = auto()
    ANSWER = auto()  # ours
    CONTENT = auto()
    HANDSHAKE = auto()  # of TLS, or a PROXY header: no words can be said yet
    GOODBYE = auto()  # the client, to read our last words


# Others are cut without a word.
LAST_WORDS = {
    Phase.COMMAND: replies.IDLE,
    Phase.ANSWER: replies.IDLE,
    Phase.CONTENT: replies.TOO_SLOW,
}


class Pulse:
    """Signs of life of one session, in seconds of the loop's clock and in octets."""

    __slots__ = ("_mark", "_octets_at_mark", "_phase", "heard_at", "octets")

    def __init__(self, now: float) -> None:
        self.heard_at = now
        self.octets = 0
        self._phase = Phase.COMMAND
        self._mark = now
        self._octets_at_mark = 0

    def is_overdue(
        self, phase: Phase, now: float, seconds: float, octets_per_second: float
    ) -> bool:
        """Whether what is waited for has not come within `seconds`, or a message too slowly."""
        if phase is not self._phase:
            self._phase = phase
            self._set_mark(now)
        if phase is not Phase.CONTENT:
            return now - max(self._mark, self.heard_at) >= seconds
        passed = now - self._mark
        if passed < seconds:
            return False
        came = self.octets - self._octets_at_mark
        self._set_mark(now)
        return came < octets_per_second * passed

    def _set_mark(self, now: float) -> None:
        self._mark = now
        self._octets_at_mark = self.octets


class Watched(Protocol):
    """A session as the watch sees it."""

    pulse: Pulse

    @property
    def phase(self) -> Phase:
        """What it waits for."""
        ...

    def say_goodbye(self, reply: replies.Reply) -> None:
        """Close it, telling the client why first."""
        ...

    def abort(self) -> None:
        """Cut it without a word."""
        ...


async def watch(
    sessions: Collection[Watched], strangers: Strangers, clock: Callable[[], float]
) -> None:
    """End the sessions that keep us waiting, until cancelled."""
    limits = strangers.limits
    period = _period(limits)
    while True:
        due = clock() + period
        await asyncio.sleep(period)
        now = clock()
        metrics.LOOP_LAG_SECONDS.observe(max(0, now - due))
        patience = patience_of(limits, is_stressed=strangers.is_stressed)
        for session in tuple(sessions):
            phase = session.phase
            if session.pulse.is_overdue(phase, now, patience[phase], limits.octets_per_second):
                _end(session, phase)


def patience_of(limits: Limits, *, is_stressed: bool) -> dict[Phase, float]:
    """Seconds that a session may keep us waiting in each phase."""
    longest = limits.stress_seconds if is_stressed else float("inf")
    return {
        Phase.COMMAND: min(longest, limits.idle_seconds),
        Phase.ANSWER: limits.idle_seconds,  # the client waits for us
        Phase.CONTENT: min(longest, limits.progress_seconds),
        Phase.HANDSHAKE: min(longest, limits.handshake_seconds),
        Phase.GOODBYE: min(longest, limits.linger_seconds),
    }


def _end(session: Watched, phase: Phase) -> None:
    words = LAST_WORDS.get(phase)
    if words is not None:
        session.say_goodbye(words)
    else:
        session.abort()


def _period(limits: Limits) -> float:
    shortest = min(patience_of(limits, is_stressed=True).values())
    return min(LONGEST_PERIOD_SECONDS, shortest / 4)
