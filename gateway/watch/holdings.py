"""What a tenant has, counted: rows of the control plane, deliveries that are not settled, mail.

Each count goes no further than COUNTED rows, is taken by an index, and is given up after COUNT_MS:
a page about the largest tenant opens as fast as one about the smallest.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import OperationalError, connection
from django.db.models import Model, QuerySet
from django.utils import timezone
from psycopg.errors import QueryCanceled

from gateway.models import Concern, Delivery
from gateway.watch.figures import DEFAULT, Outcome
from gateway.watch.models import TrafficCount
from gateway.watch.traffic import HOUR, Range
from tenants.admin.filters import WEEK
from tenants.admin.paging import at_most
from tenants.counting import COUNTED, DOMAINS_NAMED, capped_count
from tenants.models import (
    Address,
    Alias,
    Domain,
    Mailbox,
    Membership,
    NextHop,
    RoleAddress,
    SendAsIdentity,
    SubaddressRule,
    Tenant,
)

COUNT_MS = 500
KEPT_BACK = (Delivery.State.HELD, Delivery.State.QUARANTINED)
WAITING = (Delivery.State.PENDING, Delivery.State.SENDING, Delivery.State.DEFERRED)

# One state by one, since each has an index of its own.
_IN_STATE = """(SELECT state, created_at FROM gateway_delivery
    WHERE state = '{state}' AND tenant_id = %(tenant)s LIMIT %(most)s)"""
_BY_STATE = "SELECT state, count(*), min(created_at) FROM ({rows}) AS unsettled GROUP BY 1"
_UNSETTLED = _BY_STATE.format(
    rows="\nUNION ALL\n".join(_IN_STATE.format(state=state) for state in (*WAITING, *KEPT_BACK))
)


@dataclass(frozen=True, slots=True)
class Holding:
    """Some of a tenant's rows: how they are picked, and what picks the same in their list."""

    model: type[Model]
    label: str
    query: str = ""
    pick: Callable[[Any], Any] = lambda rows: rows
    is_trouble: bool = False

    def rows_of(self, tenant: Tenant, domains: Sequence[int] = ()) -> QuerySet[Any]:
        """By `domains`, which are all of the tenant's, where any are given."""
        model: Any = self.model
        if domains and issubclass(model, Address):
            own = model.objects.filter(domain__in=domains)
        else:
            own = model.objects.of_tenant(tenant)
        picked: QuerySet[Any] = self.pick(own)
        return picked


@dataclass(frozen=True, slots=True)
class Waiting:
    """Deliveries in one or several states: how many, and when the oldest was accepted."""

    count: int = 0
    oldest_at: datetime | None = None


def _in_state(model: type[Model], state: str, *, is_trouble: bool = False) -> Holding:
    query = f"state__exact={state}"
    return Holding(model, state, query, lambda rows: rows.filter(state=state), is_trouble)


def _of_kind(model: type[Model], kind: str) -> Holding:
    return Holding(model, kind, f"kind__exact={kind}", lambda rows: rows.filter(kind=kind))


def _addresses(model: type[Model]) -> Iterable[Holding]:
    """As the filter of their list calls their states."""
    return (
        Holding(model, "enabled", "state=enabled", lambda rows: rows.alive()),
        Holding(model, "disabled", "state=disabled", lambda rows: rows.switched_off()),
        Holding(
            model,
            "expired",
            "state=expired",
            lambda rows: rows.filter(expires_at__lte=timezone.now()),
        ),
        Holding(model, "expire in 7 days", "expiry=week", _expiring),
        Holding(model, "target broken", "concern=broken", _worrying(Concern.Kind.BROKEN), True),
        Holding(model, "owner left", "concern=left", _worrying(Concern.Kind.OWNER), True),
    )


def _expiring(rows: QuerySet[Any]) -> QuerySet[Any]:
    now = timezone.now()
    return rows.filter(expires_at__gt=now, expires_at__lte=now + WEEK)


