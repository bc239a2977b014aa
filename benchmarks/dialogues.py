"""What a client says in each mode, as generators: commands out, replies in.

A dialogue yields the octets to send and gets the last line of the reply. It yields a Volley
to send several commands at once and get the last line of each reply, a Pause to be
woken later, and None once, to wait until every other session is ready too.
"""

from collections.abc import Generator, Iterable, Iterator
from itertools import islice
from time import perf_counter
from typing import Any, NamedTuple

from benchmarks.messages import Messages
from benchmarks.population import SENDER
from benchmarks.run import Run


class Question(NamedTuple):
    """A RCPT command and the code that is the right answer."""

    command: bytes
    expected: bytes


class Volley(NamedTuple):
    """Commands in one write (RFC 2920), and how many replies they call for."""

    commands: bytes
    replies: int


class Pause(NamedTuple):
    """Nothing to say for a while."""

    seconds: float


class WrongReplyError(Exception):
    """A reply other than the one that the protocol and the rows call for."""


Said = bytes | Volley | Pause | None
Dialogue = Generator[Said, Any, None]

RECIPIENTS_PER_TRANSACTION = 50
RECIPIENTS_PER_VOLLEY = 20
PATIENCE_SECONDS = 0.5
_MAIL = f"MAIL FROM:<{SENDER}>\r\n".encode()
_RSET = b"RSET\r\n"


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
        _expect(b"250", (yield _RSET))
    yield b"QUIT\r\n"


def ask_pipelined(run: Run, questions: Iterator[Question]) -> Dialogue:
    """MAIL, 20 RCPT and RSET in one write; the time is that to the last of their replies."""
    yield from _greet()
    yield None
    while run.is_going():
        asked = list(islice(questions, RECIPIENTS_PER_VOLLEY))
        commands = b"".join([_MAIL, *(question.command for question in asked), _RSET])
        started = perf_counter()
        first, *replies, last = yield Volley(commands, len(asked) + 2)
        _expect(b"250", first)
        _expect(b"250", last)
        run.settle_all(started, replies, [question.expected for question in asked])
    yield b"QUIT\r\n"


def send_messages(run: Run, questions: Iterator[Question], messages: Messages) -> Dialogue:
    """Message after message in one session, each unique, with one recipient."""
    yield from _greet()
    yield None
    while run.is_going():
        started = perf_counter()
        run.settle(started, (yield from _send(questions, messages)), b"250")
    yield b"QUIT\r\n"


def send_one_message(run: Run, questions: Iterator[Question], messages: Messages) -> Dialogue:
    """One message in a session of its own; the time counts from before the connection."""
    started = perf_counter()
    yield from _greet()
    run.settle(started, (yield from _send(questions, messages)), b"250")
    yield b"QUIT\r\n"


def send_patiently(
    run: Run, questions: Iterator[Question], messages: Messages, *, is_timed: bool
) -> Dialogue:
    """Like `send_messages`, but what is answered 4xx is sent again until it is taken.

    The time counts from the first try. Messages that are not timed are counted alone.
    """
    yield from _greet()
    yield None
    while run.is_going():
        started = perf_counter()
        reply = yield from _insist(run, questions, messages)
        if is_timed and reply:
            run.settle(started, reply, b"250")
        elif reply:
            run.count(reply, b"250")
    yield b"QUIT\r\n"


def _greet() -> Dialogue:
    _expect(b"220", (yield b""))
    _expect(b"250", (yield b"EHLO load.bench.example\r\n"))


def _send(questions: Iterator[Question], messages: Messages) -> Generator[Said, Any, bytes]:
    """One message; the reply after its final dot."""
    _expect(b"250", (yield _MAIL))
    _expect(b"250", (yield next(questions).command))
    _expect(b"354", (yield b"DATA\r\n"))
    reply: bytes = yield next(messages)
    return reply


def _insist(
    run: Run, questions: Iterator[Question], messages: Messages
) -> Generator[Said, Any, bytes]:
    """The reply that takes a message; empty when the run ended before."""
    mail = _MAIL[:-2] + b" SIZE=%d\r\n" % messages.octets  # lets a server reserve room
    while run.is_going():
        reply = yield from _attempt((mail, next(questions).command, b"DATA\r\n"), messages)
        if reply[:1] != b"4":
            return reply
        run.deferred += 1
        _expect(b"250", (yield _RSET))
        yield Pause(PATIENCE_SECONDS)
    return b""


def _attempt(commands: Iterable[bytes], messages: Messages) -> Generator[Said, Any, bytes]:
    """The reply to the message, or the first one that keeps it from being sent."""
    reply: bytes
    for command in commands:
        reply = yield command
        if reply[:1] not in b"23":
            return reply
    reply = yield next(messages)
    return reply


def _expect(code: bytes, reply: bytes) -> None:
    if reply[:3] != code:
        raise WrongReplyError(f"expected {code!r}, was answered {reply[:200]!r}")
