"""The one transaction behind 250: counters, body, message, records and deliveries, or nothing.

Group commit: what arrives while one commit runs shares the next. Counter rows are locked in sorted
order and messages admitted in order of arrival, so limits are exact over all gateways. Ids are made
before the commit: storing the same message a second time is recognised and harmless.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection
from psycopg.types.json import Jsonb

from gateway.batching import Batcher
from gateway.database import raw
from gateway.ids import uuid7
from gateway.routing import replies
from gateway.routing.admission import Ledger, Tally
from gateway.routing.decision import Decision, Destination
from gateway.routing.replies import Reply
from gateway.routing.window import RollingHour

log = logging.getLogger(__name__)

LARGEST_BATCH = 100
IN_FLIGHT = 2
# Messages above this have a lane of their own, so that small ones do not wait for them.
LARGE_OCTETS = 1024 * 1024

LOCK = """
WITH locked AS (
    INSERT INTO gateway_counter (key, minute, counts, total)
    SELECT key, 0, '{}', 0 FROM unnest(%(keys)s::text[]) AS key
    ON CONFLICT (key) DO UPDATE SET key = excluded.key
    RETURNING key, minute, counts, total, full_since
)
SELECT clock_timestamp(), l.* FROM (SELECT) AS one LEFT JOIN locked l ON true
"""
WRITE_BACK = """
UPDATE gateway_counter c
SET minute = v.minute, counts = v.counts::int[], total = v.total, full_since = v.full_since
FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::timestamptz[])
    AS v(key, minute, counts, total, full_since)
