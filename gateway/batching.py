"""Batches without linger: what arrives while one batch runs shares the next.

Both the directory (look-ups) and intake (commits) work this way. The work runs on the threads of
a fixed executor, each of which keeps one database connection; the event loop only waits.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Hands waiting items to `work`, several batches in flight at most.

    `work` gets items in arrival order and returns one result for each; an exception instance in
    place of a result is raised to that caller alone. An exception that `work` raises reaches
    every caller of the batch.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Item]], Sequence[Result | Exception]],
        *,
        executor: Executor,
        in_flight: int,
        largest: int,
    ) -> None:
        self._work = work
        self._executor = executor
        self._slots = in_flight
        self._largest = largest
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._scheduled = False

    def submit(self, item: Item) -> "asyncio.Future[Result]":
        """The future result of one item."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._start)
        return future

    def _start(self) -> None:
        self._scheduled = False
        while self._waiting and self._slots:
            size = min(len(self._waiting), self._largest)
            batch = [self._waiting.popleft() for _ in range(size)]
            self._slots -= 1
            items = [item for item, _ in batch]
            running = asyncio.get_running_loop().run_in_executor(self._executor, self._work, items)
            running.add_done_callback(lambda done, batch=batch: self._finish(batch, done))  # type: ignore[misc]

    def _finish(
        self,
        batch: list[tuple[Item, "asyncio.Future[Result]"]],
        done: "asyncio.Future[Sequence[Result | Exception]]",
    ) -> None:
        self._slots += 1
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        results = [error] * len(batch) if error else done.result()
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        self._start()
