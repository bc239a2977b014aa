"""The one transaction behind 250: counters, body, message, records and deliveries, or nothing.

Group commit: what arrives while one commit runs shares the next. Counter rows are locked in sorted
order and messages admitted in order of arrival, so limits are exact over all gateways. Ids are made
before the commit: storing the same message a second time is recognised and harmless.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

import psycopg
from msgspec import Struct
from msgspec.structs import replace

from gateway.batching import Batcher
from gateway.counters import (
    ASK_TIMES,
    WRITE_BACK,
    Changed,
    Memory,
    counter_row,
    lock_counters,
)
from gateway.ids import uuid7
from gateway.link import (
    COMMIT,
    ROLLBACK,
    Link,
    Parameter,
    Question,
    Statement,
    as_json,
    binary_array,
)
from gateway.pending import Pending
from gateway.repeats import INSERT_RECEIPTS, find_first, receipt_key
from gateway.routing import replies
from gateway.routing.admission import Ledger, Tally
from gateway.routing.decision import Decision, Destination, Take
from gateway.routing.replies import Reply
from gateway.spool import Spool

log = logging.getLogger(__name__)

# One batch at a time: a second one would wait for the first one's counters, then fill up less.
LARGEST_BATCH = 100
LARGEST_LARGE_BATCH = 4
# Messages above this have a lane of their own, so that small ones do not wait for them.
LARGE_OCTETS = 1024 * 1024

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
# $1 ids, $2 days and $3 octets of the bodies, $4 messages, $5 records, $6 deliveries, $7 counters.
STORE = Statement(
    "store",
    f"""
WITH {CLOCK}, body AS (
    INSERT INTO gateway_body (id, expires_on, octets)
    SELECT b.id, (clock.now + b.days * interval '1 day')::date, b.octets
    FROM clock, unnest($1::uuid[], $2::int[], $3::bytea[]) AS b(id, days, octets)
), message AS (
    INSERT INTO gateway_message (id, queue_id, received_at, sender, client, helo, protocol,
        smtputf8, size_octets, message_id, digest, body_id, body_expires_on, dsn)
    SELECT m.id, m.queue_id, clock.now, m.sender, m.client, m.helo, m.protocol, m.smtputf8,
        m.size_octets, m.message_id, decode(m.digest, 'hex'), m.id,
        (clock.now + m.days * interval '1 day')::date, coalesce(m.dsn, '')
    FROM clock, json_to_recordset($4::json) AS m(id uuid, queue_id text, sender text,
        client inet, helo text, protocol text, smtputf8 bool, size_octets bigint,
        message_id text, digest text, days int, dsn text)
    RETURNING digest, message_id, queue_id, received_at
), receipt AS ({INSERT_RECEIPTS}),
record AS ({INSERT_RECORDS.format(records="$5")}),
counter AS ({WRITE_BACK.format(counters="$7")})
INSERT INTO gateway_delivery (id, record_id, message_id, tenant_id, target_id, hop_id, kind,
    recipient, destination, rewrites_sender, null_sender, state, attempts_made, crashes,
    next_attempt_at, fence, last_reply, created_at, mark, dsn)
SELECT d.id, d.record_id, d.message_id, d.tenant_id, d.target_id, d.hop_id, d.kind, d.recipient,
    d.destination, d.rewrites_sender, d.null_sender,
    CASE WHEN d.hold IS NULL THEN 'pending' ELSE 'held' END, 0, 0, clock.now, 0,
    coalesce(d.hold, ''), clock.now, coalesce(d.mark, ''), coalesce(d.dsn, '')
FROM clock, json_to_recordset($6::json) AS d(id uuid, record_id uuid,
    message_id uuid, tenant_id bigint, target_id bigint, hop_id bigint, kind text,
    recipient text, destination text, rewrites_sender bool, null_sender bool, hold text, mark text,
    dsn text)
