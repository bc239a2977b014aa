"""Batches without linger: what arrives while one batch runs shares the next.

Where a batch takes long because the database is far away, spare links spare the next one the wait.

Both the directory (look-ups) and intake (commits) work this way. Each batch runs on a link of its
own, a database connection of the event loop: measured against threads with a connection each, this
spares two switches of thread a batch, which cost more than the query where both cores are busy.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import accumulate, takewhile
from typing import Generic, NamedTuple, TypeVar

from gateway.pending import Pending

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Link = TypeVar("Link")
# So long an item waits for one of the links before it may have a spare one.
SPARE_AFTER_SECONDS = 0.005
# A database that takes no more connections is left alone for so long.
PREPARED_AGAIN_SECONDS = 1.0
# How often late items are looked for while there are any.
WATCH_SECONDS = 0.5


class Waiting(NamedTuple, Generic[Item, Result]):
    """An item, who waits for its result, and since when on the loop's clock."""

    item: Item
    pending: Pending[Result]
    since: float


class Batcher(Generic[Link, Item, Result]):
    """Hands waiting items to `work`, with one batch in flight at most on each link.

    Few links make full batches; the `spare` ones serve who has waited for long nevertheless, each
    once `prepare` has made it ready. A batch is `largest` items at most, or items that `weigh` as
    much together.
    `work` gets items in arrival order and returns one result for each; an exception instance in
    place of a result is raised to that caller alone. An exception that `work` raises reaches
    every caller of the batch. An item that has no result after `deadline_seconds` gets the error
    that `late` makes, whatever comes of its batch.
    """

    def __init__(
        self,
        work: Callable[[Link, Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        links: Sequence[Link],
        spare: Sequence[Link] = (),
        prepare: Callable[[Link], Awaitable[None]] | None = None,
        largest: int,
        weigh: Callable[[Item], int] | None = None,
        deadline_seconds: float | None = None,
        late: Callable[[], Exception] = TimeoutError,
    ) -> None:
        self._work = work
        self._idle = list(links)
        self._spare: list[Link] = []
        self._unprepared = list(spare)
        self._prepare = prepare
        self._largest = largest
        self._weigh = weigh
        self._deadline_seconds = deadline_seconds
        self._late = late
        self._waiting: deque[Waiting[Item, Result]] = deque()
        self._running: dict[
            asyncio.Future[Sequence[Result | Exception]], list[Waiting[Item, Result]]
        ]
        self._running = {}
        self._is_scheduled = False
        self._is_relieved = False
        self._is_watched = False

    def submit(self, item: Item) -> Pending[Result]:
        """The result of one item, once its batch is done."""
        loop = asyncio.get_running_loop()
        pending: Pending[Result] = Pending()
        self._waiting.append(Waiting(item, pending, loop.time()))
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._start)
        if not self._is_watched and self._deadline_seconds is not None:
            self._is_watched = True
            loop.call_later(WATCH_SECONDS, self._watch, self._deadline_seconds)
        return pending

    def _start(self) -> None:
        self._is_scheduled = False
        while self._waiting and self._idle:
            self._run(self._idle)
        if self._waiting and (self._spare or self._unprepared) and not self._is_relieved:
            self._is_relieved = True
            asyncio.get_running_loop().call_later(SPARE_AFTER_SECONDS, self._relieve)

    def _relieve(self) -> None:
        """Give a spare link to those who have waited for long, and look again while some wait."""
        self._is_relieved = False
        horizon = asyncio.get_running_loop().time() - SPARE_AFTER_SECONDS
        if self._waiting and self._waiting[0].since <= horizon:
            if self._spare:
                self._run(self._spare)
            elif self._unprepared and self._prepare is not None:
                link = self._unprepared.pop()
                task = asyncio.ensure_future(self._prepare(link))
                task.add_done_callback(partial(self._is_prepared, link))
        self._start()

    def _is_prepared(self, link: Link, task: "asyncio.Future[None]") -> None:
        if task.cancelled() or task.exception() is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(PREPARED_AGAIN_SECONDS, self._unprepared.append, link)
            return
        self._spare.append(link)
        self._start()

    def _run(self, links: list[Link]) -> None:
        """The next batch, on a link of these, which it returns to."""
        batch = [self._waiting.popleft() for _ in range(self._size_of_next())]
        link = links.pop()
        task = asyncio.ensure_future(self._work(link, [waiting.item for waiting in batch]))
        self._running[task] = batch
        task.add_done_callback(partial(self._finish, links, link))

    def _size_of_next(self) -> int:
        """How many of those that wait make the next batch; one in any case."""
        if self._weigh is None:
            return min(len(self._waiting), self._largest)
        weights = accumulate(self._weigh(waiting.item) for waiting in self._waiting)
        return max(1, sum(1 for _ in takewhile(self._largest.__ge__, weights)))

    def _finish(
        self, links: list[Link], link: Link, task: "asyncio.Future[Sequence[Result | Exception]]"
    ) -> None:
        batch = self._running.pop(task)
        links.append(link)
        # The next batch is on its way while this one's answers are said.
        self._start()
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        results = [error] * len(batch) if error is not None else task.result()
        for waiting, result in zip(batch, results, strict=True):
            try:
                if isinstance(result, BaseException):
                    waiting.pending.fail(result)
                else:
                    waiting.pending.resolve(result)
            except Exception:  # who waits for one result may not keep the others waiting
                log.exception("a result was not taken")

    def _watch(self, deadline_seconds: float) -> None:
        """Give up on what is late, also where the database hangs."""
        loop = asyncio.get_running_loop()
        horizon = loop.time() - deadline_seconds
        for waiting in [each for batch in self._running.values() for each in batch]:
            if waiting.since < horizon:
                waiting.pending.fail(self._late())
        while self._waiting and self._waiting[0].since < horizon:
            self._waiting.popleft().pending.fail(self._late())
        self._is_watched = bool(self._running or self._waiting)
        if self._is_watched:
            loop.call_later(WATCH_SECONDS, self._watch, deadline_seconds)
