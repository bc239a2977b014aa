"""Recognises a message that its sender repeats because our 250 got lost (RFC 5321 §4.1.1.4).

A message with a Message-ID leaves a receipt in the transaction that stores it: its digest over
envelope and content, once. A second one within the window meets it, on whatever gateway, and is
answered with the first one's queue id. This costs an insert each, and a look-up only where one is
met: the database refuses the second receipt, and then this file is asked.
"""

from collections.abc import Collection
from uuid import UUID

from django.conf import settings

from gateway.link import Link, Question, Statement

# Part of the statement that stores messages, which calls their new rows `message`. In order, so
# that two gateways that meet each other's receipts never wait for each other in turn.
INSERT_RECEIPTS = """
INSERT INTO gateway_receipt (key, queue_id, at)
SELECT substr(encode(digest, 'hex'), 1, 32)::uuid, queue_id, received_at
FROM message WHERE message_id <> '' ORDER BY digest
"""
_FORGET = Statement(
    "forget_receipts",
    """
DELETE FROM gateway_receipt
WHERE key = ANY($1::uuid[]) AND at < clock_timestamp() - $2::text::interval
""",
)
_FIND = Statement(
    "find_receipts", "SELECT key, queue_id FROM gateway_receipt WHERE key = ANY($1::uuid[])"
)


def receipt_key(*, message_id: str, digest: bytes) -> str:
    """Under what a message leaves its receipt; empty for one that leaves none."""
    return str(UUID(bytes=digest[:16])) if message_id else ""


async def find_first(link: Link, keys: Collection[str]) -> dict[str, str]:
    """The queue ids of stored messages by their keys, those within the window.

    Older receipts are removed, so that they are in nobody's way. Raises psycopg.Error.
    """
    wanted, window = list(keys), f"{settings.GATEWAY_REPEAT_SECONDS} seconds"
    _, rows = await link.ask(Question(_FORGET, (wanted, window)), Question(_FIND, (wanted,)))
    return {(key or b"").decode(): (queue_id or b"").decode() for key, queue_id in rows}
