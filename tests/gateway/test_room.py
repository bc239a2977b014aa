"""How much of large messages is in memory at once, and whose."""

import asyncio

import pytest

from gateway.delivery.room import Room

pytestmark = pytest.mark.enable_socket  # an event loop wakes itself through one


async def take(room: Room, *wanted: tuple[str, int]) -> list[asyncio.Task[None]]:
    """A task for each that wants room, after those that get it at once have it."""
    tasks = [asyncio.create_task(room.take(lane, octets)) for lane, octets in wanted]
    await asyncio.sleep(0)
    return tasks


def has_room(tasks: list[asyncio.Task[None]]) -> list[bool]:
    return [task.done() for task in tasks]


async def end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([("a", 10)] * 4, [True] * 4),
        ([("a", 20)] * 6, [True, True, False, False, False, False]),
        ([("a", 20)] * 4 + [("b", 20)] * 3, [True, True, False, False, True, False, False]),
        ([("a", 40), ("b", 40), ("c", 40), ("d", 10)], [True, True, False, True]),
        ([("a", 1000), ("b", 50), ("c", 1)], [True, True, False]),
    ],
)
def test_lane_takes_at_most_what_it_leaves_to_the_others(
    wanted: list[tuple[str, int]], expected: list[bool]
) -> None:
    async def main() -> list[bool]:
        tasks = await take(Room(100), *wanted)
        found = has_room(tasks)
        await end(tasks)
        return found

    assert asyncio.run(main()) == expected


def test_room_that_is_left_goes_to_who_waits_in_order():
    async def main() -> list[list[bool]]:
        room = Room(100)
        tasks = await take(room, *[("a", 20)] * 5)
        seen = []
        for _ in range(2):
            room.leave("a", 20)
            await asyncio.sleep(0)
            seen.append(has_room(tasks))
        await end(tasks)
        return seen

    assert asyncio.run(main()) == [[True] * 3 + [False] * 2, [True] * 4 + [False]]


def test_who_stops_waiting_takes_nothing():
    async def main() -> list[bool]:
        room = Room(100)
        first, gone, last = tasks = await take(room, *[("a", 50)] * 3)
        gone.cancel()
        room.leave("a", 50)
        await asyncio.sleep(0)
        found = has_room([first, last])
        await end(tasks)
        return found

    assert asyncio.run(main()) == [True, True]
