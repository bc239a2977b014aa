"""What the first page shows of mail and alarms: figures, each a link into the list behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, QueryDict
from django.urls import reverse
from django.utils import timezone

from gateway.admin.shown import reason_words
from gateway.models import Outage
from gateway.watch import alarms, figures
from gateway.watch.chart import Chart, Series, draw
from gateway.watch.facts import Kind
from gateway.watch.figures import DEFAULT, WINDOWS, Named, Outcome, Traffic, Window
from gateway.watch.heart import OVERDUE_AFTER
from gateway.watch.models import Alarm, Progress, QueueReading, RefusedName
from gateway.watch.reading import SMARTHOST
from tenants.models import NextHop

REASONS_APART = 5
BANNER_ALARMS = 5
RECORDS, REFUSALS = "gateway_routingrecord", "gateway_refusalcount"
DELIVERIES, TENANTS = "gateway_delivery", "tenants_tenant"


@dataclass(frozen=True, slots=True)
class Number:
    """A figure, what it counts, where it leads, and whether it asks for attention."""

    title: str
    value: str
    url: str
    needs_attention: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a list beside the charts."""

    name: str
    value: str
    url: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """The first of many, and what it means that there are none."""

    title: str
    lines: Sequence[Line]
    empty: str
    note: str = ""


def window_of(request: HttpRequest) -> Window:
    """The stretch of time that was asked for."""
    return WINDOWS.get(request.GET.get("span", ""), DEFAULT)


def mail(window: Window, *, now: datetime) -> dict[str, Any]:
    """Charts and rankings of a window."""
    traffic = figures.traffic(window, now=now)
    return {
        "mail_numbers": _mail_numbers(traffic, now=now),
        "window": window,
        "windows": list(WINDOWS.values()),
        "counted_until": figures.counted_until(),
        "charts": _charts(traffic),
        "is_quiet": not traffic.counts,
        "rows": _rows(traffic),
        "rankings": _rankings(window, now),
    }


def _mail_numbers(traffic: Traffic, *, now: datetime) -> list[Number]:
    """Accepted, refused and put off in the window, and the queue as it stands."""
    window = traffic.window
    totals = [
        Number(
            f"{outcome.label.capitalize()}, last {window.title}",
            f"{traffic.total(outcome):,}",
            _url(place, **query, within=window.within),
        )
        for outcome, place, query in (
            (Outcome.ACCEPTED, RECORDS, {"accepted__exact": "1"}),
            (Outcome.REFUSED, REFUSALS, {"answer": "refused"}),
            (Outcome.DEFERRED, REFUSALS, {"answer": "deferred"}),
        )
    ]
    return [*totals, *_queue(figures.queue(now), now)]


def banner(now: datetime) -> dict[str, Any]:
    """The open alarms, the worst first, and whether anybody looks for trouble at all."""
    rows = Alarm.objects.asking().order_by("-severity", "-opened_at")
    last = Progress.objects.filter(job=alarms.JOB).values_list("until", flat=True).first()
    return {
        "alarms": list(rows[:BANNER_ALARMS]),
        "alarm_count": rows.count(),
        "alarms_url": _url("watch_alarm", open="yes"),
        "looked_at": last,
        "is_blind": last is None or now - last > OVERDUE_AFTER,
    }


def _charts(traffic: Traffic) -> list[Chart]:
    moments = [bar.strftime(traffic.window.form) for bar in traffic.bars]
    accepted = Series("accepted", traffic.values(Outcome.ACCEPTED))
    deferred = [_series(*each, traffic.window) for each in _apart(traffic, Outcome.DEFERRED)]
    refused = [_series(*each, traffic.window) for each in _apart(traffic, Outcome.REFUSED)]
    return [
        draw("Accepted", moments, [accepted]),
        draw("Refused, by reason", moments, refused),
        draw("Deferred, by reason", moments, deferred),
    ]


def _apart(traffic: Traffic, outcome: str) -> list[tuple[str, tuple[int, ...]]]:
    """The most frequent reasons, and the others together."""
    rows = traffic.by_reason(outcome)
    first, rest = rows[:REASONS_APART], rows[REASONS_APART:]
    if not rest:
        return first
    others = tuple(map(sum, zip(*(values for _, values in rest), strict=True)))
    return [*first, ("other", others)]


def _series(reason: str, values: tuple[int, ...], window: Window) -> Series:
    query = {} if reason == "other" else {"reason": reason}
    return Series(reason_words(reason), values, _url(REFUSALS, **query, within=window.within))


