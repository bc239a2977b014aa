"""Discard: mail to a no-reply address ends here, with a routing record and nothing else."""

from collections.abc import Sequence

from gateway.transports.base import Envelope, Outcome, Result

_OUTCOME = Outcome(Result.DELIVERED, "250 2.0.0 discarded", remote="discard")


class DiscardTransport:
    """Does nothing, and says so."""

    needs_octets = False

    async def send(self, envelopes: Sequence[Envelope], octets: bytes) -> list[Outcome]:  # noqa: ARG002
        return [_OUTCOME] * len(envelopes)

    def answers(self) -> list[Outcome | None]:
        return []

    async def close(self) -> None:
        """There is no connection."""

    def abort(self) -> None:
        """There is no connection."""
