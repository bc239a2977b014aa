"""The load generator: a process of its own, an order in, a result out, both JSON.

`python -m benchmarks.load` reads one order from stdin and writes one result to
stdout; it ends by itself after the order's seconds or number, whatever the server does.
"""

import asyncio
import gc
import json
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from random import Random

import uvloop

from benchmarks import dialogues, population
from benchmarks.dialogues import Dialogue, Question
from benchmarks.run import Run
from benchmarks.session import Session

HOST = "127.0.0.1"
QUESTIONS = 200_000  # drawn beforehand, shared by all sessions, walked from random offsets
GRACE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask of which port, and when to stop asking."""

    mode: str
    port: int
    aliases: int
    connections: int
    warmup_seconds: float
    seconds: float
    limit: int
    message_octets: int
    seed: int


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; `failure` is empty when every reply was right."""

    recorded: int
    recorded_seconds: float
    accepted: int
    p50_ms: float | None
    p99_ms: float | None
    cpu_share: float  # of one core, of the load generator itself
    failure: str


def main() -> None:
    order = Order(**json.load(sys.stdin))
    result = uvloop.run(execute(order))
    json.dump(asdict(result), sys.stdout)


async def execute(order: Order) -> Result:
    """Open all sessions, warm up, record, and wait until each has said QUIT."""
    done = asyncio.Event()
    run = Run(limit=order.limit, on_done=done.set)
    random = Random(order.seed)
    questions = list(islice(_draw(order, random), min(QUESTIONS, order.limit)))
    gc.freeze()
    gc.disable()
    cpu_seconds = 0.0
    try:
        async with asyncio.timeout(order.warmup_seconds + order.seconds + GRACE_SECONDS):
            sessions = await _connect(order, run, questions, random)
            cpu_seconds -= _cpu_seconds()
            _start(order, run, sessions)
            await done.wait()
            cpu_seconds += _cpu_seconds()
            if not run.failure:
                await asyncio.gather(*(session.closed for session in sessions))
    except TimeoutError:
        run.fail("no end of the dialogue in time")
    except OSError as error:
        run.fail(f"no connection: {error}")
    return Result(
        recorded=run.latencies.total,
        recorded_seconds=run.recorded_seconds,
        accepted=run.accepted,
        p50_ms=run.latencies.percentile(50),
        p99_ms=run.latencies.percentile(99),
        cpu_share=max(0.0, cpu_seconds) / (order.warmup_seconds + order.seconds),
        failure=run.failure,
    )


def _start(order: Order, run: Run, sessions: list[Session]) -> None:
    """Let all sessions go at once, unless one of them has failed before."""
    if run.failure:
        return
    run.begin()
    loop = asyncio.get_running_loop()
    for session in sessions:
        loop.call_soon(session.proceed)
    loop.call_later(order.warmup_seconds, run.record)
    loop.call_later(order.warmup_seconds + order.seconds, run.finish)


async def _connect(
    order: Order, run: Run, questions: list[Question], random: Random
) -> list[Session]:
    loop = asyncio.get_running_loop()
    sessions = []
    for number in range(order.connections):
        dialogue = _dialogue(order, run, _walk(questions, random), number)
        _, session = await loop.create_connection(partial(Session, run, dialogue), HOST, order.port)
        sessions.append(session)
    await asyncio.gather(*(session.ready for session in sessions))
    return sessions


def _draw(order: Order, random: Random) -> Iterator[Question]:
    unknown_share = 0.5 if order.mode == "rcpt" else 0.0
    for recipient in population.draw(order.aliases, random, unknown_share=unknown_share):
        command = f"RCPT TO:<{recipient.address}>\r\n".encode()
        yield Question(command, b"250" if recipient.is_known else b"550")


def _walk(questions: list[Question], random: Random) -> Iterator[Question]:
    position = random.randrange(len(questions))
    while True:
        yield questions[position]
        position = (position + 1) % len(questions)


def _dialogue(order: Order, run: Run, questions: Iterator[Question], number: int) -> Dialogue:
    if order.mode == "rcpt":
        return dialogues.ask_recipients(run, questions)
    session = f"{number}.{order.seed}"
    return dialogues.send_messages(run, questions, octets=order.message_octets, session=session)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
