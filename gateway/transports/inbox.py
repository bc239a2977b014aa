"""Stored inbox: the message is kept already, so there is nothing to send.

Its octets stay in the table of bodies until the tenant's retention ends.
"""

from collections.abc import Sequence

from gateway.transports.base import Envelope, Outcome, Result

_OUTCOME = Outcome(Result.DELIVERED, "250 2.0.0 stored", remote="inbox")


class InboxTransport:
    """Leaves the message where it is."""

    needs_octets = False

    async def send(self, envelopes: Sequence[Envelope], octets: bytes) -> list[Outcome]:  # noqa: ARG002
        return [_OUTCOME] * len(envelopes)

    async def close(self) -> None:
        """There is no connection."""

    def abort(self) -> None:
        """There is no connection."""
