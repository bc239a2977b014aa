"""What a client says in each mode, as generators: commands out, replies in.

A dialogue yields the octets to send and gets the last line of the reply; it yields
None once to wait until every other session is ready too. One command is under way
at a time: the next is sent when the reply to the last is complete.
"""

from collections.abc import Generator, Iterator
from itertools import count, islice
from time import perf_counter
from typing import NamedTuple

from benchmarks.population import SENDER
from benchmarks.run import Run

Dialogue = Generator[bytes | None, bytes, None]

RECIPIENTS_PER_TRANSACTION = 50
_MAIL = f"MAIL FROM:<{SENDER}>\r\n".encode()


class Question(NamedTuple):
    """A RCPT command and the code that is the right answer."""

    command: bytes
    expected: bytes


class WrongReplyError(Exception):
    """A reply other than the one that the protocol and the rows call for."""


def ask_recipients(run: Run, questions: Iterator[Question]) -> Dialogue:
    """RCPT after RCPT in one session; a fresh transaction every 50."""
    yield from _greet()
    yield None
    while run.is_going():
        _expect(b"250", (yield _MAIL))
        for question in islice(questions, RECIPIENTS_PER_TRANSACTION):
            started = perf_counter()
            reply = yield question.command
            run.settle(started, reply, question.expected)
            if not run.is_going():
                break
        _expect(b"250", (yield b"RSET\r\n"))
    yield b"QUIT\r\n"


def send_messages(
    run: Run, questions: Iterator[Question], *, octets: int, session: str
) -> Dialogue:
    """Message after message in one session, each unique, with one recipient."""
    yield from _greet()
    yield None
    messages = _messages(octets, session)
    while run.is_going():
        started = perf_counter()
        _expect(b"250", (yield _MAIL))
        _expect(b"250", (yield next(questions).command))
        _expect(b"354", (yield b"DATA\r\n"))
        run.settle(started, (yield next(messages)), b"250")
    yield b"QUIT\r\n"


def _greet() -> Dialogue:
    _expect(b"220", (yield b""))
    _expect(b"250", (yield b"EHLO load.bench.example\r\n"))


def _expect(code: bytes, reply: bytes) -> None:
    if reply[:3] != code:
        raise WrongReplyError(f"expected {code!r}, was answered {reply[:200]!r}")


def _messages(octets: int, session: str) -> Iterator[bytes]:
    """Messages of about `octets`; unique, since a server may recognise a repeat."""
    line = b"All work and no play makes a dull benchmark, as everybody should know.\r\n"
    body = line * max(1, octets // len(line)) + b".\r\n"
    for number in count():
        head = (
            f"From: <{SENDER}>\r\nTo: undisclosed-recipients:;\r\n"
            f"Date: Mon, 05 Jan 2026 12:00:00 +0000\r\nSubject: load {number}\r\n"
            f"Message-ID: <{number}.{session}@load.bench.example>\r\n\r\n"
        )
        yield head.encode() + body