def _worrying(kind: str) -> Callable[[QuerySet[Any]], QuerySet[Any]]:
    return lambda rows: rows.filter(concerns__kind=kind)


HOLDER_LEFT = Holding(
    RoleAddress, "holder left", "concern=holder", _worrying(Concern.Kind.HOLDER), is_trouble=True
)
HOLDINGS: tuple[Holding, ...] = (
    _in_state(Domain, Domain.State.ACTIVE),
    _in_state(Domain, Domain.State.PENDING),
    _in_state(Domain, Domain.State.DEGRADED, is_trouble=True),
    _in_state(Domain, Domain.State.RELEASED),
    Holding(Domain, "in trouble", "trouble=now", lambda rows: rows.in_trouble(), is_trouble=True),
    *_addresses(Alias),
    *_addresses(RoleAddress),
    HOLDER_LEFT,
    Holding(SubaddressRule, "in all"),
    _of_kind(Mailbox, Mailbox.Kind.PERSON),
    _of_kind(Mailbox, Mailbox.Kind.TEAM),
    Holding(NextHop, "its own"),
    Holding(Membership, "in all"),
    _in_state(SendAsIdentity, SendAsIdentity.State.VERIFIED),
    _in_state(SendAsIdentity, SendAsIdentity.State.PENDING),
    _in_state(SendAsIdentity, SendAsIdentity.State.REVOKED),
)


def in_time(read: Callable[[], Any]) -> Any:
    """What is read, each statement within COUNT_MS; None where one took longer."""
    try:
        with at_most(COUNT_MS):
            return read()
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        return None


def count(tenant: Tenant, holdings: Iterable[Holding]) -> list[int]:
    """How many rows each has, at most one more than COUNTED; two queries for all of them."""
    domains = _domains(tenant)
    counts = [capped_count(each.rows_of(tenant, domains)) for each in holdings]
    found = Tenant.objects.filter(pk=tenant.pk).values_list(*counts)
    return list(found.get()) if counts else []


def _domains(tenant: Tenant) -> list[int]:
    """All of its domains, so that the database knows how many addresses are on these very ones.

    Empty where they are too many to be named.
    """
    domains = Domain.objects.of_tenant(tenant).order_by().values_list("pk", flat=True)
    found = list(domains[: DOMAINS_NAMED + 1])
    return found if len(found) <= DOMAINS_NAMED else []


def read_unsettled(tenant: Tenant) -> Mapping[str, Waiting]:
    """Deliveries by state, at most one more than COUNTED of each; one query."""
    with connection.cursor() as cursor:
        cursor.execute(_UNSETTLED, {"tenant": tenant.pk, "most": COUNTED + 1})
        return {state: Waiting(count, oldest) for state, count, oldest in cursor.fetchall()}


def together(found: Mapping[str, Waiting], states: Iterable[str]) -> Waiting:
    """Several states as one."""
    each = [found[state] for state in states if state in found]
    oldest = min((one.oldest_at for one in each if one.oldest_at), default=None)
    return Waiting(sum(one.count for one in each), oldest)


def read_traffic(tenant: Tenant, now: datetime) -> list[tuple[str, str, int]]:
    """Recipients of the last day by outcome and reason, most frequent first; one query.

    In whole hours, as they are counted for each tenant.
    """
    since = Range(now - DEFAULT.length, now).widened(HOUR).first
    rows = TrafficCount.objects.filter(
        span=TrafficCount.Span.HOUR, tenant_id=tenant.pk, start__gte=since
    )
    counts: dict[tuple[str, str], int] = {}
    for outcome, reason, number in rows.order_by().values_list("outcome", "reason", "count"):
        counts[outcome, reason] = counts.get((outcome, reason), 0) + number
    order = [each.value for each in (Outcome.ACCEPTED, Outcome.DEFERRED, Outcome.REFUSED)]
    ranked = sorted(counts.items(), key=lambda each: (order.index(each[0][0]), -each[1], each[0]))
    return [(outcome, reason, number) for (outcome, reason), number in ranked]
