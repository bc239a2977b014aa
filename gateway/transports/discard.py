"""Discard: mail to a no-reply address ends here, with a routing record and nothing else."""

from gateway.transports.base import Envelope, Outcome, Result


class DiscardTransport:
    """Does nothing, and says so."""

    needs_octets = False

    async def send(self, envelope: Envelope, octets: bytes) -> Outcome:  # noqa: ARG002
        return Outcome(Result.DELIVERED, "250 2.0.0 discarded", remote="discard")

    async def close(self) -> None:
        """There is no connection."""

    def abort(self) -> None:
        """There is no connection."""
