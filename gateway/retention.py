"""Retention: bodies leave with their day's partition, octets that are still needed move on first;
what was written down about accepted mail leaves later, and never before its body.

Every step is one transaction that can be repeated, so that a purge may end anywhere and the next
one goes on. One purge runs at a time; it waits for no lock longer than two seconds. `purged_at` is
the border: it is set under the message's lock and only where nothing waits, retries take the same
lock and pass by what has it, and octets are dropped only where every message has it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pgtrigger
import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.backends.utils import CursorWrapper
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from psycopg import sql

from gateway.models import BodyReading, Intervention, Message
from gateway.pieces import TOAST_TUPLE_TARGET
from tenants import lock
from tenants.models import Plan, Tenant

DEFAULT_RETENTION_DAYS = 30
DAYS_AHEAD = 3
# How long octets stay that a waiting or held delivery needs, before they are looked at again.
EXTENSION_DAYS = 7
CHUNK = 5000
# Messages at once where all that hangs on them leaves too: each may have a thousand recipients.
MESSAGES_AT_ONCE = 500
LOCK_TIMEOUT = "2s"
PREFIX = "gateway_body_"

log = structlog.get_logger()

# A delivery in one of these still needs its body.
OPEN_STATES = ("pending", "deferred", "sending", "held", "quarantined")
_OPEN = f"""EXISTS (SELECT FROM gateway_delivery d WHERE d.message_id = m.id
    AND d.state IN {OPEN_STATES})"""

_EXTEND = f"""
WITH needed AS (
    SELECT m.id, m.body_id, m.body_expires_on FROM gateway_message m
    WHERE m.body_expires_on < %(today)s AND m.purged_at IS NULL AND {_OPEN}
    ORDER BY m.id LIMIT %(chunk)s FOR UPDATE SKIP LOCKED
), copied AS (
    INSERT INTO gateway_body (id, expires_on, number, octets)
    SELECT b.id, %(until)s, b.number, b.octets FROM gateway_body b
    JOIN needed n ON b.id = n.body_id AND b.expires_on = n.body_expires_on
    ON CONFLICT DO NOTHING
)
UPDATE gateway_message m SET body_expires_on = %(until)s FROM needed WHERE m.id = needed.id
"""  # noqa: S608 - made of constants

# Locked by one statement and judged by the next, which sees what a retry wrote meanwhile.
_LOCK_DUE = f"""
SELECT m.id FROM gateway_message m
WHERE m.body_expires_on < %(today)s AND m.purged_at IS NULL AND NOT {_OPEN}
ORDER BY m.id LIMIT %(chunk)s FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - made of constants

_RELEASE = f"""
WITH gone AS (
    UPDATE gateway_message m SET purged_at = now()
    WHERE m.id = ANY(%(ids)s) AND m.purged_at IS NULL AND NOT {_OPEN}
    RETURNING id, size_octets
), freed AS (
    SELECT 'stored:tenant:' || tenant_id AS key, tenant_id, sum(size_octets) AS octets
    FROM (
        SELECT DISTINCT g.id, g.size_octets, r.tenant_id
        FROM gone g JOIN gateway_routingrecord r ON r.message_id = g.id
        WHERE r.tenant_id IS NOT NULL
    ) AS once GROUP BY tenant_id
), locked AS (
    SELECT c.key, freed.tenant_id, freed.octets FROM gateway_counter c JOIN freed USING (key)
    ORDER BY c.key COLLATE "C" FOR UPDATE OF c
), counted AS (
    UPDATE gateway_counter c
    SET total = greatest(c.total - locked.octets, 0),
        full_since = CASE WHEN c.total - locked.octets >= (
            SELECT coalesce(n.stored_octets, p.stored_octets)
            FROM tenants_tenant n JOIN tenants_plan p ON p.id = n.plan_id
            WHERE n.id = locked.tenant_id
        ) THEN c.full_since END
    FROM locked WHERE c.key = locked.key
)
SELECT count(*) FROM gone
"""  # noqa: S608 - made of constants

