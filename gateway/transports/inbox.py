"""Stored inbox: the message is kept already, so there is nothing to send.

Its octets stay in the table of bodies until the tenant's retention ends.
"""

from gateway.transports.base import Envelope, Outcome, Result


class InboxTransport:
    """Leaves the message where it is."""

    needs_octets = False

    async def send(self, envelope: Envelope, octets: bytes) -> Outcome:  # noqa: ARG002
        return Outcome(Result.DELIVERED, "250 2.0.0 stored", remote="inbox")

    async def close(self) -> None:
        """There is no connection."""

    def abort(self) -> None:
        """There is no connection."""
