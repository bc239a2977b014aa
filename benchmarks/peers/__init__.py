"""What the rig needs of a server that it measures; each peer is one file here.

A peer gets a database that holds the rows and serves exactly those addresses:
250 for an alias, 550 for any other local part of a hosted domain.
"""

from typing import Protocol

from benchmarks.database import Database


class PeerError(Exception):
    """A server that cannot be measured here; the text says why, and what mends it."""


class Peer(Protocol):
    """A mail server that the rig starts, asks and stops, one at a time."""

    name: str
    port: int

    def version(self) -> str:
        """The server's version; empty for this repository's own."""

    def start(self, database: Database) -> None:
        """Serve the database's aliases on the port; returns when it greets."""

    def stop(self) -> None:
        """End every process of the server; harmless when none runs."""

    def stored_count(self) -> int:
        """How many accepted messages lie durably in the server's store."""

    def clear(self) -> None:
        """Throw away the stored messages, so that disk use is bounded."""
