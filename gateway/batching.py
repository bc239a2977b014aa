"""Batches without linger: what arrives while one batch runs shares the next.

Both the directory (look-ups) and intake (commits) work this way. Each batch runs on a link of its
own, a database connection of the event loop: measured against threads with a connection each, this
spares two switches of thread a batch, which cost more than the query where both cores are busy.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Link = TypeVar("Link")


class Batcher(Generic[Link, Item, Result]):
    """Hands waiting items to `work`, with one batch in flight at most on each link.

    `work` gets items in arrival order and returns one result for each; an exception instance in
    place of a result is raised to that caller alone. An exception that `work` raises reaches
    every caller of the batch.
    """

    def __init__(
        self,
        work: Callable[[Link, Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        *,
        links: Sequence[Link],
        largest: int,
    ) -> None:
        self._work = work
        self._idle = list(links)
        self._largest = largest
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running: set[asyncio.Future[Sequence[Result | Exception]]] = set()
        self._is_scheduled = False

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """The future result of one item."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if not self._is_scheduled:
            self._is_scheduled = True
            loop.call_soon(self._start)
        return future

    def _start(self) -> None:
        self._is_scheduled = False
        while self._waiting and self._idle:
            size = min(len(self._waiting), self._largest)
            batch = [self._waiting.popleft() for _ in range(size)]
            link = self._idle.pop()
            work = self._work(link, [item for item, _ in batch])
            task = asyncio.ensure_future(work)
            self._running.add(task)
            task.add_done_callback(partial(self._finish, link, batch))

    def _finish(
        self,
        link: Link,
        batch: list[tuple[Item, "asyncio.Future[Result]"]],
        task: "asyncio.Future[Sequence[Result | Exception]]",
    ) -> None:
        self._running.discard(task)
        self._idle.append(link)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        results = [error] * len(batch) if error else task.result()
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._start()