_DROP_BODIES = """
WITH gone AS (
    DELETE FROM gateway_body b USING gateway_message m
    WHERE m.id = ANY(%(ids)s) AND m.purged_at IS NOT NULL
        AND b.id = m.body_id AND b.expires_on = m.body_expires_on
    RETURNING b.id
)
SELECT count(DISTINCT id) FROM gone
"""
_PARTITIONS = """
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'gateway_body'::regclass
"""
_LOCK_BODIES = "LOCK TABLE ONLY gateway_body IN ACCESS EXCLUSIVE MODE"
_IS_NEEDED = """
SELECT EXISTS (SELECT FROM gateway_message WHERE body_expires_on = %s AND purged_at IS NULL)
"""
_EMPTY_DEFAULT = """
DELETE FROM gateway_body_default WHERE (id, expires_on) IN (
    SELECT b.id, b.expires_on FROM gateway_body_default b
    WHERE b.expires_on < %(today)s AND NOT EXISTS (
        SELECT FROM gateway_message m WHERE m.body_expires_on = b.expires_on
        AND m.body_id = b.id AND m.purged_at IS NULL)
    LIMIT %(chunk)s)
"""

# What was purged stays so, whatever happens meanwhile.
_LOCK_OVER = f"""
SELECT m.id FROM gateway_message m
WHERE m.purged_at IS NOT NULL AND m.received_at < now() - %(age)s AND NOT {_OPEN}
AND NOT EXISTS (SELECT FROM gateway_delivery d
    WHERE d.message_id = m.id AND d.settled_at >= now() - %(age)s)
ORDER BY m.received_at LIMIT %(chunk)s FOR UPDATE SKIP LOCKED
"""  # noqa: S608 - made of constants
_REMOVE = """
WITH attempt AS (
    DELETE FROM gateway_attempt WHERE delivery_id IN (
        SELECT id FROM gateway_delivery WHERE message_id = ANY(%(ids)s))
), delivery AS (
    DELETE FROM gateway_delivery WHERE message_id = ANY(%(ids)s)
), record AS (
    DELETE FROM gateway_routingrecord WHERE message_id = ANY(%(ids)s)
)
DELETE FROM gateway_message WHERE id = ANY(%(ids)s)
"""

# Oldest first, and no further than the first chunk that holds something younger.
_PRUNE = {
    "attempts": """
        DELETE FROM gateway_attempt WHERE id IN (
            SELECT id FROM gateway_attempt ORDER BY id LIMIT %(chunk)s
        ) AND finished_at < now() - %(age)s""",
    "refusals": """
        DELETE FROM gateway_routingrecord WHERE id IN (
            SELECT id FROM gateway_routingrecord
            WHERE NOT accepted AND at < now() - %(age)s
            ORDER BY at LIMIT %(chunk)s)""",
    "refusal counts": """
        DELETE FROM gateway_refusalcount WHERE id IN (
            SELECT id FROM gateway_refusalcount
            WHERE minute < now() - %(age)s ORDER BY minute LIMIT %(chunk)s)""",
}
_PRUNE_RECEIPTS = """
DELETE FROM gateway_receipt WHERE key IN (
    SELECT key FROM gateway_receipt WHERE at < now() - %(age)s ORDER BY at LIMIT %(chunk)s)
"""
# A message on its way to what was deleted a moment ago may still charge its counter.
_FORGET_COUNTERS = """
DELETE FROM gateway_counter WHERE key IN (
    SELECT c.key FROM gateway_counter c
    WHERE starts_with(c.key, '{prefix}') AND c.minute < extract(epoch FROM now()) / 60 - 60
    AND NOT EXISTS (SELECT FROM {table} t WHERE '{prefix}' || t.id = c.key)
    LIMIT %(chunk)s FOR UPDATE OF c SKIP LOCKED)
"""
_COUNTED = {
    "rate:address:": "tenants_address",
    "rate:tenant:": "tenants_tenant",
    "stored:tenant:": "tenants_tenant",
}


