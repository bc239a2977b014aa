"""What a gateway remembers of counters spares it asking, and never lets a limit be exceeded."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from gateway import intake
from gateway.counters import Memory
from gateway.incoming import Incoming
from gateway.intake import Lane
from gateway.link import BEGIN, Link, Question, Row, Statement
from gateway.models import Counter
from gateway.routing import replies
from gateway.routing.admission import Ledger, Tally
from gateway.routing.decision import Take
from gateway.routing.window import RollingHour
from tests.gateway.test_intake import incoming, is_stored, rate

CHARGE = Statement("charge", "UPDATE gateway_counter SET total = total + 1 WHERE key = $1")
pytestmark = [pytest.mark.usefixtures("database"), pytest.mark.enable_socket]


class Watched(Link):
    """A link that counts how often counters were locked before anything was stored."""

    locks = 0

    async def ask(self, *questions: Question) -> list[list[Row]]:
        self.locks += BEGIN in questions
        return await super().ask(*questions)


def store_in_turn(messages: Sequence[Incoming], lanes: Sequence[Lane]) -> list[int]:
    """The codes that the messages get one after the other, each on the next lane."""

    async def run() -> list[int]:
        codes = []
        for number, message in enumerate(messages):
            (answer,) = await intake._store(lanes[number % len(lanes)], [message])
            assert not isinstance(answer, Exception)
            codes.append(answer.code)
        for lane in lanes:
            lane.link.close()
        return codes

    return asyncio.run(run())


def counted(take: Take) -> int:
    counter = Counter.objects.get(key=take.counter)
    assert counter.total == sum(counter.counts)
    return counter.total


def test_counter_that_nobody_else_charges_is_locked_once():
    take = rate(10)
    link = Watched()
    messages = [incoming(take) for _ in range(5)]

    assert store_in_turn(messages, [Lane(link, Memory())]) == [250] * 5
    assert link.locks == 1
    assert counted(take) == 5
    assert all(map(is_stored, messages))


def test_limit_is_exact_with_and_without_memory():
    take = rate(3)

    codes = store_in_turn([incoming(take) for _ in range(6)], [Lane(Link(), Memory())])

    assert codes == [250, 250, 250, 450, 450, 450]
    assert counted(take) == 3


def test_two_gateways_that_remember_never_exceed_a_limit():
    take = rate(7)
    lanes = [Lane(Watched(), Memory()), Lane(Watched(), Memory())]

    codes = store_in_turn([incoming(take) for _ in range(20)], lanes)

    assert codes == [250] * 7 + [450] * 13
    assert counted(take) == 7


def test_counter_that_was_changed_elsewhere_is_asked_for_again():
    take = rate(10)
    lane = Lane(Watched(), Memory())
    first, second = incoming(take), incoming(take)

    async def run() -> None:
        await intake._store(lane, [first])
        await lane.link.ask(Question(CHARGE, (take.counter,)))
        await intake._store(lane, [second])
        lane.link.close()

    asyncio.run(run())
    assert lane.link.locks == 2  # type: ignore[attr-defined]
    assert is_stored(first)
    assert is_stored(second)


def test_memory_of_another_minute_is_not_charged():
    """The check reads the database's clock: a process whose clock is wrong asks."""
    take = rate(10)
    wrong = [0.0]
    lane = Lane(Watched(), Memory(clock=lambda: wrong[0]))

    async def run() -> None:
        await intake._store(lane, [incoming(take)])
        wrong[0] = 3600.0
        await intake._store(lane, [incoming(take)])
        lane.link.close()

    asyncio.run(run())
    assert lane.link.locks == 2  # type: ignore[attr-defined]
    assert counted(take) == 2


def test_counter_that_is_full_since_some_time_is_not_remembered():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    ledger = Ledger({"x": Tally(RollingHour(), 9)}, now=now)
    ledger.admit([Take("x", 10, replies.STORAGE_FULL, is_storage=True)], 1)
    memory = Memory(clock=lambda: 0.0)

    memory.learn(ledger)

    assert memory.ledger(["x"]) is None
