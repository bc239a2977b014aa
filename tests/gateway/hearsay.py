"""A whole session without socket and database: octets in, what it said and stored out.

The real GatewaySession with aiosmtpd's loop below it; the transport is a list, the directory is in
memory, and what fails in the session's hands is kept instead of being logged.
"""

import asyncio
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

from gateway.incoming import Incoming
from gateway.pending import Pending
from gateway.routing import replies
from gateway.routing.address import Address
from gateway.routing.facts import Facts
from gateway.routing.replies import Reply
from gateway.smtpd.limits import Limits
from gateway.smtpd.session import GatewaySession
from gateway.smtpd.strangers import Guest, Strangers
from gateway.smtpd.transaction import Services, Terms
from tests.routing import memory

CLIENT = ip_address("192.0.2.1")
HOSTED = memory.alias("b@a.example", memory.to_inbox())
# Turns of the loop after which a session that waits for nobody but its client is still.
TURNS = 12
MOST_TURNS = 1000
_OUR_FIELD = re.compile(rb"\AReceived:.*?\r\n(?![ \t])", re.DOTALL)


@dataclass(slots=True)
class Heard:
    """What came of a session: what it said, without ids; what it stored, for whom; its errors."""

    said: bytes = b""
    stored: list[tuple[list[str], bytes]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    @property
    def replies(self) -> list[str]:
        """Line by line."""
        return self.said.decode().splitlines()


class Transport(asyncio.Transport):
    """Writes into what was heard."""

    def __init__(self, session: GatewaySession, heard: Heard) -> None:
        super().__init__({"peername": (str(CLIENT), 1)})
        self._session, self._heard, self._is_closing = session, heard, False

    def write(self, data: Any) -> None:
        self._heard.said += bytes(data)

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            asyncio.get_running_loop().call_soon(self._session.connection_lost, None)

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Directory:
    """Hands out facts in a later turn of the loop, as one across a network would."""

    is_in_doubt = False

    def __init__(self) -> None:
        self._facts = memory.MemoryDirectory(HOSTED).all

    def facts(self, _addresses: Sequence[Address]) -> Pending[Facts]:
        found: Pending[Facts] = Pending()
        asyncio.get_running_loop().call_soon(found.resolve, self._facts)
        return found


class Intake:
    """Keeps what it is given; nothing of it makes a bell ring."""

    def __init__(self, heard: Heard) -> None:
        self._heard = heard

    def store(self, message: Incoming) -> Pending[Reply]:
        recipients = [recipient.text for recipient in message.recipients]
        self._heard.stored.append((recipients, _OUR_FIELD.sub(b"", message.octets, count=1)))
        stored: Pending[Reply] = Pending()
        asyncio.get_running_loop().call_soon(stored.resolve, replies.repeated("same"))
        return stored


async def hold(chunks: Iterable[bytes], *, is_plain: bool) -> Heard:
    """A session from its greeting on that is sent these, and then hears that this was all."""
    heard = Heard()
    open_sessions: set[GatewaySession] = set()
    session = _session(heard, open_sessions, is_plain=is_plain)
    session.connection_made(Transport(session, heard))
    await _settle()
    for chunk in chunks:
        if session.is_closing:
            break
        session.data_received(chunk)
        await _settle()
    if not session.is_closing:
        session.eof_received()
    for _ in range(MOST_TURNS):
        await _settle()
        if not open_sessions:
            break
    assert not open_sessions, "it never ended"
    heard.said = re.sub(rb"queued as \w+", b"queued", heard.said)
    return heard


async def _settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _session(heard: Heard, open_sessions: set[GatewaySession], *, is_plain: bool) -> GatewaySession:
    guest = Strangers(Limits(delay_seconds=0), lambda: 0.0).enter(CLIENT)
    assert isinstance(guest, Guest)
    session = Watched(_services(heard), guest, CLIENT, open_sessions, tls=None, is_plain=is_plain)
    session.heard = heard
    return session


class Watched(GatewaySession):
    """Keeps the errors that a session hides from its client."""

    heard: Heard

    def _trouble(self, error: BaseException) -> Reply:
        self.heard.errors.append(error)
        return replies.TROUBLE


def _services(heard: Heard) -> Services:
    none: Any = SimpleNamespace(note=lambda *_: None)
    directory: Any = Directory()
    intake: Any = Intake(heard)
    return Services(
        directory=directory,
        intake=intake,
        refusals=none,
        call_ahead=none,
        platform=memory.PLATFORM,
        max_recipients=3,
        data_budget_octets=1_000_000,
        terms=Terms(offers_dsn=True),
    )
