"""Asks hops about the mailboxes of a decision: once at a time, not longer than a deadline, rarely.

A hop that does not answer is left alone for a while, so that its recipients do not each wait for
the deadline. Nothing that goes wrong here refuses anybody.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from gateway import metrics
from gateway.call_ahead.caller import Caller
from gateway.call_ahead.memory import Memory, Question
from gateway.pending import Pending, pending_of
from gateway.routing import call_ahead
from gateway.routing.call_ahead import Presence, Word
from gateway.routing.decision import Decision, Destination
from gateway.routing.facts import Hop
from gateway.transports.connection import TROUBLE

log = structlog.get_logger("gateway")

REST_SECONDS = 10.0
# Hops with a caller at a time; beyond it, those that have nothing to do are forgotten.
MOST_CALLERS = 1000


class CallAhead:
    """The call-ahead of one event loop."""

    def __init__(
        self,
        *,
        hostname: str,
        deadline_seconds: float,
        connections_per_hop: int,
        memory: Memory,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hostname = hostname
        self._deadline_seconds = deadline_seconds
        self._connections_per_hop = connections_per_hop
        self._memory = memory
        self._clock = clock
        self._callers: dict[Hop, Caller] = {}
        self._asking: dict[Question, asyncio.Task[Word]] = {}
        self._resting: dict[Hop, float] = {}

    def judge(
        self, decision: Decision, *, is_international: bool = False
    ) -> Decision | Pending[Decision]:
        """The decision after the hops of `called_ahead` were asked; at once where all is known.

        `is_international` tells of a message that needs SMTPUTF8.
        """
        words = [self._known(place) for place in decision.called_ahead]
        if None not in words:
            known = [word for word in words if word is not None]
            return _judge(decision, known, is_international=is_international)
        asking = self._judge_asked(decision, is_international=is_international)
        return pending_of(asyncio.ensure_future(asking))

    async def judge_soon(self, decision: Decision) -> Decision:
        """As `judge`, for whoever awaits it."""
        judged = self.judge(decision)
        return judged if isinstance(judged, Decision) else await judged

    async def judge_now(self, decision: Decision) -> Decision:
        """As `judge`, and with connections closed at the end: for a page that asks once."""
        try:
            return await self._judge_asked(decision)
        finally:
            self.close()

    def close(self) -> None:
        """End the connections that are open."""
        for caller in self._callers.values():
            caller.close()

    async def _judge_asked(self, decision: Decision, *, is_international: bool = False) -> Decision:
        words = await asyncio.gather(*(self._word(place) for place in decision.called_ahead))
        return _judge(decision, words, is_international=is_international)

    def _known(self, place: Destination) -> Word | None:
        now = self._clock()
        word = self._memory.recall(_question(place), now)
        if word is None and now < self._resting.get(_question(place)[0], 0):
            return Word(Presence.UNKNOWN, "not asked, as it did not answer a moment ago")
        return word

    async def _word(self, place: Destination) -> Word:
        if (known := self._known(place)) is not None:
            return known
        question = _question(place)
        task = self._asking.get(question)
        if task is None:
            task = self._asking[question] = asyncio.ensure_future(self._ask(question))
            task.add_done_callback(lambda _: self._asking.pop(question))
        return await task

    async def _ask(self, question: Question) -> Word:
        hop, mailbox = question
        started = self._clock()
        try:
            async with asyncio.timeout(self._deadline_seconds):
                word = await self._caller(hop).ask(mailbox)
        except (*TROUBLE, ValueError) as error:  # ValueError: a host that is no name
            return self._let_rest(hop, error)
        finally:
            metrics.CALL_AHEAD_SECONDS.observe(self._clock() - started)
        self._memory.keep(question, word, self._clock())
        return word

    def _let_rest(self, hop: Hop, error: Exception) -> Word:
        said = call_ahead.readable(str(error) or "it did not answer in time")
        if self._clock() >= self._resting.get(hop, 0):
            log.warning("next hop not asked for a while", host=hop.host, port=hop.port, error=said)
        self._resting[hop] = self._clock() + REST_SECONDS
        return Word(Presence.UNKNOWN, said)

    def _caller(self, hop: Hop) -> Caller:
        caller = self._callers.get(hop)
        if caller is None:
            self._forget_idle()
            caller = self._callers[hop] = Caller(
                hop,
                hostname=self._hostname,
                connections=self._connections_per_hop,
                connect_seconds=self._deadline_seconds,
            )
        return caller

    def _forget_idle(self) -> None:
        if len(self._callers) < MOST_CALLERS:
            return
        self._callers = {hop: each for hop, each in self._callers.items() if not each.is_idle}
        now = self._clock()
        self._resting = {hop: until for hop, until in self._resting.items() if now < until}


def _judge(decision: Decision, words: list[Word], *, is_international: bool) -> Decision:
    for word in words:
        metrics.called_ahead(word.presence)
    return call_ahead.judge(decision, words, is_international=is_international)


def _question(place: Destination) -> Question:
    if place.hop is None or place.recipient is None:
        raise ValueError("only a mailbox at a next hop can be asked for")
    return place.hop, place.recipient
