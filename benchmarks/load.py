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
from itertools import count, islice
from random import Random
from secrets import token_hex

import uvloop

from benchmarks import dialogues
from benchmarks.dialogues import Dialogue, Question
from benchmarks.messages import Messages, SignedMessages
from benchmarks.population import Population
from benchmarks.ports import HOST, client_address
from benchmarks.run import Run
from benchmarks.session import Session

QUESTIONS = 200_000  # drawn beforehand, shared by all sessions, walked from random offsets
GRACE_SECONDS = 60
RCPT_MODES = ("rcpt", "pipelined")


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask of which port, and when to stop asking.

    In mode crowd, `beside` sessions send messages of `beside_octets` without being timed.
    """

    mode: str
    port: int
    aliases: int
    domains: int
    connections: int
    warmup_seconds: float
    seconds: float
    limit: int
    message_octets: int
    seed: int
    beside: int = 0
    beside_octets: int = 0
    signing_key: str = ""  # of the author of authenticated messages, PEM


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it; `failure` is empty when every reply was right."""

    recorded: int
    recorded_seconds: float
    accepted: int
    deferred: int
    began_at: float  # by time.monotonic, which all processes of a machine share
    p50_ms: float | None
    p99_ms: float | None
    cpu_share: float  # of one core, of the load generator itself
    failure: str


def main() -> None:
    order = Order(**json.load(sys.stdin))
    result = uvloop.run(Load(order).execute())
    json.dump(asdict(result), sys.stdout)


class Load:
    """All sessions of one order."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._random = Random(order.seed)
        self._done = asyncio.Event()
        self._run = Run(limit=order.limit, on_done=self._done.set)
        self._numbers = count()
        self._token = token_hex(8)  # no server has seen a message of this run before
        self._questions = list(islice(_draw(order, self._random), min(QUESTIONS, order.limit)))

    async def execute(self) -> Result:
        """Open all sessions, warm up, record, and wait until each has said QUIT."""
        order, run = self._order, self._run
        gc.freeze()
        gc.disable()
        cpu_seconds = 0.0
        try:
            async with asyncio.timeout(order.warmup_seconds + order.seconds + GRACE_SECONDS):
                sessions = await self._connect()
                cpu_seconds -= _cpu_seconds()
                ended = self._start(sessions)
                await self._done.wait()
                cpu_seconds += _cpu_seconds()
                if not run.failure:
                    await ended
        except TimeoutError:
            run.fail("no end of the dialogue in time")
        except OSError as error:
            run.fail(f"no connection: {error}")
        return Result(
            recorded=run.latencies.total,
            recorded_seconds=run.recorded_seconds,
            accepted=run.accepted,
            deferred=run.deferred,
            began_at=run.began_at,
            p50_ms=run.latencies.percentile(50),
            p99_ms=run.latencies.percentile(99),
            cpu_share=max(0.0, cpu_seconds) / (order.warmup_seconds + order.seconds),
            failure=run.failure,
        )

    async def _connect(self) -> list[Session]:
        """All sessions that stay open, each ready to begin."""
        order = self._order
        timed = 0 if order.mode == "reconnecting" else order.connections
        sessions = [await self._open(self._dialogue()) for _ in range(timed)]
        sessions += [await self._open(self._dialogue_beside()) for _ in range(order.beside)]
        await asyncio.gather(*(session.ready for session in sessions))
        return sessions

    def _start(self, sessions: list[Session]) -> "asyncio.Future[list[None]]":
        """Let all sessions go at once, unless one of them has failed before.

        Done when all timed ones have said QUIT; the others are cut where they are.
        """
        order, run = self._order, self._run
        ended = [session.closed for session in sessions[: len(sessions) - order.beside]]
        if not run.failure:
            run.begin()
            loop = asyncio.get_running_loop()
            for session in sessions:
                loop.call_soon(session.proceed)
            if order.mode == "reconnecting":
                ended += [loop.create_task(self._reconnect()) for _ in range(order.connections)]
            loop.call_later(order.warmup_seconds, run.record)
            loop.call_later(order.warmup_seconds + order.seconds, run.end)
        return asyncio.gather(*ended)

    async def _reconnect(self) -> None:
        """Session after session, each with one message."""
        try:
            while self._run.is_going():
                await (await self._open(self._dialogue())).closed
        except OSError as error:
            self._run.fail(f"no connection: {error}")

    async def _open(self, dialogue: Dialogue) -> Session:
        """A session with an address of its own, so that no peer's limit for one client counts."""
        _, session = await asyncio.get_running_loop().create_connection(
            partial(Session, self._run, dialogue),
            HOST,
            self._order.port,
            local_addr=(client_address(next(self._numbers)), 0),
        )
        return session

    def _dialogue(self) -> Dialogue:
        order, run, questions = self._order, self._run, _walk(self._questions, self._random)
        messages = self._messages(order.message_octets)
        match order.mode:
            case "rcpt":
                return dialogues.ask_recipients(run, questions)
            case "pipelined":
                return dialogues.ask_pipelined(run, questions)
            case "messages" | "authenticated":
                return dialogues.send_messages(run, questions, messages)
            case "reconnecting":
                return dialogues.send_one_message(run, questions, messages)
            case "crowd":
                return dialogues.send_patiently(run, questions, messages, is_timed=True)
        raise ValueError(f"no such mode: {order.mode}")

    def _dialogue_beside(self) -> Dialogue:
        questions = _walk(self._questions, self._random)
        messages = self._messages(self._order.beside_octets)
        return dialogues.send_patiently(self._run, questions, messages, is_timed=False)

    def _messages(self, octets: int) -> Messages:
        session = f"{next(self._numbers)}.{self._token}"
        if self._order.signing_key:
            return SignedMessages(octets, session, self._order.signing_key)
        return Messages(octets, session)


def _draw(order: Order, random: Random) -> Iterator[Question]:
    unknown_share = 0.5 if order.mode in RCPT_MODES else 0.0
    people = Population(order.aliases, order.domains)
    for recipient in people.draw(random, unknown_share=unknown_share):
        command = f"RCPT TO:<{recipient.address}>\r\n".encode()
        yield Question(command, b"250" if recipient.is_known else b"550")


def _walk(questions: list[Question], random: Random) -> Iterator[Question]:
    position = random.randrange(len(questions))
    while True:
        yield questions[position]
        position = (position + 1) % len(questions)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