@dataclass(frozen=True, slots=True)
class Purged:
    """What one purge did."""

    partitions_made: int = 0
    partitions_dropped: int = 0
    bodies_kept: int = 0
    messages_purged: int = 0
    messages_removed: int = 0
    counters_removed: int = 0
    rows_pruned: int = 0


def purge() -> Purged | None:
    """Bring everything to its retention; None where another purge is under way."""
    with lock.alone(lock.PURGE) as is_alone:
        if not is_alone:
            return None
        today = _today()
        made = make_partitions(today)
        kept = _repeat(lambda cursor: _extend(cursor, today))
        released = _repeat(lambda cursor: _release(cursor, today))
        _repeat_statement(_EMPTY_DEFAULT, today=today)
        dropped = sum(_drop_partition(day) for day in sorted(_days()) if day < today)
        age = timedelta(days=settings.RECORD_RETENTION_DAYS)
        removed = _repeat(lambda cursor: _remove(cursor, age), most=MESSAGES_AT_ONCE)
        forgotten = sum(
            _repeat_statement(_FORGET_COUNTERS.format(prefix=prefix, table=table))
            for prefix, table in _COUNTED.items()
        )
        pruned = sum(_repeat_statement(text, age=age) for text in _PRUNE.values())
        pruned += _repeat(lambda _cursor: _forget_readings(age))
        window = timedelta(seconds=settings.GATEWAY_REPEAT_SECONDS)
        pruned += _repeat_statement(_PRUNE_RECEIPTS, age=window)
    purged = Purged(made, dropped, kept, released, removed, forgotten, pruned)
    log.info("purge", **{name: getattr(purged, name) for name in Purged.__slots__})
    return purged


def drop_bodies(ids: Sequence[UUID]) -> int:
    """Purge messages before their time, and drop their bodies at once; how many were there.

    One with a delivery that is open stays as it is.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        messages = Message.objects.select_for_update().filter(pk__in=ids).order_by("pk")
        locked = list(messages.values_list("pk", flat=True))
        cursor.execute(_RELEASE, {"ids": locked})
        cursor.execute(_DROP_BODIES, {"ids": locked})
        return int(cursor.fetchone()[0])


def make_partitions(today: date | None = None) -> int:
    """Make the partitions of the days to come that are missing; how many were made."""
    missing = _coming_days(today or _today()) - _days()
    return sum(map(_make_partition, sorted(missing)))


def _today() -> date:
    with connection.cursor() as cursor:
        cursor.execute("SELECT (now() AT TIME ZONE 'UTC')::date")
        today: date = cursor.fetchone()[0]
    return today


def _coming_days(today: date) -> set[date]:
    """The days on which bodies that come in soon will go, by the retentions in use."""
    retentions = {DEFAULT_RETENTION_DAYS, EXTENSION_DAYS}
    for model in (Plan, Tenant):
        chosen = model.objects.values_list("retention_days", flat=True).distinct()
        retentions.update(days for days in chosen if days is not None)
    return {
        today + timedelta(days=days + ahead)
        for days in retentions
        for ahead in range(DAYS_AHEAD + 1)
    }


def _days() -> set[date]:
    """The days that have a partition."""
    with connection.cursor() as cursor:
        cursor.execute(_PARTITIONS)
        names = [name.removeprefix(PREFIX) for (name,) in cursor.fetchall()]
    return {date.fromisoformat(name) for name in names if name.isdecimal()}


def _partition(day: date) -> sql.Identifier:
    return sql.Identifier(f"{PREFIX}{day:%Y%m%d}")


def _make_partition(day: date) -> bool:
    """Create a day's partition; not where the default one has its rows, which are deleted later."""
    statement = sql.SQL(
        "CREATE TABLE {} PARTITION OF gateway_body FOR VALUES FROM ({}) TO ({})"
        " WITH (toast_tuple_target = {})"
    ).format(
        _partition(day),
        day.isoformat(),
        (day + timedelta(days=1)).isoformat(),
        TOAST_TUPLE_TARGET,
    )

    def make(cursor: CursorWrapper) -> bool:
        cursor.execute(statement)
        return True

    return _try(make, day)