""",
)

Row = dict[str, Any]


class Recipient(Struct, frozen=True):
    """One RCPT TO as it was typed, its key, and what was decided and found for it."""

    text: str
    key: str
    decision: Decision
    hold: str = ""  # why its deliveries are kept back; empty lets them go
    mark: str = ""  # header lines that its deliveries carry on top
    dsn: str = ""  # what was asked of delivery reports


class Envelope(Struct, frozen=True):
    """Who sends, from where, in which transaction. `sender` is empty for the null sender."""

    queue_id: str
    sender: str
    client: IPv4Address | IPv6Address | None
    helo: str
    protocol: str
    smtputf8: bool = False
    declared_octets: int | None = None
    dsn: str = ""


class Incoming(Struct, frozen=True):
    """A message whose DATA is complete; `octets` carry our Received line on top.

    What is too large for memory follows them in `spool`.
    """

    id: UUID
    envelope: Envelope
    recipients: tuple[Recipient, ...]
    octets: bytes
    message_id: str
    digest: bytes
    spool: Spool | None = None

    @property
    def size_octets(self) -> int:
        """Of the whole message, wherever it waits."""
        return len(self.octets) + (self.spool.size_octets if self.spool else 0)

    @property
    def receipt_key(self) -> str:
        """What tells a repeat of it; empty where none is looked for."""
        return receipt_key(message_id=self.message_id, digest=self.digest)

    async def whole(self) -> "Incoming":
        """The same message with all of its octets in memory. Raises OSError."""
        if self.spool is None:
            return self
        return replace(self, octets=self.octets + await self.spool.read(), spool=None)


class Refusal(Struct, frozen=True):
    """A recipient that was not taken, to be recorded."""

    envelope: Envelope
    recipient: Recipient
    at: datetime


class StoreFailed(Exception):
    """The message is not stored; the reply says whether for want of space."""

    def __init__(self, reply: Reply = replies.TROUBLE, *, is_for_all: bool = False) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.is_for_all = is_for_all  # the cause is not this message


class Lane(Struct):
    """A connection to store on, and what its process remembers of the counters."""

    link: Link
    memory: Memory


class Intake:
    """Stores messages for a running gateway, small and large ones in lanes of their own."""

    def __init__(self, *, small: Link, large: Link) -> None:
        memory = Memory()
        self._small: Batcher[Lane, Incoming, Reply] = Batcher(
            _store, links=[Lane(small, memory)], largest=LARGEST_BATCH
        )
        self._large: Batcher[Lane, Incoming, Reply] = Batcher(
            _store_large, links=[Lane(large, memory)], largest=LARGEST_LARGE_BATCH
        )

    def store(self, message: Incoming) -> Pending[Reply]:
        """The answer to DATA: queued once the commit is durable, else a counter's 450.

        It fails with StoreFailed.
        """
        is_large = message.spool is not None or message.size_octets > LARGE_OCTETS
        lane = self._large if is_large else self._small
        return lane.submit(message)


async def _store_large(lane: Lane, batch: Sequence[Incoming]) -> Sequence[Reply | Exception]:
    """Store spooled messages one at a time, the others together.

    So one spooled message at most is in memory, and what libpq makes of it.
    """
    answers: dict[UUID, Reply | Exception] = {}
    together = [message for message in batch if message.spool is None]
    if together:
        stored = await _store(lane, together)
        answers |= dict(zip([message.id for message in together], stored, strict=True))
    for message in batch:
        if message.spool is not None:
            answers[message.id] = await _store_spooled(lane, message)
    return [answers[message.id] for message in batch]


async def _store_spooled(lane: Lane, message: Incoming) -> Reply | Exception:
    try:
        return (await _store(lane, [await message.whole()]))[0]
    except OSError as error:
        log.warning("message %s cannot be read back: %s", message.envelope.queue_id, error)
        return StoreFailed()


async def _store(lane: Lane, batch: Sequence[Incoming]) -> Sequence[Reply | Exception]:
    """Store a batch in one commit; when that fails, each message by itself."""
    try:
        return await _commit(lane, batch)
    except psycopg.errors.UniqueViolation:
        return await _store_new(lane, batch)
    except psycopg.Error as error:
        log.warning("a batch of %d messages was not stored: %s", len(batch), error)
        return await _store_one_by_one(lane, batch)


async def _store_new(lane: Lane, batch: Sequence[Incoming]) -> Sequence[Reply | Exception]:
    """Store what of a batch was not stored before, now that the database has seen a repeat."""
    try:
        first = await find_first(lane.link, [m.receipt_key for m in batch if m.receipt_key])
        new = [message for message in batch if message.receipt_key not in first]
        stored = iter(await _commit(lane, new) if new else ())
    except psycopg.Error:
        return await _store_one_by_one(lane, batch)
    return [
        _repeat(message, first[message.receipt_key])
        if message.receipt_key in first
        else next(stored)
        for message in batch
    ]


def _repeat(message: Incoming, first_queue_id: str) -> Reply:
    log.info("message %s is a repeat of %s", message.envelope.queue_id, first_queue_id)
    return replies.repeated(first_queue_id)


async def _store_one_by_one(lane: Lane, batch: Sequence[Incoming]) -> Sequence[Reply | Exception]:
    """One bad message fails alone; a database that is gone is not asked for each of the rest."""
    answers: list[Reply | Exception] = []
    for message in batch:
        answer = await _store_alone(lane, message)
        answers.append(answer)
        if isinstance(answer, StoreFailed) and answer.is_for_all:
            answers += [StoreFailed(answer.reply)] * (len(batch) - len(answers))
            break
    return answers


async def _store_alone(lane: Lane, message: Incoming) -> Reply | Exception:
    """A commit whose answer was lost may have been durable: then there is nothing to do."""
    try:
        (found,) = await lane.link.ask(Question(FIND, (str(message.id),)))
        if found:
            return replies.queued(message.envelope.queue_id)
        key = message.receipt_key
        first = await find_first(lane.link, [key]) if key else {}
        if key in first:
            return _repeat(message, first[key])
        return (await _commit(lane, [message]))[0]
    except (psycopg.errors.DiskFull, psycopg.errors.InsufficientResources):
        return StoreFailed(replies.NO_SPACE, is_for_all=True)
    except psycopg.Error as error:
        log.warning("message %s was not stored: %s", message.envelope.queue_id, error)
        return StoreFailed(is_for_all=isinstance(error, psycopg.OperationalError))


async def _commit(lane: Lane, batch: Sequence[Incoming]) -> Sequence[Reply]:
    """Admit, store and commit; in one statement where nothing is counted.

    Raises psycopg.Error, after which nothing of it is stored.
    """
    counters = sorted({take.counter for message in batch for take in _takes(message)})
    if not counters:
        await lane.link.ask(Question(STORE, _parameters(batch, {})))
        return _all_queued(batch)
    if await _commit_from_memory(lane, batch, counters):
        return _all_queued(batch)
    try:
        ledger = await lock_counters(lane.link, counters)
        answers = await _admit(lane.link, batch, ledger)
    except psycopg.Error:
        raise  # the link has rolled back
    except BaseException:
        lane.link.close()
        raise
    lane.memory.learn(ledger)
    return answers


async def _commit_from_memory(
    lane: Lane, batch: Sequence[Incoming], counters: Sequence[str]
) -> bool:
    """Commit in one round trip where the counters are as this process left them, and not full.

    A commit that has to lock them first takes two, and holds them meanwhile.
    """
    memory = lane.memory
    ledger = memory.ledger(counters)
    if ledger is None or any(ledger.admit(_takes(m), m.size_octets) for m in batch):
        return False
    check = memory.check(counters, ledger)
    memory.forget(counters)  # until it is known what became of it
    try:
        await lane.link.ask(check, Question(STORE, _parameters(batch, ledger.changed)))
    except Changed:
        memory.forget(counters, ask_times=ASK_TIMES)
        return False
    for key, tally in ledger.changed.items():
        memory.keep(key, tally)
    return True


def _all_queued(batch: Sequence[Incoming]) -> Sequence[Reply]:
    return [replies.queued(message.envelope.queue_id) for message in batch]


async def _admit(link: Link, batch: Sequence[Incoming], ledger: Ledger) -> Sequence[Reply]:
    """Store what the locked counters let through, and end the transaction."""
    answers = [ledger.admit(_takes(message), message.size_octets) for message in batch]
    admitted = [m for m, answer in zip(batch, answers, strict=True) if answer is None]
    if admitted or ledger.changed:
        await link.ask(Question(STORE, _parameters(admitted, ledger.changed)), COMMIT)
    else:
        await link.ask(ROLLBACK)
    return [
        answer or replies.queued(message.envelope.queue_id)
        for message, answer in zip(batch, answers, strict=True)
    ]


def _takes(message: Incoming) -> list[Take]:
    return [take for recipient in message.recipients for take in recipient.decision.takes]


def _parameters(
    messages: Sequence[Incoming], counters: Mapping[str, Tally]
) -> tuple[Parameter, ...]:
    """What STORE stores: messages with all that hangs on them, and counters that changed."""
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
        [_message_row(message) for message in messages],
        records,
        deliveries,
        [counter_row(key, tally) for key, tally in counters.items()],
    ]
    return (
        [str(message.id) for message in messages],
        [str(_days(message)) for message in messages],
        binary_array([message.octets for message in messages]),
        *[as_json(each) for each in rows],
    )


def _days(message: Incoming) -> int:
    return max(recipient.decision.retention_days for recipient in message.recipients)


def _message_row(message: Incoming) -> Row:
    """What is not usual is named only where it is so."""
    row = _plain_message_row(message)
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
        "days": _days(message),
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
    hop = destination.hop
    return {
        "id": str(uuid7()),
        "record_id": record["id"],
        "message_id": record["message_id"],
        "tenant_id": record["tenant_id"],
        "target_id": destination.target_id,
        "hop_id": hop.id or None if hop else None,
        "kind": destination.kind,
        "recipient": str(destination.recipient or ""),
        "destination": f"{hop.protocol}:{hop.host}:{hop.port}" if hop else "",
        "rewrites_sender": destination.rewrites_sender,
        "null_sender": destination.null_sender,
    }
