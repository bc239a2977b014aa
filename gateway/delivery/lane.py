"""A lane: deliveries to one next hop, and the connections that take them there in turn.

It starts with one connection and widens with each answer, as far as the cap and the hop allow. A
hop that cannot be reached is left alone for a while: what waits for it is deferred without a try.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from django.conf import settings

from gateway.delivery.queue import Claimed
from gateway.delivery.routes import NoRoute, Route, envelope, route
from gateway.transports import Outcome, Result, Transport

IDLE_SECONDS = 2.0
DOWN_SECONDS = 10.0
# So many may wait per connection before the lane asks for no more.
QUEUE_FACTOR = 8

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed delivery with its octets, if they were small enough to be read ahead.

    It must begin before `start_by` (monotonic seconds), since its lease ends after that.
    """

    claimed: Claimed
    octets: bytes | None
    start_by: float


# Takes the job, what came of it (None: it was not tried), and when the try began.
Finish = Callable[[Job, Outcome | None, float], None]
Read = Callable[[Claimed], Awaitable[bytes | None]]


class Lane:
    """Serves jobs in order over up to `width` connections."""

    def __init__(self, *, width: int, read: Read, finish: Finish) -> None:
        self._read, self._finish = read, finish
        self._widest, self._width = width, 1
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = 0
        self._working: set[Server] = set()
        self._down_until = 0.0
        self._down_reply = ""

    @property
    def is_busy(self) -> bool:
        return self._queue.qsize() >= self._widest * QUEUE_FACTOR

    def add(self, job: Job) -> None:
        self._queue.put_nowait(job)
        self._widen()

    def give_back(self) -> None:
        """Finish what waits without trying it."""
        while not self._queue.empty():
            self._finish(self._queue.get_nowait(), None, time.monotonic())

    async def stop(self) -> None:
        """End all connections; a try that is under way is broken off and deferred."""
        self.give_back()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def next_job(self) -> Job | None:
        """The next in the queue; None after some seconds without one."""
        try:
            return self._queue.get_nowait()
        except asyncio.QueueEmpty:
            pass
        self._idle += 1
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return await self._queue.get()
        except TimeoutError:
            return None
        finally:
            self._idle -= 1

    async def read(self, claimed: Claimed) -> bytes | None:
        return await self._read(claimed)

    def verdict_without_try(self, job: Job) -> Outcome | None:
        """Why a job is not tried now, if so: the hop was found unreachable a moment ago."""
        if time.monotonic() >= self._down_until:
            return None
        reply = f"Not tried, since the next hop was unreachable: {self._down_reply}"
        return Outcome(Result.DEFERRED, reply, job.claimed.lane)

    def finish(self, server: "Server", job: Job, outcome: Outcome | None, began: float) -> bool:
        """Take a result; False asks the server to end, for the hop wants fewer connections."""
        if outcome is not None and outcome.is_unreachable:
            self._working.discard(server)
            if self._working:
                self._widest = self._width = max(1, len(self._working))
                self.add(job)
                return False
            self._down_until = time.monotonic() + DOWN_SECONDS
            self._down_reply = outcome.reply
            self._width = 1
        elif outcome is not None:
            self._working.add(server)
            self._width = min(self._widest, self._width + 1)
            self._widen()
        self._finish(job, outcome, began)
        return True

    def _widen(self) -> None:
        if len(self._tasks) < self._width and self._queue.qsize() > self._idle:
            server = Server(self)
            task = asyncio.create_task(server.serve())
            self._tasks.add(task)
            task.add_done_callback(lambda ended: self._ended(server, ended))

    def _ended(self, server: "Server", task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._working.discard(server)
        if not self._queue.empty() and not task.cancelled():
            self._widen()


class Server:
    """One connection of a lane, with the transport for the route as it is now."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._route: Route | None = None
        self._transport: Transport | None = None

    async def serve(self) -> None:
        """Take jobs until there are none for a while."""
        try:
            while (job := await self._lane.next_job()) is not None:
                if not await self._handle(job):
                    return
        finally:
            if self._transport is not None:
                await self._transport.close()

    async def _handle(self, job: Job) -> bool:
        began = time.monotonic()
        if began > job.start_by:
            return self._lane.finish(self, job, None, began)
        outcome = self._lane.verdict_without_try(job)
        if outcome is None:
            try:
                outcome = await self._attempt(job)
            except asyncio.CancelledError:
                self._abort()
                stopped = Outcome(Result.DEFERRED, "The worker was stopped.", is_at_once=True)
                self._lane.finish(self, job, stopped, began)
                raise
        return self._lane.finish(self, job, outcome, began)

    async def _attempt(self, job: Job) -> Outcome:
        """One try within its deadline; whatever goes wrong inside is an outcome."""
        seconds = settings.DELIVERY_ATTEMPT_SECONDS
        try:
            async with asyncio.timeout(seconds):
                return await self._send(job)
        except TimeoutError:
            self._abort()
            return Outcome(Result.DEFERRED, f"No end within {seconds} seconds.", job.claimed.lane)
        except NoRoute as error:
            return Outcome(Result.DEFERRED, str(error))
        except Exception:  # the worker's outer shell: counted towards quarantine
            self._abort()
            log.exception("delivery crashed", delivery=str(job.claimed.id))
            return Outcome(Result.CRASHED, "An internal error, see the worker's log.")

    async def _send(self, job: Job) -> Outcome:
        transport = await self._ready(route(job.claimed))
        octets: bytes | None = b""
        if transport.needs_octets:
            octets = job.octets if job.octets is not None else await self._lane.read(job.claimed)
        if octets is None:
            return Outcome(Result.FAILED, "The message's octets are no longer stored.")
        return (await transport.send([envelope(job.claimed)], octets))[0]

    async def _ready(self, wanted: Route) -> Transport:
        """The transport for this route; another one's connection is closed first."""
        if self._transport is None or wanted != self._route:
            if self._transport is not None:
                await self._transport.close()
            self._route, self._transport = wanted, wanted.open()
        return self._transport

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
