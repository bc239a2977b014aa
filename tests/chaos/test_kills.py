"""Every part is killed at random moments under load: what was answered 250 arrives.

CHAOS_SECONDS is how long it goes on, CHAOS_SEED repeats the order of a run (not its moments).
"""

import asyncio
import os
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest
from django.db import connection

from gateway.models import Delivery, RoutingRecord
from tenants.models import Target
from tests.chaos.load import Load
from tests.chaos.redis import Redis
from tests.e2e.stack import SECOND, Stack
from tests.gateway.sink import Received, Sink
from tests.gateway.stage import Stage
from tests.waiting import wait_until

SECONDS = float(os.environ.get("CHAOS_SECONDS", "90"))
SEED = int(os.environ.get("CHAOS_SEED", str(random.randrange(10_000))))
CONNECTIONS = 50
PAUSE_SECONDS = 1.0
SETTLED_SECONDS = 120
LIMIT = 40  # messages an hour to one of the addresses
DOWN_SECONDS = 1.5  # at most, between a kill and the next start
QUIET_SECONDS = 1.0  # at most, between a start and the next kill
Part = tuple[Callable[[], None], Callable[[], None]]
OPEN_STATES = [Delivery.State.PENDING, Delivery.State.SENDING, Delivery.State.DEFERRED]


@pytest.mark.needs("redis")
def test_killed_at_random_nothing_is_lost_and_no_rate_is_exceeded(
    stack: Stack, stage: Stage, sink: Sink, redis: Redis
) -> None:
    recipients, limited = addresses(stage, sink)
    connection.close()
    kills: Counter[str] = Counter()
    with stack.second_gateway() as other:
        load = Load((stack.smtp_port, other), (*recipients, limited), CONNECTIONS, PAUSE_SECONDS)
        asyncio.run(storm(load, destroyers(stack, redis), kills))
        wait_until(all_settled, seconds=SETTLED_SECONDS)

    copies = copies_by_load_id(sink)
    repeats = {name: len(them) - 1 for name, them in copies.items() if len(them) > 1}
    sys.stderr.write(
        f"\nseed {SEED}: {kills.total()} kills {dict(kills)}; {len(load.accepted)} accepted of "
        f"{dict(load.replies)}, {load.cut} cut; {len(copies)} arrived, repeats {repeats}\n"
    )
    assert not load.accepted.keys() - copies.keys(), "answered 250 and lost"
    assert sum(repeats.values()) <= kills.total()
    assert max(repeats.values(), default=0) <= 1
    for name in repeats:
        assert len({each.trace["X-Delivery-ID"] for each in copies[name]}) == 1
    stored = RoutingRecord.objects.filter(recipient=limited, accepted=True).exclude(message=None)
    assert stored.count() == LIMIT
    assert kills.keys() == {"gateway", SECOND, "worker", "beat", "broker", "postgres"}


def addresses(stage: Stage, sink: Sink) -> tuple[tuple[str, ...], str]:
    """Addresses that deliver to the sink, and one more that takes LIMIT messages an hour."""
    for number in range(10):
        box = stage.mailbox(f"box{number}@store.example", port=sink.port)
        stage.alias(f"box{number}", Target(kind="mailbox", mailbox=box))
    stage.alias("limited", Target(kind="mailbox", mailbox=box), rate_per_hour=LIMIT)
    return tuple(stage.address(f"box{n}") for n in range(10)), stage.address("limited")


def destroyers(
    stack: Stack, redis: Redis
) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    """For each part how it is killed and how it is started again."""
    parts: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
        name: (lambda name=name: stack.kill(name), lambda name=name: stack.run(name))
        for name in ("gateway", SECOND, "worker", "beat")
    }
    return parts | {
        "broker": (redis.kill, redis.start),
        "postgres": (stack.kill_database, stack.start_database),
    }


async def storm(load: Load, parts: dict[str, Part], kills: Counter[str]) -> None:
    """Kill one part after the other while the load goes on, each of them at least once."""
    dice = random.Random(SEED)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + SECONDS
    senders = asyncio.create_task(load.run())
    order: list[str] = []
    while loop.time() < deadline or len(kills) < len(parts):
        order = order or dice.sample(sorted(parts), len(parts))
        name = order.pop()
        kill, start = parts[name]
        await asyncio.to_thread(kill)
        kills[name] += 1
        await asyncio.sleep(dice.uniform(0, DOWN_SECONDS))
        await asyncio.to_thread(start)
        await asyncio.sleep(dice.uniform(0, QUIET_SECONDS))
    load.stop()
    await senders


def all_settled() -> bool:
    return not Delivery.objects.filter(state__in=OPEN_STATES).exists()


def copies_by_load_id(sink: Sink) -> dict[str, list[Received]]:
    copies: dict[str, list[Received]] = defaultdict(list)
    for each in sink.received:
        found = re.search(rb"^X-Load: (\S+)\r$", each.octets, re.MULTILINE)
        assert found is not None
        copies[found[1].decode()].append(each)
    return copies
