"""The facts that alarms are judged from, as the database has them; read once a minute.

What is asked of deliveries goes through the indexes of those that are not settled.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, Q, Sum

from gateway.models import Outage, RefusalCount, RoutingRecord
from gateway.routing.replies import deferring_reasons
from gateway.watch.facts import DomainTrouble, Facts, Flood, LaneTrouble, Pulse, Usage
from gateway.watch.judge import CLIENT_FLOOD, DOMAIN_FLOOD, FLOOD_MINUTES, QUOTA_PERCENT
from gateway.watch.models import Heartbeat, QueueReading
from gateway.watch.usage import read_charged
from tenants.models import Address, Domain, DomainCheck, NextHop, Tenant

ESSENTIAL = ("ownership", "mx")  # the records that a domain is degraded for
SMARTHOST = "The smarthost"

# What was kept back is not put off for that long: staff let it go on at tried_since.
_DEFERRED = """
SELECT kind || ':' || coalesce(hop_id, 0)::text, count(*), min(coalesce(tried_since, created_at)),
    (array_agg(last_reply ORDER BY next_attempt_at DESC))[1]
FROM gateway_delivery WHERE state = 'deferred' GROUP BY 1
"""
# What could be tried at once: not what waits for a hop that is out.
_READY = """
SELECT count(*), min(next_attempt_at) FROM gateway_delivery d
WHERE state = 'pending' AND next_attempt_at <= %s AND NOT EXISTS (
    SELECT FROM gateway_outage o WHERE o.lane = d.kind || ':' || coalesce(d.hop_id, 0)::text)
