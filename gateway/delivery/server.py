"""One connection of a lane: takes its jobs one by one and hands them over, whatever happens."""

import asyncio
import time
from typing import TYPE_CHECKING

import structlog
from django.conf import settings

from gateway.database import AWAY
from gateway.delivery.routes import NoRoute, Route, envelope, route
from gateway.transports import Outcome, Result, Transport

if TYPE_CHECKING:
    from gateway.delivery.lane import Job, Lane

# A connection is closed after so many messages or seconds, before a hop loses patience with it.
MESSAGES_PER_CONNECTION = 500
CONNECTION_SECONDS = 300.0

log = structlog.get_logger()


class Server:
    """Has the transport for the route as it is now, over many messages."""

    def __init__(self, lane: "Lane") -> None:
        self._lane = lane
        self._route: Route | None = None
        self._transport: Transport | None = None
        self._is_sending = False
        self._sent = 0
        self._opened_at = 0.0

    async def serve(self) -> None:
        """Take jobs until there are none for a while."""
        try:
            while (job := await self._lane.next_job()) is not None:
                if not await self._handle_in_turn(job):
                    return
        finally:
            if self._transport is not None:
                await self._transport.close()

    async def _handle_in_turn(self, job: "Job") -> bool:
        """A message whose octets are still to be read waits until there is room for them."""
        owner, lane, size = self._lane.owner, self._lane.name, job.first.size_octets
        if job.octets is not None:
            return await self._handle(job)
        try:
            await owner.large.take(lane, size)
        except asyncio.CancelledError:
            owner.finish(job, None, time.monotonic())
            raise
        try:
            return await self._handle(job)
        finally:
            owner.large.leave(lane, size)

    async def _handle(self, job: "Job") -> bool:
        began = time.monotonic()
        if began > job.start_by:
            self._lane.owner.finish(job, None, began)
            return True
        verdict = self._lane.verdict_without_try()
        if verdict is not None:
            self._lane.owner.finish(job, [verdict] * len(job.claimed), began)
            return True
        try:
            outcomes = await self._attempt(job)
        except asyncio.CancelledError:
            stopped = Outcome(Result.DEFERRED, "The worker was stopped.", is_at_once=True)
            self._lane.owner.finish(job, self._break_off(job, stopped), began)
            raise
        except AWAY as error:
            log.warning("a body cannot be read", delivery=str(job.first.id), error=str(error))
            self._lane.owner.finish(job, None, began)
            return True
        return self._lane.finish(self, job, outcomes, began)

    async def _attempt(self, job: "Job") -> list[Outcome]:
        """One try within its deadline; whatever goes wrong inside is an outcome.

        Raises psycopg's errors of a database that is away: nothing was tried then.
        """
        seconds = settings.DELIVERY_ATTEMPT_SECONDS
        try:
            async with asyncio.timeout(seconds):
                return await self._send(job)
        except TimeoutError:
            said = f"No end within {seconds} seconds."
            outcome = Outcome(Result.DEFERRED, said, self._lane.name, is_stalled=True)
            return self._break_off(job, outcome)
        except NoRoute as error:
            return [Outcome(Result.DEFERRED, str(error))] * len(job.claimed)
        except AWAY:
            raise
        except Exception:  # the worker's outer shell: counted towards quarantine
            log.exception("delivery crashed", delivery=str(job.first.id))
            crashed = Outcome(Result.CRASHED, "An internal error, see the worker's log.")
            return self._break_off(job, crashed)

    def _break_off(self, job: "Job", outcome: Outcome) -> list[Outcome]:
        """Drop the connection: the outcome for those of whom the other side has said nothing."""
        answers: list[Outcome | None] = []
        if self._transport is not None and self._is_sending:
            answers = self._transport.answers()
            self._transport.abort()
        self._is_sending = False
        return [answer or outcome for answer in answers] or [outcome] * len(job.claimed)

    async def _send(self, job: "Job") -> list[Outcome]:
        await self._lane.owner.begin(job.claimed)
        transport = await self._ready(route(job.first))
        octets: bytes | None = b""
        if transport.needs_octets:
            octets = job.octets
            if octets is None:
                octets = await self._lane.owner.read(job.first)
        if octets is None:
            lost = Outcome(Result.FAILED, "The message's octets are no longer stored.")
            return [lost] * len(job.claimed)
        envelopes = [envelope(each) for each in job.claimed]
        self._sent += 1
        self._is_sending = True
        outcomes = await transport.send(envelopes, octets)
        self._is_sending = False
        return outcomes

    async def _ready(self, wanted: Route) -> Transport:
        """The transport for this route; another's or a worn connection is closed first."""
        if self._transport is None or wanted != self._route or self._is_worn:
            if self._transport is not None:
                await self._transport.close()
            self._route, self._transport = wanted, wanted.open()
            self._sent, self._opened_at = 0, time.monotonic()
        return self._transport

    @property
    def _is_worn(self) -> bool:
        is_old = time.monotonic() - self._opened_at > CONNECTION_SECONDS
        return is_old or self._sent >= MESSAGES_PER_CONNECTION
