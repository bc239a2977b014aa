"""Deliveries as intake stores them, made directly, for tests of what happens afterwards."""

from datetime import date, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from django.db import connection
from django.utils import timezone

from gateway.ids import uuid7
from gateway.models import Attempt, Body, Delivery, Message, RoutingRecord
from tenants.models import NextHop

CONTENT = b"Received: from test\r\nSubject: test\r\n\r\n.leading dot\r\nline\r\n"
_numbers = count(1)


def empty() -> None:
    """Forget all mail: tests here drain everything that is due."""
    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE gateway_message, gateway_body, gateway_routingrecord, gateway_delivery,"
            " gateway_attempt, gateway_outage CASCADE"
        )


def add_hop(port: int, *, protocol: str = "smtp", tls: str = "none") -> NextHop:
    """A next hop of the platform on a loopback port."""
    return NextHop.objects.create(
        name=f"hop {next(_numbers)}", host="127.0.0.1", port=port, protocol=protocol, tls=tls
    )


def put(
    hop: NextHop | None = None,
    *,
    octets: bytes = CONTENT,
    sender: str = "ann@sender.example",
    recipients: tuple[str, ...] = ("box@store.example",),
    original: str = "bob@hosted.example",
    received_at: datetime | None = None,
    expires_on: date | None = None,
    tenant_id: int | None = None,
    smtputf8: bool = False,
    **fields: Any,
) -> list[Delivery]:
    """Store one message with a record and a delivery for each recipient at the hop."""
    at = received_at or timezone.now()
    body = Body.objects.create(
        expires_on=expires_on or (at + timedelta(days=30)).date(), octets=octets
    )
    message = Message.objects.create(
        id=body.id,
        queue_id=f"Q{next(_numbers)}x{body.id.hex[:12]}",
        received_at=at,
        sender=sender,
        protocol="ESMTP",
        smtputf8=smtputf8,
        size_octets=len(octets),
        digest=b"",
        body_id=body.id,
        body_expires_on=body.expires_on,
    )
    return [
        _delivery(message, hop, recipient, original, tenant_id, fields) for recipient in recipients
    ]


def _delivery(
    message: Message,
    hop: NextHop | None,
    recipient: str,
    original: str,
    tenant_id: int | None,
    fields: dict[str, Any],
) -> Delivery:
    record = RoutingRecord.objects.create(
        message=message,
        at=message.received_at,
        queue_id=message.queue_id,
        recipient=original,
        key=original,
        tenant_id=tenant_id,
        strategy="alias",
        rule="test",
        token=message.queue_id,
        accepted=True,
        reason="accepted",
        reply="250",
    )
    values = {
        "kind": "mailbox",
        "next_attempt_at": message.received_at,
        "created_at": message.received_at,
    }
    return Delivery.objects.create(
        id=uuid7(),
        record=record,
        message=message,
        tenant_id=tenant_id,
        hop=hop,
        recipient=recipient,
        **(values | fields),
    )


def state(delivery: Delivery) -> str:
    delivery.refresh_from_db()
    return delivery.state


def states(deliveries: list[Delivery]) -> list[str]:
    return [state(each) for each in deliveries]


def attempts(delivery: Delivery) -> list[Attempt]:
    return list(delivery.attempts.order_by("number"))


def make_due(*ids: UUID) -> None:
    """Let the time until the next attempt pass."""
    Delivery.objects.filter(id__in=ids).update(next_attempt_at=timezone.now() - timedelta(hours=1))


def let_lease_end(*ids: UUID) -> None:
    Delivery.objects.filter(id__in=ids).update(lease_until=timezone.now() - timedelta(seconds=1))
