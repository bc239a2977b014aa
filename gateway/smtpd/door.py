"""The door: turns a connection away with one line, or makes it a session.

A stranger who is turned away has cost a small object and no session. A listed proxy has to say
first whose connection it is; nobody else is asked.
"""

import asyncio
import resource
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Any

import structlog

from gateway import metrics
from gateway.routing import replies
from gateway.routing.replies import Reply
from gateway.smtpd.limits import IpAddress
from gateway.smtpd.proxy import ProxyError, read_header
from gateway.smtpd.strangers import Guest, Strangers

log = structlog.get_logger("gateway")

# Descriptors kept for the database, probes, logs and libraries.
RESERVED_DESCRIPTORS = 128
# Lines about strangers turned away, a second; all are counted.
LOGGED_PER_SECOND = 20

NewSession = Callable[[Guest, IpAddress | None], asyncio.Protocol]


class Door:
    """Makes the protocol of each accepted connection."""

    def __init__(self, strangers: Strangers, new_session: NewSession) -> None:
        self._strangers = strangers
        self._new_session = new_session
        self._second = 0
        self._logged = 0

    def __call__(self) -> asyncio.Protocol:
        return _Doorstep(self)

    def receive(self, transport: asyncio.Transport) -> None:
        """Decide about a connection, now that its peer's address can be asked."""
        peer = address_of(transport.get_extra_info("peername"))
        if self._strangers.is_proxy(peer):
            introduction = _Introduction(self, peer, self._strangers.limits.handshake_seconds)
            transport.set_protocol(introduction)
            introduction.connection_made(transport)
        else:
            self.let_in(transport, peer)

    def let_in(
        self, transport: asyncio.Transport, client: IpAddress | None, heard: bytes = b""
    ) -> None:
        """Make it this client's session, which has said so much already; or turn it away."""
        guest = self._strangers.enter(client)
        if isinstance(guest, Reply):
            self._turn_away(transport, client, guest)
            return
        session = self._new_session(guest, client)
        transport.set_protocol(session)
        session.connection_made(transport)
        if heard:
            session.data_received(heard)

    def _turn_away(self, transport: asyncio.Transport, address: object, reply: Reply) -> None:
        transport.write(f"{reply}\r\n".encode())
        transport.close()
        metrics.refused_connection(reply.reason)
        second = int(asyncio.get_running_loop().time())
        if second != self._second:
            self._second, self._logged = second, 0
        self._logged += 1
        if self._logged <= LOGGED_PER_SECOND:
            log.info("connection refused", client=str(address or "unknown"), reason=reply.reason)


class _Doorstep(asyncio.Protocol):
    """The protocol of a connection until it is a session."""

    __slots__ = ("_door",)

    def __init__(self, door: Door) -> None:
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._door.receive(transport)  # type: ignore[arg-type]


class _Introduction(asyncio.Protocol):
    """The protocol of a proxy's connection until it has said whose it is."""

    __slots__ = ("_deadline", "_door", "_heard", "_peer", "_transport")

    def __init__(self, door: Door, peer: IpAddress | None, seconds: float) -> None:
        self._door = door
        self._peer = peer
        self._heard = b""
        self._transport: asyncio.Transport
        self._deadline = asyncio.get_running_loop().call_later(
            seconds, self._cut, replies.IDLE, "silent"
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, _error: Exception | None) -> None:
        self._deadline.cancel()

    def data_received(self, data: bytes) -> None:
        self._heard += data
        try:
            header = read_header(self._heard)
        except ProxyError as error:
            self._cut(replies.UNINTRODUCED, str(error))
            return
        if header is not None:
            self._deadline.cancel()
            client = self._peer if header.client is None else header.client
            self._door.let_in(self._transport, client, self._heard[header.size_octets :])

    def _cut(self, reply: Reply, reason: str) -> None:
        """Close with a reply, which the proxy hands to its client."""
        self._deadline.cancel()
        self._transport.write(f"{reply}\r\n".encode())
        self._transport.close()
        metrics.cut_connection("proxy")
        log.warning("proxy cut", proxy=str(self._peer), reason=reason)


def address_of(peer: Any) -> IpAddress | None:
    """The address of a socket's peer; None for a peer without one."""
    try:
        address = ip_address(str(peer[0]).partition("%")[0])
    except (ValueError, IndexError, TypeError):
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def raise_descriptor_limit() -> int | None:
    """Allow this process as many descriptors as it may have.

    Returns how many connections they are enough for; None where there is no limit.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return None if hard == resource.RLIM_INFINITY else max(1, hard - RESERVED_DESCRIPTORS)
