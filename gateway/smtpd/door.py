"""The door: turns a connection away with one line, or makes it a session.

A stranger who is turned away has cost a small object and no session.
"""

import asyncio
import resource
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import structlog

from gateway import metrics
from gateway.routing.replies import Reply
from gateway.smtpd.strangers import Guest, Strangers

log = structlog.get_logger("gateway")

# Descriptors kept for the database, probes, logs and libraries.
RESERVED_DESCRIPTORS = 128
# Lines about strangers turned away, a second; all are counted.
LOGGED_PER_SECOND = 20

NewSession = Callable[[Guest], asyncio.Protocol]


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
        """Decide about a connection, now that its client's address can be asked."""
        address = address_of(transport.get_extra_info("peername"))
        guest = self._strangers.enter(address)
        if isinstance(guest, Reply):
            self._turn_away(transport, address, guest)
            return
        session = self._new_session(guest)
        transport.set_protocol(session)
        session.connection_made(transport)

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


def address_of(peer: Any) -> IPv4Address | IPv6Address | None:
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
