"""When addresses last got mail: read off the routing records in bulk, behind the gateway's back.

Accepting mail writes nothing more for it. A job reads the records that came since its watermark, so
many in one statement; what it reads twice changes nothing. Stamps outlive the records, so
that "unused for 90 days" holds whatever the retention is.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from gateway.models import RoutingRecord, Watermark
from tenants import lock

JOB = "address use"
AT_ONCE = 100_000
# Records are numbered by the gateways' clocks and seen once they are committed.
OVERLAP = timedelta(minutes=10)
NEWEST_IDS = 100_000

# Addresses are numbered in order, but for those whose transaction took long.
_BEGIN = """
INSERT INTO gateway_addressuse (address_id, idle_since)
SELECT a.id, a.created_at FROM tenants_address a
WHERE a.id > (SELECT coalesce(max(address_id), 0) FROM gateway_addressuse) - %s
AND NOT EXISTS (SELECT FROM gateway_addressuse u WHERE u.address_id = a.id)
ON CONFLICT DO NOTHING
"""
_STAMP = """
INSERT INTO gateway_addressuse AS u (address_id, used_at, idle_since)
SELECT r.address_id, max(r.at), max(r.at) FROM gateway_routingrecord r
WHERE r.id >= %s AND r.id < %s AND r.accepted AND r.address_id IS NOT NULL
GROUP BY r.address_id
ON CONFLICT (address_id) DO UPDATE SET used_at = excluded.used_at, idle_since = excluded.idle_since
WHERE u.used_at IS NULL OR u.used_at < excluded.used_at
"""
_FORGET = """
DELETE FROM gateway_addressuse u
WHERE NOT EXISTS (SELECT FROM tenants_address a WHERE a.id = u.address_id)
"""


def stamp(*, now: datetime, most_seconds: float) -> bool:
    """Stamp the addresses of all records so far; False where there was no time for all of them.

    The next call goes on where this one ended. One at a time: another one returns at once.
    """
    with lock.alone(lock.ADDRESS_USE) as is_alone:
        if not is_alone:
            return False
        _run(_BEGIN, NEWEST_IDS)
        return _stamp_slices(now, time.monotonic() + most_seconds)


def forget_deleted() -> None:
    """Drop the stamps of addresses that are gone."""
    _run(_FORGET)


def first_id(at: datetime) -> UUID:
    """The least UUIDv7 (RFC 9562 §5.7) of a moment: records before it sort before it."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def _stamp_slices(now: datetime, deadline: float) -> bool:
    begin = _begin(now)
    while begin < now:
        end = _end(begin, now)
        with transaction.atomic():
            _run(_STAMP, first_id(begin), first_id(end))
            Watermark.objects.update_or_create(job=JOB, defaults={"at": end})
        begin = end
        if time.monotonic() > deadline:
            return begin >= now
    return True


def _end(begin: datetime, now: datetime) -> datetime:
    """Where AT_ONCE records end that begin here; now where there are fewer."""
    records = RoutingRecord.objects.filter(id__gte=first_id(begin)).order_by("id")
    last = records.values_list("id", flat=True)[AT_ONCE : AT_ONCE + 1].first()
    if last is None:
        return now
    moment = datetime.fromtimestamp((last.int >> 80) / 1000, tz=UTC)
    return min(max(moment, begin + timedelta(seconds=1)), now)


def _begin(now: datetime) -> datetime:
    """A little before the last end; the first time where the records begin."""
    mark = Watermark.objects.filter(job=JOB).values_list("at", flat=True).first()
    if mark is not None:
        return mark - OVERLAP
    oldest = RoutingRecord.objects.order_by("id").values_list("at", flat=True).first()
    return now if oldest is None else oldest - OVERLAP


def _run(statement: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
