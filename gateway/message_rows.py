"""What is written of a message, and how: its statements, and the rows that they take.

Intake writes all of it; refusals share the rows of records.
"""

import struct
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any
from uuid import UUID

import psycopg

from gateway.counters import WRITE_BACK, counter_row
from gateway.ids import uuid7
from gateway.incoming import Envelope, Incoming, Recipient
from gateway.link import Parameter, Statement, as_json, binary_array
from gateway.pieces import cut
from gateway.repeats import INSERT_RECEIPTS
from gateway.routing.admission import Tally
from gateway.routing.decision import Destination

FIND = Statement("find_message", "SELECT 1 FROM gateway_message WHERE id = $1")
# One statement and one round trip for all that a batch stores, its rows as JSON (measured: twice as
# fast as an array a column, and as COPY where batches are small). Times are the database's.
CLOCK = "clock AS (SELECT clock_timestamp() AS now)"
INSERT_RECORDS = """
INSERT INTO gateway_routingrecord (id, message_id, at, queue_id, sender, recipient, key, client,
    tenant_id, domain_id, address_id, strategy, rule, detail, token, accepted, reason, reply,
    declared_octets, trace)
SELECT r.id, r.message_id, coalesce(r.at, clock.now), r.queue_id, r.sender, r.recipient, r.key,
    r.client, r.tenant_id, r.domain_id, r.address_id, r.strategy, r.rule, r.detail, r.token,
    r.accepted, r.reason, r.reply, r.declared_octets, r.trace
FROM clock, json_to_recordset({records}::json) AS r(id uuid, message_id uuid, at timestamptz,
    queue_id text, sender text, recipient text, key text, client inet, tenant_id bigint,
    domain_id bigint, address_id bigint, strategy text, rule text, detail text, token text,
    accepted bool, reason text, reply text, declared_octets bigint, trace jsonb)
"""
# $1 ids, $2 days, $3 numbers and $4 octets of the bodies' pieces, $5 messages, $6 records,
# $7 deliveries, $8 counters.
STORE = Statement(
    "store",
    f"""
WITH {CLOCK}, body AS (
    INSERT INTO gateway_body (id, expires_on, number, octets)
    SELECT b.id, (clock.now + b.days * interval '1 day')::date, b.number, b.octets
    FROM clock, unnest($1::uuid[], $2::int[], $3::int[], $4::bytea[])
        AS b(id, days, number, octets)
), message AS (
    INSERT INTO gateway_message (id, queue_id, received_at, sender, client, helo, protocol,
        smtputf8, size_octets, message_id, digest, body_id, body_expires_on, dsn)
    SELECT m.id, m.queue_id, clock.now, m.sender, m.client, m.helo, m.protocol, m.smtputf8,
        m.size_octets, m.message_id, decode(m.digest, 'hex'), m.id,
        coalesce(m.expires_on, (clock.now + m.days * interval '1 day')::date), coalesce(m.dsn, '')
    FROM clock, json_to_recordset($5::json) AS m(id uuid, queue_id text, sender text,
        client inet, helo text, protocol text, smtputf8 bool, size_octets bigint,
        message_id text, digest text, days int, expires_on date, dsn text)
    RETURNING digest, message_id, queue_id, received_at
), receipt AS ({INSERT_RECEIPTS}),
record AS ({INSERT_RECORDS.format(records="$6")}),
counter AS ({WRITE_BACK.format(counters="$8")})
INSERT INTO gateway_delivery (id, record_id, message_id, tenant_id, target_id, hop_id, kind,
    recipient, destination, rewrites_sender, null_sender, state, attempts_made, crashes,
    next_attempt_at, fence, last_reply, created_at, mark, dsn)
SELECT d.id, d.record_id, d.message_id, d.tenant_id, d.target_id, d.hop_id, d.kind, d.recipient,
    d.destination, d.rewrites_sender, d.null_sender,
    CASE WHEN d.hold IS NULL THEN 'pending' ELSE 'held' END, 0, 0, clock.now, 0,
    coalesce(d.hold, ''), clock.now, coalesce(d.mark, ''), coalesce(d.dsn, '')
FROM clock, json_to_recordset($7::json) AS d(id uuid, record_id uuid,
    message_id uuid, tenant_id bigint, target_id bigint, hop_id bigint, kind text,
    recipient text, destination text, rewrites_sender bool, null_sender bool, hold text, mark text,
    dsn text)
""",
)

# The octets of large messages on their own, ahead of the rest, as `placing` writes them; the day
# until which they stay is the database's, too. $1 days.
PLACE = "COPY gateway_body (id, expires_on, number, octets) FROM STDIN (FORMAT binary)"
DAY = Statement("day", "SELECT (clock_timestamp() + $1::int * interval '1 day')::date")
DISPLACE = Statement(
    "displace_body", "DELETE FROM gateway_body WHERE id = $1::uuid AND expires_on = $2::date"
)

# PostgreSQL's binary COPY: a signature without flags, the columns of each row with their sizes, -1.
_COPY_HEAD = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_COLUMN = struct.Struct("!iii")
# Few enough that their octets are allocated without asking the system for memory each time.
ROWS_AT_ONCE = 8
_COPY_END = struct.pack("!h", -1)
_FIRST_DAY = date(2000, 1, 1)

Row = dict[str, Any]


