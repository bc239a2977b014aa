"""How much of its limits a tenant uses: what alarms are judged by, and what its page shows.

The gateway charges a limit only where there is one: without it, nothing is known to be used.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.models import Counter
from gateway.routing import replies
from gateway.routing.policy import storage_counter, tenant_rate_counter
from gateway.routing.window import RollingHour
from gateway.watch.facts import Severity
from gateway.watch.judge import QUOTA_PERCENT
from tenants.counting import COUNTED, DOMAINS_NAMED
from tenants.models import Address, Domain, Tenant
from tenants.querysets import TenantQuerySet

WHEN_USED_UP = {
    "max_domains": "No further domain can be claimed.",
    "max_addresses": "No further address can be made.",
    "messages_per_hour": f"Senders are told {replies.TENANT_RATE_EXCEEDED}.",
    "stored_octets": f"Senders are told {replies.STORAGE_FULL}, after three days "
    f"{replies.STORAGE_FULL_LONG}.",
}


@dataclass(frozen=True, slots=True)
class Charged:
    """What the gateway counts of a tenant: recipients of the rolling hour, octets stored."""

    hour: int = 0
    stored_octets: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """One limit beside what is used of it; `used` is None for what is not used up, or not counted.

    `most` is how far was counted: more than that may be used.
    """

    name: str
    used: int | None
    limit: int | None
    own: int | None
    plan: int | None
    most: int | None = None

    @property
    def percent(self) -> int | None:
        """Rounded down, so that 100 means used up; None where there is nothing to compare."""
        if self.used is None or self.limit is None:
            return None
        return self.used * 100 // self.limit if self.limit else 100

    @property
    def severity(self) -> Severity | None:
        """As an alarm would judge it; a limit of 1 that is used is no trouble, only used up."""
        return None if self.percent is None else QUOTA_PERCENT.read(self.percent)

    @property
    def when_used_up(self) -> str:
        return WHEN_USED_UP.get(self.name, "")


def read_charged(tenants: Iterable[Tenant], now: datetime) -> Mapping[int, Charged]:
    """What each tenant is charged with, by its id; one query."""
    ids = [tenant.pk for tenant in tenants]
    keys = [key(pk) for pk in ids for key in (tenant_rate_counter, storage_counter)]
    counters: dict[str, Counter] = Counter.objects.in_bulk(keys)
    minute = int(now.timestamp()) // 60
    return {
        pk: Charged(
            _of_hour(counters.get(tenant_rate_counter(pk)), minute),
            _total(counters.get(storage_counter(pk))),
        )
        for pk in ids
    }


def read_shares(tenant: Tenant, now: datetime) -> list[Share]:
    """Every limit of a tenant beside what it uses; four queries, counted no further than needed.

    With the plan loaded.
    """
    charged = read_charged([tenant], now)[tenant.pk]
    domains, addresses = tenant.limit("max_domains"), tenant.limit("max_addresses")
    return [
        _counted(tenant, "max_domains", Domain.objects.of_tenant(tenant).claimed(), domains),
        _counted(tenant, "max_addresses", _addresses(tenant), addresses),
        _charged(tenant, "messages_per_hour", charged.hour),
        _charged(tenant, "stored_octets", charged.stored_octets),
        _share(tenant, "max_message_octets"),
        _share(tenant, "retention_days"),
    ]


def _addresses(tenant: Tenant) -> TenantQuerySet:
    """As `counted`; by its very domains where they can be named, of which the database knows how
    few addresses they hold: of a small tenant beside a large one it would else read them all.
    """
    domains = Domain.objects.of_tenant(tenant).claimed().order_by().values_list("pk", flat=True)
    found = list(domains[: DOMAINS_NAMED + 1])
    if len(found) > DOMAINS_NAMED:
        return Address.objects.counted(tenant)
    return Address.objects.filter(domain__in=found)


def _counted(tenant: Tenant, name: str, rows: TenantQuerySet, limit: int | None) -> Share:
    most = max(COUNTED, limit or 0)
    return _share(tenant, name, rows.order_by()[: most + 1].count(), most)


def _charged(tenant: Tenant, name: str, used: int) -> Share:
    return _share(tenant, name, used if tenant.limit(name) is not None else None)


def _share(tenant: Tenant, name: str, used: int | None = None, most: int | None = None) -> Share:
    own, plan = getattr(tenant, name), getattr(tenant.plan, name)
    return Share(name, used, tenant.limit(name), own, plan, most)


def _of_hour(counter: Counter | None, minute: int) -> int:
    return RollingHour.of(counter.minute, counter.counts).at(minute).total if counter else 0


def _total(counter: Counter | None) -> int:
    return counter.total if counter else 0
