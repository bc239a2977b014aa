"""A message on its way in, as values: its envelope, what was decided, where its octets are."""

from collections.abc import AsyncIterator
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

from msgspec import Struct

from gateway.repeats import receipt_key
from gateway.routing.decision import Decision
from gateway.spool import Spool


class Recipient(Struct, frozen=True):
    """One RCPT TO as it was typed, its key, and what was decided and found for it."""

    text: str
    key: str
    decision: Decision
    hold: str = ""  # why its deliveries are kept back; empty lets them go
    mark: str = ""  # header lines that its deliveries carry on top
    dsn: str = ""  # what was asked of delivery reports


class Envelope(Struct, frozen=True):
    """Who sends, from where, in which transaction. `sender` is empty for the null sender."""

    queue_id: str
    sender: str
    client: IPv4Address | IPv6Address | None
    helo: str
    protocol: str
    smtputf8: bool = False
    declared_octets: int | None = None
    dsn: str = ""


class Incoming(Struct, frozen=True):
    """A message whose DATA is complete; `octets` carry our Received line on top.

    What is too large for memory follows them in `spool`.
    """

    id: UUID
    envelope: Envelope
    recipients: tuple[Recipient, ...]
    octets: bytes
    message_id: str
    digest: bytes
    spool: Spool | None = None

    @property
    def size_octets(self) -> int:
        """Of the whole message, wherever it waits."""
        return len(self.octets) + (self.spool.size_octets if self.spool else 0)

    @property
    def receipt_key(self) -> str:
        """What tells a repeat of it; empty where none is looked for."""
        return receipt_key(message_id=self.message_id, digest=self.digest)

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of its octets in order, few of them in memory at a time. Raises OSError."""
        yield self.octets
        if self.spool is not None:
            async for piece in self.spool.pieces():
                yield piece


class Refusal(Struct, frozen=True):
    """A recipient that was not taken, to be recorded."""

    envelope: Envelope
    recipient: Recipient
    at: datetime
