"""Fills the queue: deliveries that are due, all for one hop that nobody listens on.

`python -m benchmarks.backlog 1000000` works on DATABASE_URL, a superuser's, after
benchmarks.loading. The rows are whole: a message has body, record and a thousand deliveries.
"""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import django

django.setup()

from django.db import connection  # noqa: E402 - models need the set-up

from benchmarks.loading import copy_rows  # noqa: E402
from benchmarks.population import SENDER  # noqa: E402
from gateway import ids  # noqa: E402
from gateway.models import Body, Delivery, Message, RoutingRecord  # noqa: E402
from mailrouting.embedded import ROLE  # noqa: E402
from tenants.models import NextHop  # noqa: E402

DELIVERIES_PER_MESSAGE = 1_000
DEAD_PORT = 9  # discard, RFC 863: nobody listens on it here, so a connection is refused at once
OLDEST = timedelta(hours=1)  # the messages came evenly since then
KEPT = timedelta(days=7)
RECIPIENT = "somebody@dead.bench.example"
OCTETS = b"Subject: waiting\r\n\r\nFor a hop that is dead.\r\n"


def main(deliveries: int) -> None:
    messages = -(-deliveries // DELIVERIES_PER_MESSAGE)
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(f"SET ROLE {ROLE}")
        _copy_queue(deliveries, _ages(messages))
        cursor.execute("RESET ROLE")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")


def _ages(messages: int) -> list[tuple[UUID, datetime]]:
    """Id and arrival of each message; one id serves for its body and its record, too."""
    since = datetime.now(UTC) - OLDEST
    times = [since + OLDEST * number / messages for number in range(messages)]
    return [(ids.uuid7(now_ms=int(time.timestamp() * 1000)), time) for time in times]


def _copy_queue(deliveries: int, messages: list[tuple[UUID, datetime]]) -> None:
    hop = NextHop.objects.create(
        name="Dead", host="127.0.0.1", port=DEAD_PORT, tls=NextHop.Tls.NONE
    )
    expires_on = (datetime.now(UTC) + KEPT).date()
    copy_rows(
        Body(expires_on=expires_on, octets=OCTETS), ("id",), ((each,) for each, _ in messages)
    )
    copy_rows(
        Message(
            sender=SENDER,
            protocol="ESMTP",
            size_octets=len(OCTETS),
            digest=bytes(32),
            body_expires_on=expires_on,
        ),
        ("id", "queue_id", "body_id", "received_at"),
        ((each, ids.queue_id(each), each, time) for each, time in messages),
    )
    copy_rows(
        RoutingRecord(
            sender=SENDER,
            recipient=RECIPIENT,
            key=RECIPIENT,
            strategy="exact",
            accepted=True,
            reason="accepted",
        ),
        ("id", "message_id", "queue_id", "at"),
        ((each, each, ids.queue_id(each), time) for each, time in messages),
    )
    copy_rows(
        Delivery(hop=hop, kind="mailbox", recipient=RECIPIENT, destination=RECIPIENT),
        ("id", "record_id", "message_id", "next_attempt_at", "created_at"),
        _deliveries(deliveries, messages),
    )


def _deliveries(
    number: int, messages: list[tuple[UUID, datetime]]
) -> Iterator[tuple[UUID, UUID, UUID, datetime, datetime]]:
    for index in range(number):
        message, time = messages[index // DELIVERIES_PER_MESSAGE]
        made = ids.uuid7(now_ms=int(time.timestamp() * 1000))
        yield made, message, message, time, time


if __name__ == "__main__":
    main(int(sys.argv[1]))
