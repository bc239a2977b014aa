"""What the rig needs of a server that it measures; each kind is one file here.

A peer gets a database that holds the rows and serves exactly those addresses:
250 for an alias, 550 for any other local part of a hosted domain.
"""

from typing import Protocol

from benchmarks.database import Database


class PeerError(Exception):
    """A server that cannot be measured here; the text says why, and what mends it."""


class Peer(Protocol):
    """A mail server that the rig starts, asks and stops, one at a time."""

    name: str  # the column of the table
    port: int  # chosen at each start

    def prepare(self) -> str:
        """Get what it needs; its version, empty for this repository's own. Raises PeerError."""

    def start(self, database: Database) -> None:
        """Serve the database's aliases on the port; returns when it greets. Raises PeerError."""

    def stop(self) -> None:
        """End every process of the server; harmless when none runs."""

    def processes(self) -> list[int]:
        """The server's running processes, without those of its database."""

    def stored_count(self) -> int:
        """How many accepted messages lie durably in the server's store."""

    def clear(self) -> None:
        """Throw away the stored messages, so that disk use is bounded."""


class Twins(Peer, Protocol):
    """A server that listens twice, each time as a gateway of its own, on one database."""

    second_port: int
    database: Database | None


class Authenticator(Peer, Protocol):
    """A server that checks SPF, DKIM and DMARC before it takes a message."""

    def stored_message(self) -> bytes:
        """The header of one message as it is stored, with the trace that the server added."""


class Deliverer(Peer, Protocol):
    """A server that also delivers what it accepts, to a sink that counts."""

    def received_count(self) -> int:
        """How many messages the sink has taken so far."""

    def is_settled(self, accepted: int) -> bool:
        """Whether all messages accepted since the last `clear` are delivered and noted as such."""