WHERE c.key = v.key
"""
COPY_BODY = "COPY gateway_body (id, expires_on, octets) FROM STDIN (FORMAT BINARY)"
COPY_MESSAGE = """COPY gateway_message (id, queue_id, received_at, sender, client, helo, protocol,
    smtputf8, size_octets, message_id, digest, body_id, body_expires_on) FROM STDIN"""
COPY_RECORD = """COPY gateway_routingrecord (id, message_id, at, queue_id, sender, recipient, key,
    client, tenant_id, domain_id, address_id, strategy, rule, detail, token, accepted, reason,
    reply, declared_octets, trace) FROM STDIN"""
COPY_DELIVERY = """COPY gateway_delivery (id, record_id, message_id, tenant_id, target_id, hop_id,
    kind, recipient, destination, rewrites_sender, null_sender, state, attempts_made, crashes,
    next_attempt_at, fence, last_reply, created_at) FROM STDIN"""


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT TO as it was typed, its key, and what was decided for it."""

    text: str
    key: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sends, from where, in which transaction. `sender` is empty for the null sender."""

    queue_id: str
    sender: str
    client: IPv4Address | IPv6Address | None
    helo: str
    protocol: str
    smtputf8: bool = False
    declared_octets: int | None = None


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message whose DATA is complete; `octets` carry our Received line on top."""

    id: UUID
    envelope: Envelope
    recipients: tuple[Recipient, ...]
    octets: bytes
    message_id: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A recipient that was not taken, to be recorded."""

    envelope: Envelope
    recipient: Recipient
    at: datetime


class StoreFailed(Exception):
    """The message is not stored; the reply says whether for want of space."""

    def __init__(self, reply: Reply = replies.TROUBLE) -> None:
        super().__init__(str(reply))
        self.reply = reply


class Intake:
    """Stores messages for a running gateway, small and large ones in lanes of their own."""

    def __init__(self, executor: Executor) -> None:
        self._small: Batcher[Incoming, Reply] = Batcher(
            store, executor=executor, in_flight=IN_FLIGHT, largest=LARGEST_BATCH
        )
        self._large: Batcher[Incoming, Reply] = Batcher(
            store, executor=executor, in_flight=1, largest=4
        )

    def store(self, message: Incoming) -> "asyncio.Future[Reply]":
        """The answer to DATA: queued once the commit is durable, else a counter's 450.

        The future raises StoreFailed.
        """
        lane = self._large if len(message.octets) > LARGE_OCTETS else self._small
        return lane.submit(message)


def store(batch: Sequence[Incoming]) -> Sequence[Reply | Exception]:
    """Store a batch in one commit; when that fails, each message by itself."""
    try:
        return _commit(batch)
    except psycopg.Error as error:
        log.warning("a batch of %d messages was not stored: %s", len(batch), error)
        _drop_dead_connection(error)
        return [_store_alone(message) for message in batch]


def _store_alone(message: Incoming) -> Reply | Exception:
    try:
        return _commit([message])[0]
    except psycopg.errors.UniqueViolation:
        return replies.queued(message.envelope.queue_id)  # the failed commit had been durable
    except (psycopg.errors.DiskFull, psycopg.errors.InsufficientResources):
        return StoreFailed(replies.NO_SPACE)
    except psycopg.Error as error:
        log.warning("message %s was not stored: %s", message.envelope.queue_id, error)
        _drop_dead_connection(error)
        return StoreFailed()


def _drop_dead_connection(error: psycopg.Error) -> None:
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        connection.close()


def _commit(batch: Sequence[Incoming]) -> Sequence[Reply]:
    """Admit, copy and commit. Raises psycopg.Error, after which nothing of it is stored."""
    opened = raw()
    with opened.transaction():
        cursor = psycopg.Cursor(opened)
        now, ledger = _lock_counters(cursor, batch)
        answers = [_admit(message, ledger) for message in batch]
        admitted = [m for m, answer in zip(batch, answers, strict=True) if answer is None]
        if admitted:
            _copy(cursor, admitted, now)
        if ledger.changed:
            _write_back(cursor, ledger.changed)
    return [
        answer or replies.queued(message.envelope.queue_id)
        for message, answer in zip(batch, answers, strict=True)
    ]


def _admit(message: Incoming, ledger: Ledger) -> Reply | None:
    takes = [take for recipient in message.recipients for take in recipient.decision.takes]
    return ledger.admit(takes, len(message.octets)) if takes else None


def _lock_counters(
    cursor: "psycopg.Cursor[Any]", batch: Sequence[Incoming]
) -> tuple[datetime, Ledger]:
    keys = {
        take.counter
        for message in batch
        for recipient in message.recipients
        for take in recipient.decision.takes
    }
    rows = cursor.execute(LOCK, {"keys": sorted(keys)}).fetchall()
    now: datetime = rows[-1][0]
    tallies = {
        key: Tally(RollingHour.of(minute, counts), total, full_since)
        for _, key, minute, counts, total, full_since in rows
        if key is not None
    }
    return now, Ledger(tallies, now=now)


def _write_back(cursor: "psycopg.Cursor[Any]", changed: dict[str, Tally]) -> None:
    tallies = changed.values()
    cursor.execute(
        WRITE_BACK,
        [
            list(changed),
            [tally.window.minute for tally in tallies],
            [_array(tally.window.counts) for tally in tallies],
            [tally.total for tally in tallies],
            [tally.full_since for tally in tallies],
        ],
    )


def _array(counts: Iterable[int]) -> str:
    return "{" + ",".join(map(str, counts)) + "}"


def _copy(cursor: "psycopg.Cursor[Any]", messages: Sequence[Incoming], now: datetime) -> None:
    records = [
        (uuid7(), message, recipient) for message in messages for recipient in message.recipients
    ]
    with cursor.copy(COPY_BODY) as copy:
        copy.set_types(["uuid", "date", "bytea"])
        for message in messages:
            copy.write_row((message.id, _expiry(message, now), message.octets))
    with cursor.copy(COPY_MESSAGE) as copy:
        for message in messages:
            copy.write_row(_message_row(message, now))
    with cursor.copy(COPY_RECORD) as copy:
        for record_id, message, recipient in records:
            copy.write_row(record_row(record_id, message.id, message.envelope, recipient, now))
    with cursor.copy(COPY_DELIVERY) as copy:
        for record_id, message, recipient in records:
            for destination in recipient.decision.destinations:
                copy.write_row(_delivery_row(record_id, message, recipient, destination, now))


def _expiry(message: Incoming, now: datetime) -> Any:
    days = max(recipient.decision.retention_days for recipient in message.recipients)
    return (now + timedelta(days=days)).date()


def _message_row(message: Incoming, now: datetime) -> tuple[Any, ...]:
    envelope = message.envelope
    return (
        message.id,
        envelope.queue_id,
        now,
        envelope.sender,
        envelope.client,
        envelope.helo,
        envelope.protocol,
        envelope.smtputf8,
        len(message.octets),
        message.message_id,
        message.digest,
        message.id,
        _expiry(message, now),
    )


def record_row(
    record_id: UUID,
    message_id: UUID | None,
    envelope: Envelope,
    recipient: Recipient,
    at: datetime,
) -> tuple[Any, ...]:
    """A routing record's values in the order of COPY_RECORD."""
    decision = recipient.decision
    return (
        record_id,
        message_id,
        at,
        envelope.queue_id,
        envelope.sender,
        recipient.text,
        recipient.key,
        envelope.client,
        decision.tenant_id,
        decision.domain_id,
        decision.address_id,
        decision.strategy,
        decision.rule,
        decision.detail,
        decision.detail or envelope.queue_id,
        decision.reply.is_accepted,
        decision.reply.reason,
        str(decision.reply),
        envelope.declared_octets,
        Jsonb([[step.name, step.outcome, step.note] for step in decision.trace]),
    )


def _delivery_row(
    record_id: UUID,
    message: Incoming,
    recipient: Recipient,
    destination: Destination,
    now: datetime,
) -> tuple[Any, ...]:
    hop = destination.hop
    return (
        uuid7(),
        record_id,
        message.id,
        recipient.decision.tenant_id,
        destination.target_id,
        hop.id or None if hop else None,
        destination.kind,
        str(destination.recipient or ""),
        f"{hop.protocol}:{hop.host}:{hop.port}" if hop else "",
        destination.rewrites_sender,
        destination.null_sender,
        "pending",
        0,
        0,
        now,
        0,
        "",
        now,
    )
