"""Stored inbox: the message is kept already, so there is nothing to send.

Its octets stay in the table of bodies until the tenant's retention ends, shared by all recipients
of the message: what other transports put on top when they send, `read` puts on top of each copy.
"""

from collections.abc import Sequence

from gateway.models import Delivery
from gateway.pieces import octets_of
from gateway.transports import trace
from gateway.transports.base import Envelope, Outcome, Result

_OUTCOME = Outcome(Result.DELIVERED, "250 2.0.0 stored", remote="inbox")


class InboxTransport:
    """Leaves the message where it is."""

    needs_octets = False

    async def send(self, envelopes: Sequence[Envelope], octets: bytes) -> list[Outcome]:  # noqa: ARG002
        return [_OUTCOME] * len(envelopes)

    def answers(self) -> list[Outcome | None]:
        return []

    async def close(self) -> None:
        """There is no connection."""

    def abort(self) -> None:
        """There is no connection."""


def read(delivery: Delivery) -> bytes | None:
    """A stored inbox's message as its recipient reads it; None once its retention is over.

    One query where the delivery comes with its message and record.
    """
    message = delivery.message
    octets = octets_of(message)
    if octets is None:
        return None
    envelope = Envelope(
        delivery_id=delivery.pk,
        sender=message.sender,
        recipient=delivery.recipient,
        original_recipient=delivery.record.recipient,
        smtputf8=message.smtputf8,
        mark=delivery.mark,
    )
    return trace.header([envelope]) + octets
