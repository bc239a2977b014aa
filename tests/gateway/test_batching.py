"""What arrives while one batch runs shares the next."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.batching import Batcher


class Work:
    """Work that waits for a gate, and remembers the batches it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started = threading.Event()
        self.gate = threading.Event()

    def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.started.set()
        assert self.gate.wait(5)
        return [ValueError(item) if item < 0 else item * 10 for item in items]


@pytest.fixture
def executor():
    with ThreadPoolExecutor(2) as threads:
        yield threads


@pytest.fixture
def work():
    return Work()


async def submit_while_busy(batcher: Batcher[int, int], work: Work, items: Sequence[int]):
    """Results of one item that keeps the batcher busy, and of those that come meanwhile."""
    first = batcher.submit(1)
    await asyncio.to_thread(work.started.wait, 5)
    rest = [batcher.submit(item) for item in items]
    await asyncio.sleep(0)
    work.gate.set()
    return await asyncio.gather(first, *rest, return_exceptions=True)


@pytest.mark.enable_socket
def test_items_that_arrive_during_a_batch_share_the_next(executor, work):
    async def main():
        batcher = Batcher(work, executor=executor, in_flight=1, largest=10)
        return await submit_while_busy(batcher, work, [2, 3, 4])

    assert asyncio.run(main()) == [10, 20, 30, 40]
    assert work.batches == [[1], [2, 3, 4]]


@pytest.mark.enable_socket
def test_batch_is_never_larger_than_allowed(executor, work):
    async def main():
        batcher = Batcher(work, executor=executor, in_flight=1, largest=2)
        return await submit_while_busy(batcher, work, [2, 3, 4])

    asyncio.run(main())

    assert work.batches == [[1], [2, 3], [4]]


@pytest.mark.enable_socket
def test_error_of_one_item_reaches_its_caller_alone(executor, work):
    async def main():
        batcher = Batcher(work, executor=executor, in_flight=1, largest=10)
        return await submit_while_busy(batcher, work, [-2, 3])

    first, failed, third = asyncio.run(main())

    assert (first, third) == (10, 30)
    assert isinstance(failed, ValueError)


@pytest.mark.enable_socket
def test_error_of_the_work_reaches_every_caller_and_the_next_batch_runs(executor):
    calls = []

    def failing_once(items):
        calls.append(items)
        if len(calls) == 1:
            raise OSError("gone")
        return items

    async def main():
        batcher = Batcher(failing_once, executor=executor, in_flight=1, largest=10)
        lost = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
        return lost, await batcher.submit(3)

    lost, after = asyncio.run(main())

    assert [type(error) for error in lost] == [OSError, OSError]
    assert after == 3
