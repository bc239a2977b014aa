"""What arrives while one batch runs shares the next."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway import batching
from gateway.batching import Batcher

pytestmark = pytest.mark.enable_socket  # an event loop wakes itself through one


class Work:
    """Work that waits for a gate, and remembers the batches it was given."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.started = asyncio.Event()
        self.gate = asyncio.Event()

    async def __call__(self, link: str, items: Sequence[int]) -> Sequence[int | Exception]:
        self.batches.append(list(items))
        self.started.set()
        await self.gate.wait()
        return [ValueError(item) if item < 0 else item * 10 for item in items]


async def submit_while_busy(items: Sequence[int], *, largest: int = 10, weigh=None):
    """Work, and the results of an item that keeps its link busy and of those that come then."""
    work = Work()
    batcher = Batcher(work, links=["only"], largest=largest, weigh=weigh)
    first = batcher.submit(1)
    await work.started.wait()
    rest = [batcher.submit(item) for item in items]
    await asyncio.sleep(0)
    work.gate.set()
    return work, await asyncio.gather(first, *rest, return_exceptions=True)


def test_items_that_arrive_during_a_batch_share_the_next():
    work, results = asyncio.run(submit_while_busy([2, 3, 4]))

    assert results == [10, 20, 30, 40]
    assert work.batches == [[1], [2, 3, 4]]


def test_batch_is_never_larger_than_allowed():
    work, _ = asyncio.run(submit_while_busy([2, 3, 4], largest=2))

    assert work.batches == [[1], [2, 3], [4]]


def test_batch_is_never_heavier_than_allowed_unless_one_item_alone_is():
    work, _ = asyncio.run(submit_while_busy([2, 3, 4, 50, 5], largest=9, weigh=int))

    assert work.batches == [[1], [2, 3, 4], [50], [5]]


def test_error_of_one_item_reaches_its_caller_alone():
    _, (first, failed, third) = asyncio.run(submit_while_busy([-2, 3]))

    assert (first, third) == (10, 30)
    assert isinstance(failed, ValueError)


def test_error_of_the_work_reaches_every_caller_and_the_next_batch_runs():
    calls = []

    async def failing_once(link, items):
        calls.append(items)
        if len(calls) == 1:
            raise OSError("gone")
        return items

    async def main():
        batcher = Batcher(failing_once, links=["only"], largest=10)
        lost = await asyncio.gather(batcher.submit(1), batcher.submit(2), return_exceptions=True)
        return lost, await batcher.submit(3)

    lost, after = asyncio.run(main())

    assert [type(error) for error in lost] == [OSError, OSError]
    assert after == 3


def test_one_who_cannot_take_a_result_does_not_keep_the_others_waiting():
    async def run() -> list[int]:
        work = Work()
        work.gate.set()
        batcher = Batcher(work, links=["only"], largest=10)

        def refuse(_pending: object) -> None:
            raise ValueError

        batcher.submit(1).listen(refuse)
        return [await batcher.submit(2), await batcher.submit(3)]

    assert asyncio.run(run()) == [20, 30]


def test_each_link_has_one_batch_at_a_time():
    running: list[str] = []

    async def work(link, items):
        assert link not in running
        running.append(link)
        await asyncio.sleep(0)
        running.remove(link)
        return items

    async def main():
        batcher = Batcher(work, links=["a", "b"], largest=1)
        return await asyncio.gather(*[batcher.submit(number) for number in range(20)])

    assert asyncio.run(main()) == list(range(20))


def test_item_that_gets_no_result_in_time_fails_and_the_others_go_on():
    async def main():
        work = Work()
        batcher = Batcher(
            work, links=["only"], largest=1, deadline_seconds=0.0, late=lambda: OSError("late")
        )
        hanging, waiting = batcher.submit(1), batcher.submit(2)
        late = await asyncio.gather(hanging, waiting, return_exceptions=True)
        work.gate.set()
        return late, await batcher.submit(3)

    late, after = asyncio.run(main())

    assert [type(error) for error in late] == [OSError, OSError]
    assert after == 30


def test_spare_link_serves_who_has_waited_for_long_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
):
    async def prepare(link: str) -> None:
        assert link == "spare"

    async def main(after_seconds: float) -> list[list[int]]:
        monkeypatch.setattr(batching, "SPARE_AFTER_SECONDS", after_seconds)
        work = Work()
        batcher = Batcher(work, links=["near"], spare=["spare"], prepare=prepare, largest=10)
        first = batcher.submit(1)
        await work.started.wait()
        rest = [batcher.submit(item) for item in (2, 3)]
        await asyncio.sleep(0.05)
        begun = list(work.batches)
        work.gate.set()
        assert await asyncio.gather(first, *rest) == [10, 20, 30]
        return begun

    assert asyncio.run(main(0.001)) == [[1], [2, 3]]
    assert asyncio.run(main(60)) == [[1]]


def test_spare_link_that_cannot_be_prepared_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(batching, "SPARE_AFTER_SECONDS", 0.001)
    tries = []

    async def prepare(link: str) -> None:
        tries.append(link)
        raise OSError("no more connections")

    async def main() -> None:
        work = Work()
        batcher = Batcher(work, links=["near"], spare=["spare"], prepare=prepare, largest=10)
        first = batcher.submit(1)
        await work.started.wait()
        second = batcher.submit(2)
        await asyncio.sleep(0.05)
        work.gate.set()
        assert await asyncio.gather(first, second) == [10, 20]

    asyncio.run(main())
    assert tries == ["spare"]
