"""Counts over time, taken from what the gateway writes anyway: records and counts of refusals.

Nothing is added at wire speed. Minutes are counted anew until they are SETTLED_AFTER old, and set,
never added to: whatever is killed or repeated, nothing counts twice, and what was committed late
counts. Ids of records hold the time they were made at (RFC 9562), so a minute is a range of keys.
Hours are made of minutes, days of hours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from gateway.ids import uuid7
from gateway.models import RefusalCount, RoutingRecord
from gateway.routing.replies import deferring_reasons
from gateway.watch.models import Progress
from tenants import lock

JOB = "traffic"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SETTLED_AFTER = 5 * MINUTE
# What a first run takes of the past, and what one statement counts at most.
PAST = 31 * DAY
CHUNK = 6 * HOUR
NAMES_AN_HOUR = 50
KEPT_MINUTES = 2 * DAY
KEPT_HOURS = 35 * DAY

# The first 48 bits of a UUIDv7 are milliseconds.
_MADE_AT = """date_trunc('minute', to_timestamp(
    ('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 1000.0))"""
_COUNT_MINUTES = f"""
WITH counted AS MATERIALIZED (
    SELECT {_MADE_AT} AS start, tenant_id, 'accepted' AS outcome, 'accepted' AS reason,
        count(*) AS count
    FROM gateway_routingrecord
    WHERE id >= %(first_id)s AND id < %(end_id)s AND accepted
    GROUP BY 1, 2
    UNION ALL
    SELECT r.minute, d.tenant_id,
        CASE WHEN r.reason = ANY(%(deferring)s) THEN 'deferred' ELSE 'refused' END, r.reason,
        sum(r.count)
    FROM gateway_refusalcount r
    LEFT JOIN tenants_domain d ON d.name = r.domain_name AND d.state IN ('active', 'degraded')
    WHERE r.minute >= %(first)s AND r.minute < %(end)s
    GROUP BY 1, 2, 3, 4
)
INSERT INTO watch_trafficcount AS t (span, start, tenant_id, outcome, reason, count)
SELECT 'minute', start, 0, outcome, reason, sum(count) FROM counted GROUP BY 2, 4, 5
UNION ALL
SELECT 'minute', start, tenant_id, outcome, reason, sum(count) FROM counted
WHERE tenant_id IS NOT NULL GROUP BY 2, 3, 4, 5
ON CONFLICT (span, tenant_id, start, outcome, reason) DO UPDATE SET count = excluded.count
WHERE t.count <> excluded.count
"""  # noqa: S608 - made of constants
_SUM_UP = """
INSERT INTO watch_trafficcount AS t (span, start, tenant_id, outcome, reason, count)
SELECT %(span)s, date_trunc(%(span)s, start, 'UTC'), tenant_id, outcome, reason, sum(count)
FROM watch_trafficcount
WHERE span = %(parts)s AND start >= %(first)s AND start < %(end)s
GROUP BY 2, 3, 4, 5
ON CONFLICT (span, tenant_id, start, outcome, reason) DO UPDATE SET count = excluded.count
WHERE t.count <> excluded.count
"""
_FORGET_NAMES = "DELETE FROM watch_refusedname WHERE hour >= %(first)s AND hour < %(end)s"
_NAME = """
INSERT INTO watch_refusedname (hour, role, name, count)
SELECT hour, role, name, count FROM (
    SELECT hour, role, name, count,
        row_number() OVER (PARTITION BY hour, role ORDER BY count DESC, name) AS place
    FROM (
        SELECT date_trunc('hour', r.at, 'UTC') AS hour, n.role, n.name, count(*) AS count
        FROM gateway_routingrecord r CROSS JOIN LATERAL (
            VALUES ('recipient', r.key::text), ('client', host(r.client))
        ) AS n(role, name)
        WHERE NOT r.accepted AND r.at >= %(first)s AND r.at < %(end)s AND n.name <> ''
        GROUP BY 1, 2, 3
    ) AS counted
) AS placed WHERE place <= %(most)s
"""
_PRUNE = """
DELETE FROM watch_trafficcount WHERE (span = 'minute' AND start < %(minutes)s)
    OR (span = 'hour' AND start < %(hours)s) OR (span = 'day' AND start < %(days)s)
"""
_PRUNE_NAMES = "DELETE FROM watch_refusedname WHERE hour < %(hours)s"


@dataclass(frozen=True, slots=True)
class Range:
    """Whole minutes from `first` to before `end`."""

    first: datetime
    end: datetime

    @property
    def ends(self) -> dict[str, Any]:
        return {"first": self.first, "end": self.end}

    def widened(self, to: timedelta) -> "Range":
        """Whole hours, or whole days (UTC)."""
        seconds = int(to.total_seconds())
        first = int(self.first.timestamp()) // seconds * seconds
        end = -(-int(self.end.timestamp()) // seconds) * seconds
        zone = self.first.tzinfo
        return Range(datetime.fromtimestamp(first, zone), datetime.fromtimestamp(end, zone))


def fold(now: datetime, *, has_time: Callable[[], bool] = lambda: True) -> datetime | None:
    """Count what has come since the last time; until when all is counted comes back.

    Stops where `has_time` says so: the next run goes on. None while another one counts.
    """
    with lock.alone(lock.TRAFFIC) as is_alone:
        if not is_alone:
            return None
        end = _minute(now) + MINUTE
        reached = _first(now)
        while reached < end:
            part = Range(reached, min(reached + CHUNK, end))
            reached = part.end
            _count(part, now)
            if not has_time():
                break
        _prune(now)
        return min(reached, now)


def _first(now: datetime) -> datetime:
    """The first minute that may still change; at the very first, that of the oldest record."""
    progress = Progress.objects.filter(job=JOB).first()
    if progress is not None:
        return progress.settled_until
    oldest = [
        *RoutingRecord.objects.order_by("id").values_list("at", flat=True)[:1],
        *RefusalCount.objects.order_by("minute").values_list("minute", flat=True)[:1],
    ]
    return _minute(max(min(oldest, default=now) - HOUR, now - PAST))


def _count(part: Range, now: datetime) -> None:
    """Count these minutes and what they are part of, and note how far that went."""
    hours, days = part.widened(HOUR), part.widened(DAY)
    settled = max(part.first, min(part.end, _minute(now - SETTLED_AFTER)))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_COUNT_MINUTES, _minutes(part))
        for span, parts, over in (("hour", "minute", hours), ("day", "hour", days)):
            about: dict[str, Any] = {
                "span": span,
                "parts": parts,
                "first": over.first,
                "end": over.end,
            }
            cursor.execute(_SUM_UP, about)
        cursor.execute(_FORGET_NAMES, hours.ends)
        cursor.execute(_NAME, {"most": NAMES_AN_HOUR, **hours.ends})
        Progress.objects.update_or_create(
            job=JOB, defaults={"until": min(part.end, now), "settled_until": settled}
        )


def _minutes(part: Range) -> dict[str, Any]:
    return {
        **part.ends,
        "first_id": _least_id(part.first),
        "end_id": _least_id(part.end),
        "deferring": sorted(deferring_reasons()),
    }


def _least_id(moment: datetime) -> str:
    """No id that was made at this moment or later is less."""
    stamp = uuid7(now_ms=int(moment.timestamp() * 1000)).int >> 80 << 80
    text = f"{stamp:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


def _prune(now: datetime) -> None:
    kept = {
        "minutes": now - KEPT_MINUTES,
        "hours": now - KEPT_HOURS,
        "days": now - max(KEPT_HOURS, settings.RECORD_RETENTION_DAYS * DAY),
    }
    with connection.cursor() as cursor:
        cursor.execute(_PRUNE, kept)
        cursor.execute(_PRUNE_NAMES, kept)