"""
_WAITING = "SELECT count(*), min(created_at) FROM gateway_delivery WHERE state = '{state}'"


def read_facts(now: datetime) -> Facts:
    """Everything that may be in trouble; about fifteen queries."""
    ready, oldest = _ready(now)
    return Facts(
        now=now,
        domains=list(_domains()),
        lanes=list(_lanes()),
        usages=list(_usages(now)),
        floods=[*_domain_floods(now), *_client_floods(now)],
        pulses=read_pulses(now),
        ready=ready,
        oldest_ready_at=oldest,
    )


def read_queue(now: datetime) -> QueueReading:
    """The queue as it stands, not saved."""
    found: dict[str, tuple[int, datetime | None]] = {}
    for state in ("pending", "sending", "deferred", "held", "quarantined"):
        with connection.cursor() as cursor:
            cursor.execute(_WAITING.format(state=state))
            found[state] = cursor.fetchone()
    waiting = [found[state][1] for state in ("pending", "sending", "deferred")]
    counts: Any = {state: count for state, (count, _) in found.items()}
    oldest = min((moment for moment in waiting if moment), default=None)
    return QueueReading(at=now, oldest_at=oldest, **counts)


def read_pulses(now: datetime) -> list[Pulse]:
    """Processes that were alive within a day, and the last of each role that was not stopped."""
    return [
        Pulse(row.process, row.role, row.at, row.disk_free_octets, row.disk_reserve_octets)
        for row in Heartbeat.objects.remembered(now)
    ]


def _domains() -> Iterator[DomainTrouble]:
    failing = DomainCheck.objects.filter(
        kind__in=ESSENTIAL,
        standing__in=(DomainCheck.State.ABSENT, DomainCheck.State.WRONG),
        domain__state=Domain.State.ACTIVE,
    )
    degraded = Domain.objects.filter(state=Domain.State.DEGRADED)
    checks: dict[int, list[DomainCheck]] = defaultdict(list)
    domains = {domain.pk: domain for domain in degraded}
    for check in failing.select_related("domain"):
        domains[check.domain_id] = check.domain
        checks[check.domain_id].append(check)
    for domain in domains.values():
        since = [check.since for check in checks[domain.pk]]
        yield DomainTrouble(
            domain.pk,
            str(domain),
            domain.tenant_id,
            domain.state == Domain.State.DEGRADED,
            tuple(check.get_kind_display() for check in checks[domain.pk]),
            min(since, default=domain.state_since),
        )


def _lanes() -> Iterator[LaneTrouble]:
    """Next hops that are out, or that deliveries are put off by."""
    outages = {outage.lane: outage for outage in Outage.objects.all()}
    with connection.cursor() as cursor:
        cursor.execute(_DEFERRED)
        deferred = {lane: rest for lane, *rest in cursor.fetchall()}
    ids = {lane: int(lane.rpartition(":")[2]) for lane in {*outages, *deferred}}
    hops = NextHop.objects.in_bulk([hop_id for hop_id in ids.values() if hop_id])
    for lane, hop_id in sorted(ids.items()):
        hop, outage = hops.get(hop_id), outages.get(lane)
        count, oldest, reply = deferred.get(lane, (0, None, ""))
        yield LaneTrouble(
            lane,
            hop.name if hop else SMARTHOST if lane.startswith("forward:") else lane,
            hop.pk if hop else None,
            hop.tenant_id if hop else None,
            outage.since if outage else None,
            count,
            oldest,
            (outage.reply if outage else reply) or "",
        )


def _usages(now: datetime) -> Iterator[Usage]:
    """Of tenants with limits, what may have come near one."""
    tenants = list(Tenant.objects.exclude(state=Tenant.State.CLOSED).select_related("plan"))
    charged = read_charged(tenants, now)
    domains = _numbers(Domain.objects.claimed(), "tenant")
    addresses = _numbers(
        Address.objects.exclude(domain__state=Domain.State.RELEASED), "domain__tenant"
    )
    for tenant in tenants:
        used = {
            ("messages_per_hour", "messages per hour"): charged[tenant.pk].hour,
            ("stored_octets", "stored octets"): charged[tenant.pk].stored_octets,
            ("max_domains", "domains"): domains.get(tenant.pk, 0),
            ("max_addresses", "addresses"): addresses.get(tenant.pk, 0),
        }
        for (name, what), number in used.items():
            limit = tenant.limit(name)
            least = QUOTA_PERCENT.warning * QUOTA_PERCENT.ease / 100
            if limit is not None and number and number >= limit * least:
                yield Usage(tenant.pk, tenant.name, what, number, limit)


def _numbers(rows: Any, path: str) -> dict[int, int]:
    """How many rows each tenant has."""
    return dict(rows.order_by().values_list(path).annotate(Count("pk")))


def _domain_floods(now: datetime) -> Iterator[Flood]:
    rows = (
        RefusalCount.objects.filter(minute__gt=now - timedelta(minutes=FLOOD_MINUTES))
        .exclude(reason__in=deferring_reasons())
        .order_by()
        .values_list("domain_name")
        .annotate(total=Sum("count"))
        .filter(total__gte=int(DOMAIN_FLOOD.warning * DOMAIN_FLOOD.ease))
    )
    floods = dict(rows)
    receiving = Domain.objects.receiving().filter(name__in=floods)
    tenants = dict(receiving.values_list("name", "tenant_id"))
    for name, count in floods.items():
        yield Flood(name, count, tenant_id=tenants.get(name))


def _client_floods(now: datetime) -> Iterator[Flood]:
    rows = (
        RoutingRecord.objects.filter(accepted=False, at__gt=now - timedelta(minutes=FLOOD_MINUTES))
        .exclude(Q(client=None) | Q(reason__in=deferring_reasons()))
        .order_by()
        .values_list("client")
        .annotate(total=Count("pk"))
        .filter(total__gte=int(CLIENT_FLOOD.warning * CLIENT_FLOOD.ease))
    )
    for client, count in rows:
        yield Flood(str(client), count, is_client=True)


def _ready(now: datetime) -> tuple[int, datetime | None]:
    with connection.cursor() as cursor:
        cursor.execute(_READY, [now])
        count, oldest = cursor.fetchone()
    return count, oldest
