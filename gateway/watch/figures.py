"""Figures for the overview, read from counts that tasks keep: quick, whatever is stored.

Every figure says until when it was counted; none looks at records or settled deliveries.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection
from django.db.models import Sum

from gateway.watch.models import Progress, QueueReading, RefusedName, TrafficCount
from gateway.watch.reading import read_queue
from gateway.watch.traffic import DAY, HOUR, JOB, MINUTE, Range
from tenants.models import Tenant

TOP = 8
Span = TrafficCount.Span
Outcome = TrafficCount.Outcome

_BINNED = """
SELECT date_bin(make_interval(secs => %s), start, %s), outcome, reason, sum(count)::bigint
FROM watch_trafficcount
WHERE span = %s AND tenant_id = 0 AND start >= %s GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of time up to now: bars of `bar`, counted from rows of `span`.

    `within` is the same stretch in the filters of lists. Tenants are counted from rows of
    `tenants_span`.
    """

    name: str
    title: str
    length: timedelta
    bar: timedelta
    span: str
    tenants_span: str
    within: str
    form: str = "%H:%M"


WINDOWS = {
    window.name: window
    for window in (
        Window("1h", "1 hour", HOUR, MINUTE, Span.MINUTE, Span.MINUTE, "hour"),
        Window("24h", "24 hours", DAY, 15 * MINUTE, Span.MINUTE, Span.HOUR, "day"),
        Window("7d", "7 days", 7 * DAY, 2 * HOUR, Span.HOUR, Span.DAY, "week", "%a %H:%M"),
        Window("30d", "30 days", 30 * DAY, 6 * HOUR, Span.HOUR, Span.DAY, "month", "%d %b"),
    )
}
DEFAULT = WINDOWS["24h"]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Recipients by outcome and reason in each bar of a window, oldest first."""

    window: Window
    bars: Sequence[datetime]
    counts: dict[tuple[str, str], tuple[int, ...]]

    def by_reason(self, outcome: str) -> list[tuple[str, tuple[int, ...]]]:
        """The reasons of an outcome with their counts, most frequent first."""
        found = [(reason, row) for (each, reason), row in self.counts.items() if each == outcome]
        return sorted(found, key=lambda each: (-sum(each[1]), each[0]))

    def values(self, outcome: str) -> tuple[int, ...]:
        """All reasons of an outcome together."""
        rows = [row for _, row in self.by_reason(outcome)]
        return tuple(map(sum, zip(*rows, strict=True))) if rows else (0,) * len(self.bars)

    def total(self, outcome: str) -> int:
        return sum(self.values(outcome))


@dataclass(frozen=True, slots=True)
class Named:
    """How often something was counted; `id` is None for what is no row."""

    name: str
    count: int
    id: int | None = None


def counted_until() -> datetime | None:
    """Until when mail is counted; None before the first count."""
    return Progress.objects.filter(job=JOB).values_list("until", flat=True).first()


def traffic(window: Window, *, now: datetime) -> Traffic:
    """What came in the window; one query."""
    stretch = Range(now - window.length, now).widened(window.bar)
    length = int((stretch.end - stretch.first) / window.bar)
    bars = [stretch.first + window.bar * i for i in range(length)]
    places = {bar: i for i, bar in enumerate(bars)}
    rows: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * length)
    with connection.cursor() as cursor:
        origin = datetime(2000, 1, 1, tzinfo=UTC)
        cursor.execute(_BINNED, [window.bar.total_seconds(), origin, window.span, stretch.first])
        for start, outcome, reason, count in cursor.fetchall():
            if start in places:
                rows[outcome, reason][places[start]] = count
    return Traffic(window, bars, {key: tuple(row) for key, row in rows.items()})


def top_refused(role: str, window: Window, *, now: datetime) -> list[Named]:
    """Recipients or clients that were refused most, by the refusals that are recorded."""
    since = Range(now - window.length, now).widened(HOUR).first
    rows = RefusedName.objects.filter(role=role, hour__gte=since)
    named = rows.order_by().values_list("name").annotate(total=Sum("count"))
    return [Named(name, count) for name, count in named.order_by("-total", "name")[:TOP]]


def top_tenants(
    window: Window, *, now: datetime, outcome: Outcome = Outcome.ACCEPTED
) -> list[Named]:
    """Tenants that most recipients were accepted for, or refused on a domain of theirs."""
    since = Range(now - window.length, now).widened(_length(window.tenants_span)).first
    rows = TrafficCount.objects.filter(
        span=window.tenants_span, start__gte=since, tenant_id__gt=0, outcome=outcome
    )
    summed = rows.order_by().values_list("tenant_id").annotate(total=Sum("count"))
    counts = dict(summed.order_by("-total", "tenant_id")[:TOP])
    names = Tenant.objects.in_bulk(list(counts))
    return [
        Named(str(names[pk]) if pk in names else "a tenant that is gone", count, pk)
        for pk, count in counts.items()
    ]


def queue(now: datetime) -> QueueReading:
    """The queue as it stood at the last look; before the first, as it stands."""
    return QueueReading.objects.first() or read_queue(now)


def _length(span: str) -> timedelta:
    return {Span.MINUTE.value: MINUTE, Span.HOUR.value: HOUR}.get(span, DAY)
