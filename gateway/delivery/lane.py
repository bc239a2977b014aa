"""A lane: deliveries to one next hop, and the connections that take them there in turn.

It starts with one connection and widens with each answer, as far as the cap and the hop allow;
tenants take turns. A hop that cannot be reached is left alone for a while: what waits for it is
deferred without a try, and other workers are told.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.delivery.fair import FairQueue
from gateway.delivery.outages import News
from gateway.delivery.queue import ROOM, Claimed, Turn
from gateway.delivery.room import Room
from gateway.delivery.routes import place
from gateway.delivery.server import Server
from gateway.transports import Outcome, Result

IDLE_SECONDS = 2.0
DOWN_SECONDS = 10.0
# So long a lane stays as wide as the hop allowed when it refused another connection.
NARROW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """Claimed deliveries that share one transaction; `octets` are None where not read yet.

    They must begin before `start_by` (monotonic seconds), since their lease ends after that.
    """

    claimed: tuple[Claimed, ...]
    octets: bytes | None
    start_by: float

    @property
    def first(self) -> Claimed:
        """The one that stands for all in what they have in common."""
        return self.claimed[0]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom a lane works for: it reads octets, and takes results and news of the hop.

    `may_send` returns once outcomes can be written, so that none is lost. `begin` is told what is
    tried from now on, so that what only waits is not taken for what ends a worker. Who reads octets
    and sends them takes room for them in `large` meanwhile. `finish` gets the job, an outcome for
    each delivery (None: it was not tried), and when the try began.
    """

    may_send: Callable[[], Awaitable[object]]
    begin: Callable[[Sequence[Claimed]], Awaitable[None]]
    read: Callable[[Claimed], Awaitable[bytes | None]]
    large: Room
    finish: Callable[[Job, list[Outcome] | None, float], None]
    tell: Callable[[News], None]


class Lane:
    """Serves jobs over up to `width` connections."""

    def __init__(self, name: str, *, width: int, owner: Owner) -> None:
        self.name = name
        self.owner = owner
        self._cap, self._widest, self._width = width, width, 1
        self._widens_at = 0.0
        self._queue: FairQueue[Job] = FairQueue()
        self._count = 0
        self._last_tenant = -1
        self._servers: dict[Server, asyncio.Task[None]] = {}
        self._idle: deque[asyncio.Future[None]] = deque()
        self._working: set[Server] = set()
        self._is_out = False
        self._down_until = 0.0
        self._down_reply = ""
        self._last_answer = 0.0

    @property
    def turn(self) -> Turn:
        """What may be claimed for it now: little until it is known how fast the hop answers."""
        is_closed = self._is_down or (self._is_out and self._is_trying)
        room = 0 if is_closed else max(0, self._width * ROOM - self._count)
        return Turn(self.name, room, self._last_tenant)

    @property
    def is_asleep(self) -> bool:
        """Whether nothing is left of it that the next one would not find out."""
        return not (self._servers or self._queue or self._is_down)

    def add(self, job: Job) -> None:
        """Queue a job, and open a connection for it if there may be one more."""
        self._last_tenant = job.first.tenant_id or 0
        self._is_out = self._is_out or job.first.is_out
        self._queue.put(job.first.tenant_id, job)
        self._count += len(job.claimed)
        self._widen()

    def give_back(self) -> None:
        """Finish what waits without trying it."""
        while self._queue:
            self.owner.finish(self._take(), None, time.monotonic())

    async def stop(self) -> None:
        """End all connections; a try that is under way is broken off and deferred."""
        self.give_back()
        tasks = list(self._servers.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def next_job(self) -> Job | None:
        """The next in the queue; None after some seconds without one."""
        await self.owner.may_send()
        while not self._queue:
            wake = asyncio.get_running_loop().create_future()
            self._idle.append(wake)
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await wake
            except TimeoutError:
                return None
            finally:
                with suppress(ValueError):
                    self._idle.remove(wake)
            await self.owner.may_send()
        return self._take()

    def verdict_without_try(self) -> Outcome | None:
        """Why nothing is tried now, if so: the hop was found unreachable a moment ago."""
        if not self._is_down:
            return None
        reply = f"Not tried, since the next hop was unreachable: {self._down_reply}"
        return Outcome(Result.DEFERRED, reply, self.name)

    def finish(self, server: Server, job: Job, outcomes: list[Outcome], began: float) -> bool:
        """Take results; False asks the server to end, for the hop wants fewer connections."""
        if outcomes[0].is_unreachable:
            self._working.discard(server)
            if self._working:
                self._narrow()
                self.add(job)
                return False
            self._go_down(job, outcomes[0].reply)
        elif outcomes[0].is_stalled:
            if self._last_answer < began:  # nobody got an answer while this one waited
                self._go_down(job, outcomes[0].reply)
        else:
            self._answered(server, job)
        self.owner.finish(job, outcomes, began)
        return True

    @property
    def _is_down(self) -> bool:
        return time.monotonic() < self._down_until

    @property
    def _is_trying(self) -> bool:
        return bool(self._queue) or len(self._servers) > len(self._idle)

    def _take(self) -> Job:
        job = self._queue.take()
        self._count -= len(job.claimed)
        return job

    def _answered(self, server: Server, job: Job) -> None:
        self._working.add(server)
        self._last_answer = time.monotonic()
        if self._is_out:
            self._is_out = False
            self.owner.tell(News(self.name, place(job.first), None))
        if self._last_answer >= self._widens_at:
            self._widest = self._cap
        self._width = min(self._widest, self._width + 1)
        self._widen()

    def _narrow(self) -> None:
        self._widest = self._width = len(self._working)
        self._widens_at = time.monotonic() + NARROW_SECONDS

    def _go_down(self, job: Job, reply: str) -> None:
        self._down_until = time.monotonic() + DOWN_SECONDS
        self._down_reply = reply
        self._width = 1
        self._is_out = True
        self.owner.tell(News(self.name, place(job.first), reply))

    def _widen(self) -> None:
        """Wake or open a connection for what waits, if there may be one more."""
        if not self._queue:
            return
        if self._idle:
            wake = self._idle.pop()  # the last one, so that those not needed are closed
            if not wake.done():
                wake.set_result(None)
        elif len(self._servers) < self._width:
            server = Server(self)
            task = asyncio.create_task(server.serve())
            self._servers[server] = task
            task.add_done_callback(lambda ended: self._ended(server, ended))

    def _ended(self, server: Server, task: asyncio.Task[None]) -> None:
        del self._servers[server]
        self._working.discard(server)
        if not task.cancelled():
            self._widen()