def _drop_partition(day: date) -> bool:
    """Drop a day's bodies; not where a message came in, or was retried, too late to move on."""

    def drop(cursor: CursorWrapper) -> bool:
        cursor.execute(_LOCK_BODIES)
        cursor.execute(_IS_NEEDED, [day])
        if cursor.fetchone()[0]:
            return False
        cursor.execute(sql.SQL("DROP TABLE {}").format(_partition(day)))
        return True

    return _try(drop, day)


def _try(work: Callable[[CursorWrapper], bool], day: date) -> bool:
    """Do what locks the table; whether it was done. The next purge tries again."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            _bound_waiting(cursor)
            return work(cursor)
    except DatabaseError as error:
        log.warning("partition left as it is", day=str(day), error=str(error))
        return False


def _bound_waiting(cursor: CursorWrapper) -> None:
    cursor.execute("SELECT set_config('lock_timeout', %s, true)", [LOCK_TIMEOUT])


def _extend(cursor: CursorWrapper, today: date) -> int:
    return _run(cursor, _EXTEND, {"today": today, "until": today + timedelta(days=EXTENSION_DAYS)})


def _release(cursor: CursorWrapper, today: date) -> int:
    ids = _lock(cursor, _LOCK_DUE, {"today": today, "chunk": CHUNK})
    cursor.execute(_RELEASE, {"ids": ids})
    return int(cursor.fetchone()[0])


def _remove(cursor: CursorWrapper, age: timedelta) -> int:
    """Remove messages whose records are over, with all that hangs on them."""
    ids = _lock(cursor, _LOCK_OVER, {"age": age, "chunk": MESSAGES_AT_ONCE})
    if not ids:
        return 0
    with pgtrigger.ignore("gateway.Intervention:append_only"):
        Intervention.objects.filter(delivery__message__in=ids).delete()
    cursor.execute(_REMOVE, {"ids": ids})
    return len(ids)


def _forget_readings(age: timedelta) -> int:
    """Remove who read messages that are gone, once that is as long ago as records are kept."""
    gone = ~Exists(Message.objects.filter(pk=OuterRef("message")))
    old = BodyReading.objects.filter(gone, at__lt=Now() - age).order_by("pk")
    with pgtrigger.ignore("gateway.BodyReading:append_only"):
        count, _ = BodyReading.objects.filter(
            pk__in=list(old.values_list("pk", flat=True)[:CHUNK])
        ).delete()
    return count


def _lock(cursor: CursorWrapper, statement: str, parameters: dict[str, Any]) -> list[UUID]:
    cursor.execute(statement, parameters)
    return [message_id for (message_id,) in cursor.fetchall()]


def _run(cursor: CursorWrapper, statement: str, parameters: dict[str, Any]) -> int:
    cursor.execute(statement, {**parameters, "chunk": CHUNK})
    return int(cursor.rowcount)


def _repeat_statement(statement: str, **parameters: Any) -> int:
    return _repeat(lambda cursor: _run(cursor, statement, parameters))


def _repeat(step: Callable[[CursorWrapper], int], *, most: int = CHUNK) -> int:
    """Run a step that reaches at most `most` rows until it reaches fewer; how many in all."""
    total = 0
    while True:
        with transaction.atomic(), connection.cursor() as cursor:
            _bound_waiting(cursor)
            count = step(cursor)
        total += count
        if count < most:
            return total
