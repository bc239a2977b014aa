"""Next hops for tests: real SMTP and LMTP listeners that record octets and answer by a script."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailrouting.supervisor import choose_free

OWN = (b"Delivered-To:", b"X-Delivery-ID:", b"X-Loop-Guard:")


@dataclass(frozen=True, slots=True)
class Received:
    """One transaction as the next hop saw it."""

    sender: str
    recipients: tuple[str, ...]
    octets: bytes
    mail_options: tuple[str, ...]

    @property
    def trace(self) -> dict[str, str]:
        """The header lines that the delivery put on top."""
        return dict(line.decode().rstrip().split(": ", 1) for line in self._own_lines)

    @property
    def content(self) -> bytes:
        """What stands below the trace."""
        return self.octets[sum(map(len, self._own_lines)) :]

    @property
    def _own_lines(self) -> list[bytes]:
        return list(takewhile(lambda line: line.startswith(OWN), self.octets.splitlines(True)))


@dataclass
class Script:
    """What the next hop answers. Recipients that are not named get 250.

    `at_data` is called with the session's server for each message and returns the reply; it may
    wait for the event `go_on`, or drop the connection.
    """

    recipients: dict[str, str] = field(default_factory=dict)
    at_data: Callable[[SMTP], str] | None = None
    hangs: bool = False


class SmtpListener(SMTP):
    line_length_limit = 100_000


class LmtpListener(LMTP):
    line_length_limit = 100_000


class Sink:
    """A listener on a loopback port, of its own unless one is given."""

    def __init__(self, *, is_lmtp: bool = False, port: int | None = None, **options: Any) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.script = Script()
        self.got_message = threading.Event()
        self.go_on = threading.Event()
        self._sessions: list[SMTP] = []
        kind = LmtpListener if is_lmtp else SmtpListener
        sink = self

        class Listener(Controller):
            def factory(self) -> SMTP:
                sink.connections += 1
                session = kind(self.handler, **self.SMTP_kwargs)
                sink._sessions.append(session)
                return session

        port = port or free_port()
        self._controller = Listener(self, hostname="127.0.0.1", port=port, **options)
        self.port: int = self._controller.port

    def start(self) -> None:
        self._controller.start()
        self.connections = 0  # the controller had tried the port

    def stop(self) -> None:
        self.go_on.set()
        hanging_up = asyncio.run_coroutine_threadsafe(self._hang_up(), self._controller.loop)
        hanging_up.result(10)
        self._controller.stop()

    async def _hang_up(self) -> None:
        """Close what senders keep open, which the controller would leave to the collector."""
        for session in self._sessions:
            for transport in (session.transport, session._original_transport):
                # Python 3.11.2 knows no TLS transport any more whose connection is over.
                with suppress(AttributeError):
                    transport.abort()  # None where there was none
        await asyncio.sleep(0)  # each socket closes in the next turn

    async def handle_RCPT(  # noqa: N802 - aiosmtpd asks for this name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        reply = self.script.recipients.get(address, "250 2.1.5 ok")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(  # noqa: N802 - aiosmtpd asks for this name
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        self.received.append(
            Received(
                "" if envelope.mail_from in (None, "<>") else envelope.mail_from,
                tuple(envelope.rcpt_tos),
                bytes(envelope.original_content or b""),
                tuple(envelope.mail_options),
            )
        )
        self.got_message.set()
        if self.script.hangs:
            await asyncio.get_running_loop().run_in_executor(None, self.go_on.wait)
        return self.script.at_data(server) if self.script.at_data else "250 2.0.0 taken"


def close_after_reply(server: SMTP) -> str:
    """Take the message and end the conversation unasked."""
    server.loop.call_soon(server.transport.close)
    return "250 2.0.0 taken, good bye"


def drop(server: SMTP) -> str:
    """Cut the connection in place of a reply."""
    server.transport.abort()
    return "250 nobody reads this"


def free_port() -> int:
    """A loopback port that nobody listens on and no outgoing connection takes meanwhile."""
    return choose_free(["127.0.0.1"])[0]


@contextmanager
def running(sink: Sink) -> Iterator[Sink]:
    sink.start()
    try:
        yield sink
    finally:
        sink.stop()