def _rows(traffic: Traffic) -> list[tuple[datetime, list[str]]]:
    """The charts as a table, newest first: moment, accepted, refused, deferred; without nothing."""
    columns = (Outcome.ACCEPTED, Outcome.REFUSED, Outcome.DEFERRED)
    rows = zip(traffic.bars, *map(traffic.values, columns), strict=True)
    return [(bar, [f"{n:,}" for n in counts]) for bar, *counts in rows if any(counts)][::-1]


def _rankings(window: Window, now: datetime) -> list[Ranking]:
    roles, about = RefusedName.Role, {"within": window.within}
    refusals = {"accepted__exact": "0", **about}
    samples = "Of the refusals that are recorded: at most 60 a minute for each domain and reason."
    refused = figures.top_refused(roles.RECIPIENT, window, now=now)
    clients = figures.top_refused(roles.CLIENT, window, now=now)
    tenants = figures.top_tenants(window, now=now)
    targets = figures.top_tenants(window, now=now, outcome=Outcome.REFUSED)
    return [
        Ranking(
            "Most refused recipients",
            [_line(each, RECORDS, q=each.name, **refusals) for each in refused],
            "Nobody was refused in this time.",
            samples,
        ),
        Ranking(
            "Most refused clients",
            [_line(each, RECORDS, client__exact=each.name, **refusals) for each in clients],
            "No client was refused in this time.",
            samples,
        ),
        Ranking(
            "Most refused tenants",
            [
                _line(each, REFUSALS, tenant=str(each.id), answer="refused", **about)
                for each in targets
            ],
            "No recipient of a tenant's domain was refused in this time.",
            "Recipients refused on the tenant's domains, all of them.",
        ),
        Ranking(
            "Busiest tenants",
            [
                _line(each, RECORDS, tenant__id__exact=str(each.id), accepted__exact="1", **about)
                for each in tenants
            ],
            "No mail was accepted in this time.",
            "Recipients accepted.",
        ),
        Ranking(
            "Targets failing",
            _failing(),
            "Every next hop that was tried lately could be reached and takes its mail.",
        ),
    ]


def _line(named: Named, place: str, **query: str) -> Line:
    return Line(named.name, f"{named.count:,}", _url(place, **query))


def _failing() -> list[Line]:
    """Next hops that are out, then those that put mail off, as an alarm says."""
    outages = {outage.lane: outage for outage in Outage.objects.order_by("since")[: figures.TOP]}
    rows = Alarm.objects.open().filter(kind=Kind.TARGET).order_by("opened_at")[: figures.TOP]
    late = {alarm.subject.removeprefix("lane:"): alarm for alarm in rows}
    lanes = list({**outages, **late})[: figures.TOP]
    hops = NextHop.objects.in_bulk([int(lane.rpartition(":")[2]) for lane in lanes])
    lines = []
    for lane in lanes:
        outage, hop = outages.get(lane), hops.get(int(lane.rpartition(":")[2]))
        told = f"out since {outage.since:%Y-%m-%d %H:%M}" if outage else _late(late[lane])
        name = str(hop) if hop else outage.place if outage else SMARTHOST
        lines.append(Line(name, told, _url(DELIVERIES, waiting="yes", lane=lane)))
    return lines


def _late(alarm: Alarm) -> str:
    return f"puts mail off since {alarm.opened_at:%Y-%m-%d %H:%M}"


def _queue(reading: QueueReading, now: datetime) -> list[Number]:
    waiting = _url(DELIVERIES, waiting="yes")
    kept = _url(DELIVERIES, state__exact="quarantined")
    age = f"oldest {span_of(now - reading.oldest_at)}" if reading.oldest_at else ""
    return [
        Number("Deliveries waiting", f"{reading.waiting:,}", waiting, note=age),
        Number(
            "Deliveries in quarantine",
            f"{reading.quarantined:,}",
            kept,
            reading.quarantined > 0,
            f"{reading.held:,} held",
        ),
    ]


def span_of(length: timedelta) -> str:
    """Roughly how long, as one says it."""
    minutes = max(0, int(length.total_seconds() // 60))
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"


def _url(name: str, **query: str) -> str:
    asked = QueryDict(mutable=True)
    asked.update(query)
    return f"{reverse(f'admin:{name}_changelist')}?{asked.urlencode()}"


def open_alarms(request: HttpRequest) -> str:
    """How many alarms ask for somebody, for the navigation; empty where there are none."""
    if not request.user.has_perm("watch.view_alarm"):
        return ""
    count = Alarm.objects.asking().count()
    return f"{count:,}" if count else ""


def context(request: HttpRequest) -> dict[str, Any]:
    """All of it, as far as this user may see it."""
    now, window = timezone.now(), window_of(request)
    shown: dict[str, Any] = {}
    if request.user.has_perm("watch.view_alarm"):
        shown |= banner(now)
    if request.user.has_perm("gateway.view_routingrecord"):
        shown |= mail(window, now=now)
    return shown