def store_parameters(
    messages: Sequence[Incoming],
    counters: Mapping[str, Tally],
    *,
    placed: Mapping[UUID, str] = MappingProxyType({}),
) -> tuple[Parameter, ...]:
    """What STORE stores: messages with all that hangs on them, and counters that changed.

    `placed` are the days until which octets are kept that are stored already.
    """
    pieces = [
        (str(message.id), str(days_kept(message)), str(number), octets)
        for message in messages
        if message.id not in placed
        for number, octets in enumerate(cut(message.octets))
    ]
    records: list[Row] = []
    deliveries: list[Row] = []
    for message in messages:
        for recipient in message.recipients:
            record = record_row(message.envelope, recipient, message_id=str(message.id))
            records.append(record)
            deliveries += [
                _delivery_row(record, destination, recipient)
                for destination in recipient.decision.destinations
            ]
    rows = [
        [_message_row(message, placed.get(message.id)) for message in messages],
        records,
        deliveries,
        [counter_row(key, tally) for key, tally in counters.items()],
    ]
    return (
        [body_id for body_id, _, _, _ in pieces],
        [days for _, days, _, _ in pieces],
        [number for _, _, number, _ in pieces],
        binary_array([octets for _, _, _, octets in pieces]),
        *[as_json(each) for each in rows],
    )


async def placing(messages: Sequence[Incoming], days: Mapping[UUID, str]) -> AsyncIterator[bytes]:
    """Bodies as a binary COPY takes them, some pieces at a time. Raises psycopg.DataError."""
    yield _COPY_HEAD
    for message in messages:
        day = (date.fromisoformat(days[message.id]) - _FIRST_DAY).days
        key = struct.pack("!hi16sii", 4, 16, message.id.bytes, 4, day)
        try:
            async for rows in _copy_rows(key, message):
                yield rows
        except OSError as error:
            queue_id = message.envelope.queue_id
            raise psycopg.DataError(f"message {queue_id} cannot be read back: {error}") from error
    yield _COPY_END


async def _copy_rows(key: bytes, message: Incoming) -> AsyncIterator[bytes]:
    """The rows of a message's pieces, some at once. Raises OSError."""
    number, rest = 0, memoryview(b"")
    async for octets in message.pieces():
        *whole, rest = cut(b"".join((rest, octets)) if rest else octets)
        for at in range(0, len(whole), ROWS_AT_ONCE):
            some = whole[at : at + ROWS_AT_ONCE]
            yield b"".join(_copied(key, number, some))
            number += len(some)
    yield b"".join(_copied(key, number, [rest]))


def _copied(key: bytes, first: int, pieces: Sequence[memoryview]) -> Iterator[bytes | memoryview]:
    for number, octets in enumerate(pieces, first):
        yield key
        yield _COPY_COLUMN.pack(4, number, len(octets))
        yield octets


def days_kept(message: Incoming) -> int:
    return max(recipient.decision.retention_days for recipient in message.recipients)


def _message_row(message: Incoming, expires_on: str | None) -> Row:
    """What is not usual is named only where it is so."""
    row = _plain_message_row(message)
    if expires_on:
        row["expires_on"] = expires_on
    if message.envelope.dsn:
        row["dsn"] = message.envelope.dsn
    return row


def _plain_message_row(message: Incoming) -> Row:
    envelope = message.envelope
    return {
        "id": str(message.id),
        "queue_id": envelope.queue_id,
        "sender": envelope.sender,
        "client": envelope.client and str(envelope.client),
        "helo": envelope.helo,
        "protocol": envelope.protocol,
        "smtputf8": envelope.smtputf8,
        "size_octets": message.size_octets,
        "message_id": message.message_id,
        "digest": message.digest.hex(),
        "days": days_kept(message),
    }


def record_row(envelope: Envelope, recipient: Recipient, *, message_id: str | None = None) -> Row:
    """A routing record as INSERT_RECORDS takes it; a row without `at` is of this moment."""
    decision = recipient.decision
    return {
        "id": str(uuid7()),
        "message_id": message_id,
        "queue_id": envelope.queue_id,
        "sender": envelope.sender,
        "recipient": recipient.text,
        "key": recipient.key,
        "client": envelope.client and str(envelope.client),
        "tenant_id": decision.tenant_id,
        "domain_id": decision.domain_id,
        "address_id": decision.address_id,
        "strategy": decision.strategy,
        "rule": decision.rule,
        "detail": decision.detail,
        "token": decision.detail or envelope.queue_id,
        "accepted": decision.reply.is_accepted,
        "reason": decision.reply.reason,
        "reply": str(decision.reply),
        "declared_octets": envelope.declared_octets,
        "trace": [(step.name, step.outcome, step.note) for step in decision.trace],
    }


def _delivery_row(record: Row, destination: Destination, recipient: Recipient) -> Row:
    """What is not usual (kept back, marked) is named only where it is so."""
    row = _plain_delivery_row(record, destination)
    if recipient.hold:
        row["hold"] = recipient.hold
    if recipient.mark:
        row["mark"] = recipient.mark
    if recipient.dsn:
        row["dsn"] = recipient.dsn
    return row


def _plain_delivery_row(record: Row, destination: Destination) -> Row:
    return {
        "id": str(uuid7()),
        "record_id": record["id"],
        "message_id": record["message_id"],
        "tenant_id": record["tenant_id"],
        **place_of(destination),
    }


def place_of(destination: Destination) -> Row:
    """What a delivery's row says of the place it goes to."""
    hop = destination.hop
    return {
        "target_id": destination.target_id,
        "hop_id": hop.id or None if hop else None,
        "kind": destination.kind,
        "recipient": str(destination.recipient or ""),
        "destination": f"{hop.protocol}:{hop.host}:{hop.port}" if hop else "",
        "rewrites_sender": destination.rewrites_sender,
        "null_sender": destination.null_sender,
    }
