"""A drain: claims what is due, sends it over many lanes at once, settles in batches, until done.

Everything waits on one event loop but the database, which has three threads: one to claim and read
small bodies, one to read large ones, one to settle. What finishes while one settlement is written
shares the next.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
import uvloop
from django.conf import settings
from django.db import connection
from psycopg import Error
from psycopg.errors import QueryCanceled

from gateway.database import AWAY, DatabaseThreads
from gateway.delivery import metrics, outages, queue
from gateway.delivery.lane import Job, Lane, Owner
from gateway.delivery.outages import News
from gateway.delivery.queue import Claimed, Settlement, Turn
from gateway.delivery.room import Room
from gateway.delivery.routes import parcels
from gateway.link import COPY_SECONDS
from gateway.transports import Outcome

BATCH = 200
MOST_IN_FLIGHT = 2000
# Bodies up to this are read together with the claim; larger ones when they are sent, so many octets
# at once, which are in memory twice meanwhile.
SMALL_OCTETS = 64 * 1024
LARGE_OCTETS = 200_000_000
POLL_SECONDS = 0.5
# Between two claims that take less than a batch, and between two looks for deferred deliveries.
PAUSE_SECONDS = 0.02
PROMOTE_SECONDS = 1.0
# So long after the last claim that took something a lingering drain looks again without a bell.
EAGER_SECONDS = 1.0
EAGER_PAUSE_SECONDS = 0.05
TROUBLE_SECONDS = 1.0
# The sooner outcomes are written once the database is back, the fewer a killed worker repeats.
SETTLE_AGAIN_SECONDS = 0.2
STOP_SECONDS = 10.0
WITHOUT_OCTETS = ("inbox", "discard")

log = structlog.get_logger()
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finished:
    """A delivery that was tried (or not: outcome None), waiting to be settled."""

    claimed: Claimed
    outcome: Outcome | None
    began: float
    ended: float


def drain(*, budget_seconds: float | None = None) -> int:
    """Deliver until nothing is due, or claim nothing more after the budget; how many were tried."""
    return Drain(budget_seconds=budget_seconds).run()


class Drain:
    """One run over the queue. `wake` and `stop` may be called from any thread.

    With `linger_seconds` it stays as long for another `wake` when nothing is due, and so do its
    connections.
    """

    def __init__(self, *, budget_seconds: float | None = None, linger_seconds: float = 0) -> None:
        self._linger_seconds = linger_seconds
        self._ends_at = None if budget_seconds is None else time.monotonic() + budget_seconds
        self._lanes: dict[str, Lane] = {}
        self._finished: list[Finished] = []
        self._news: dict[str, News] = {}
        self._promotes_at = 0.0
        self._eager_until = 0.0
        self._in_flight = 0
        self._tried = 0
        self._is_stopping = False
        self._is_over = False
        self._was_woken = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        # A claim that is lost with the server was never made: it need not wait for the disk.
        self._reader = DatabaseThreads(1, synchronous_commit="off")
        self._body_reader = DatabaseThreads(1, statement_timeout=COPY_SECONDS * 1000)
        self._writer = DatabaseThreads(1)

    def run(self) -> int:
        """Deliver until nothing is due; how many were tried. Raises psycopg.Error."""
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(self._run())
        finally:
            self._loop = None
            self._reader.close()
            self._body_reader.close()
            self._writer.close()

    def wake(self) -> None:
        """Something new is due."""
        self._was_woken.set()
        self._nudge()

    def stop(self) -> None:
        """Claim nothing more, give back what was not begun, and end within seconds."""
        self._is_stopping = True
        self._nudge()

    def _nudge(self) -> None:
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # it has ended meanwhile
                loop.call_soon_threadsafe(self._changed.set)

    async def _run(self) -> int:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._has_finished = asyncio.Event()
        self._may_send = asyncio.Event()
        self._may_send.set()
        self._large = Room(LARGE_OCTETS)
        settler = asyncio.create_task(self._settle_all())
        try:
            await self._pump()
        finally:
            for lane in self._lanes.values():
                await lane.stop()
            self._is_over = True
            self._has_finished.set()
            await settler
        return self._tried

    async def _pump(self) -> None:
        """Claim as long as there is room, and wait as long as anything is under way."""
        while not self._is_stopping:
            room = min(BATCH, MOST_IN_FLIGHT - self._in_flight)
            jobs = await self._claim(room) if room > 0 and self._is_in_budget else []
            for job in jobs:
                self._lane(job.first.lane).add(job)
            if self._in_flight:
                if sum(len(job.claimed) for job in jobs) < BATCH:
                    await self._wait()
            elif not self._is_in_budget or not await self._linger():
                return
        await self._come_to_rest()

    @property
    def was_woken(self) -> bool:
        """Whether somebody called `wake` since the last claim."""
        return self._was_woken.is_set()

    @property
    def _is_in_budget(self) -> bool:
        return self._ends_at is None or time.monotonic() < self._ends_at

    async def _linger(self) -> bool:
        """Whether to look again: somebody woke it, now or soon, or it has just found something."""
        self._changed.clear()
        is_eager = time.monotonic() < self._eager_until and self._linger_seconds > 0
        if not self.was_woken and not self._is_stopping:
            with suppress(TimeoutError):
                async with asyncio.timeout(
                    EAGER_PAUSE_SECONDS if is_eager else self._linger_seconds
                ):
                    await self._changed.wait()
        return self.was_woken or is_eager

    async def _wait(self) -> None:
        """Until something finished or came in; a moment at least, for a claim worth its while."""
        await asyncio.sleep(PAUSE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._changed.wait()
        self._changed.clear()

    async def _come_to_rest(self) -> None:
        for lane in self._lanes.values():
            lane.give_back()
        ends_at = time.monotonic() + STOP_SECONDS
        while self._in_flight and time.monotonic() < ends_at:
            await self._wait()

    async def _claim(self, limit: int) -> list[Job]:
        """Claimed deliveries with small bodies; nothing while the database is in trouble."""
        self._was_woken.clear()
        self._lanes = {name: lane for name, lane in self._lanes.items() if not lane.is_asleep}
        turns = [lane.turn for lane in self._lanes.values()]
        began = time.monotonic()
        promotes = began >= self._promotes_at
        try:
            claimed, bodies = await self._call(
                self._reader, lambda: _take(limit, turns, promotes=promotes)
            )
        except Error as error:
            if not self._in_flight:
                raise
            log.warning("deliveries cannot be claimed", error=str(error))
            await asyncio.sleep(TROUBLE_SECONDS)
            return []
        if promotes:
            self._promotes_at = began + PROMOTE_SECONDS
        if claimed:
            self._eager_until = began + EAGER_SECONDS
        self._in_flight += len(claimed)
        start_by = began + _spare_seconds()
        return [Job(each, _octets(each[0], bodies), start_by) for each in parcels(claimed)]

    def _lane(self, name: str) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            width = settings.DELIVERY_CONNECTIONS_PER_HOP
            owner = Owner(
                self._may_send.wait,
                self._begin,
                self._read,
                self._large,
                self._finish,
                self._tell,
            )
            lane = self._lanes[name] = Lane(name, width=width, owner=owner)
        return lane

    async def _begin(self, claimed: Sequence[Claimed]) -> None:
        if suspects := [each for each in claimed if each.crashes]:
            await self._call(self._body_reader, lambda: queue.note_begun(suspects))

    async def _read(self, claimed: Claimed) -> bytes | None:
        bodies = await self._call(self._body_reader, lambda: queue.read_octets([claimed]))
        return bodies.get(claimed.body_id)

    def _finish(self, job: Job, outcomes: list[Outcome] | None, began: float) -> None:
        ended = time.monotonic()
        each_outcome: Sequence[Outcome | None] = outcomes or [None] * len(job.claimed)
        for claimed, outcome in zip(job.claimed, each_outcome, strict=True):
            self._finished.append(Finished(claimed, outcome, began, ended))
        self._has_finished.set()

    def _tell(self, news: News) -> None:
        self._news[news.lane] = news

    async def _settle_all(self) -> None:
        """Write what has finished, batch after batch, until the drain ends."""
        while self._finished or not self._is_over:
            await self._has_finished.wait()
            self._has_finished.clear()
            batch, self._finished = self._finished, []
            news, self._news = self._news, {}
            if batch:
                await self._settle(batch, list(news.values()))

    async def _settle(self, batch: Sequence[Finished], news: Sequence[News]) -> None:
        """Write a batch, again and again while the database is away and leases last.

        What it refuses is written once more with plainer words: outcomes are never lost for those.
        A batch that takes too long is written in parts.
        """
        gives_up_at = time.monotonic() + settings.DELIVERY_LEASE_SECONDS
        locked: list[Finished] = []
        while True:
            try:
                locked = await self._call(self._writer, partial(_write, batch, news))
                break
            except Exception as error:  # noqa: BLE001 - the outer shell: all that is sent is settled
                log.warning("deliveries cannot be settled", error=repr(error), count=len(batch))
                if time.monotonic() > gives_up_at or self._is_over:
                    break  # their leases run out, and they are sent again
                if isinstance(error, AWAY):
                    self._may_send.clear()
                    if isinstance(error, QueryCanceled):
                        batch = self._first_half(batch)
                else:
                    batch, news = [_plainly(each) for each in batch], []
                await asyncio.sleep(SETTLE_AGAIN_SECONDS)
        self._may_send.set()
        self._tried += _count_tried(batch) - _count_tried(locked)
        self._in_flight -= len(batch) - len(locked)
        self._changed.set()
        if locked and not self._is_over:
            await self._put_off(locked)

    def _first_half(self, batch: Sequence[Finished]) -> Sequence[Finished]:
        """What to write now of a batch that takes too long; the rest goes with the next."""
        middle = (len(batch) + 1) // 2
        self._finished[:0] = batch[middle:]
        self._has_finished.set()
        return batch[:middle]

    async def _put_off(self, locked: Sequence[Finished]) -> None:
        """Write these again, with what has finished by then."""
        self._finished += locked
        self._has_finished.set()
        await asyncio.sleep(SETTLE_AGAIN_SECONDS)

    async def _call(self, thread: Executor, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, _with_connection, work)


def _with_connection(work: Callable[[], T]) -> T:
    try:
        return work()
    except AWAY:
        connection.close()  # it may be dead: the next one tries a fresh one
        raise


def _take(
    limit: int, turns: Sequence[Turn], *, promotes: bool
) -> tuple[list[Claimed], dict[UUID, bytes]]:
    claimed = queue.claim(limit, turns=turns, promotes=promotes)
    small = [
        each
        for each in claimed
        if each.size_octets <= SMALL_OCTETS and each.kind not in WITHOUT_OCTETS
    ]
    return claimed, _read_ahead(small) if small else {}


def _read_ahead(claimed: Sequence[Claimed]) -> dict[UUID, bytes]:
    """Bodies by id; none in trouble: each is read when it is sent, as these are claimed already."""
    try:
        return _with_connection(partial(queue.read_octets, claimed))
    except Error as error:
        log.warning("bodies cannot be read together", error=str(error), count=len(claimed))
        return {}


def _octets(claimed: Claimed, bodies: Mapping[UUID, bytes]) -> bytes | None:
    return b"" if claimed.kind in WITHOUT_OCTETS else bodies.get(claimed.body_id)


def _write(batch: Sequence[Finished], news: Sequence[News]) -> list[Finished]:
    """Settle what was tried, give back what was not, and tell of both and of the hops.

    Returns those that are still to be written, since somebody else has locked their rows.
    """
    if news:
        outages.report(news)
    untried = [each.claimed for each in batch if each.outcome is None]
    given_back = queue.give_back(untried) if untried else set()
    settlements = list(_settlements(batch))
    states = queue.settle(settlements) if settlements else {}
    written = given_back | states.keys()
    rest = [each for each in batch if each.claimed.id not in written]
    locked = queue.still_claimed([each.claimed for each in rest]) if rest else set()
    for each in settlements:
        if each.claimed.id not in locked:
            _tell(each, states.get(each.claimed.id))
    return [each for each in rest if each.claimed.id in locked]


def _count_tried(batch: Sequence[Finished]) -> int:
    return sum(each.outcome is not None for each in batch)


def _plainly(finished: Finished) -> Finished:
    """The same in printable ASCII."""
    if finished.outcome is None:
        return finished
    words = "".join(each if each.isprintable() else "?" for each in finished.outcome.reply)
    plain = words.encode("ascii", "replace").decode()
    return replace(finished, outcome=replace(finished.outcome, reply=plain))


def _settlements(batch: Sequence[Finished]) -> Iterator[Settlement]:
    now = time.monotonic()
    for each in batch:
        if each.outcome is not None:
            began_ago, ended_ago = now - each.began, now - each.ended
            yield _settlement(each.claimed, each.outcome, began_ago, ended_ago)


def _settlement(
    claimed: Claimed, outcome: Outcome, began_ago: float, ended_ago: float
) -> Settlement:
    state, delay = queue.judge(claimed, outcome, spread=queue.jitter())
    return Settlement(
        claimed,
        outcome,
        state,
        delay,
        timedelta(seconds=began_ago),
        timedelta(seconds=ended_ago),
    )


def _tell(settled: Settlement, state: str | None) -> None:
    """One line and the counts of one try. A state of None: somebody else decided meanwhile."""
    claimed, outcome = settled.claimed, settled.outcome
    seconds = (settled.began_ago - settled.ended_ago).total_seconds()
    age = (claimed.claimed_at - claimed.created_at).total_seconds() + seconds
    metrics.DELIVERIES.labels(claimed.kind, outcome.result.value).inc()
    metrics.ATTEMPT_SECONDS.labels(claimed.kind).observe(seconds)
    if state == "delivered":
        metrics.DELAY_SECONDS.observe(age)
    log.info(
        "delivery",
        queue_id=claimed.queue_id,
        delivery=str(claimed.id),
        kind=claimed.kind,
        recipient=claimed.recipient,
        attempt=claimed.attempt,
        remote=outcome.remote,
        reply=outcome.reply,
        outcome=outcome.result.value,
        state=state or "superseded",
        seconds=round(seconds, 4),
        delay=round(age, 3),
    )


def _spare_seconds() -> float:
    """How long a claimed delivery may wait for its turn and still end within its lease."""
    spare: float = settings.DELIVERY_LEASE_SECONDS - settings.DELIVERY_ATTEMPT_SECONDS
    return spare
