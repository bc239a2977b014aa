"""The numbers on the first page, each a link into the list behind it; none counts past a cap."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from gateway.admin.filters import WAITING
from gateway.models import Delivery, RefusalCount, RoutingRecord
from tenants.admin.paging import COUNTED
from tenants.models import Alias, Domain, Mailbox, NextHop, Plan, Tenant


@dataclass(frozen=True, slots=True)
class Number:
    """A figure, what it counts, where it leads, and whether it asks for attention."""

    title: str
    value: str
    url: str
    needs_attention: bool = False


@dataclass(frozen=True, slots=True)
class FirstStep:
    """One step of setting the panel up, and whether it is done."""

    title: str
    text: str
    url: str
    is_done: bool


def numbers(request: HttpRequest) -> dict[str, Any]:
    """The figures this user may see, and the first steps while one is not done."""
    steps = first_steps() if request.user.has_perm("tenants.add_tenant") else []
    is_new = any(not step.is_done for step in steps)
    return {"numbers": _numbers(request), "first_steps": steps if is_new else []}


def _numbers(request: HttpRequest) -> list[Number]:
    figures = []
    if request.user.has_perm("gateway.view_routingrecord"):
        figures += [_accepted(), _refused(), _waiting(), _failed()]
    if request.user.has_perm("tenants.view_domain"):
        figures += [_domains_in_trouble(), _expiring()]
    return figures


def _accepted() -> Number:
    rows = RoutingRecord.objects.filter(accepted=True, at__gte=_yesterday())
    url = _list("gateway_routingrecord", "accepted__exact=1&within=day")
    return Number("Recipients accepted, last 24 h", _capped(rows), url)


def _refused() -> Number:
    rows = RefusalCount.objects.filter(minute__gte=_yesterday())
    total = rows.aggregate(total=Sum("count"))["total"] or 0
    url = _list("gateway_routingrecord", "accepted__exact=0&within=day")
    return Number("Recipients refused, last 24 h", f"{total:,}", url)


def _waiting() -> Number:
    rows = Delivery.objects.filter(state__in=WAITING)
    return Number("Deliveries waiting", _capped(rows), _list("gateway_delivery", "waiting=yes"))


def _failed() -> Number:
    rows = Delivery.objects.filter(state=Delivery.State.QUARANTINED)
    url = _list("gateway_delivery", "state__exact=quarantined")
    return Number("Deliveries in quarantine", _capped(rows), url, rows.exists())


def _domains_in_trouble() -> Number:
    rows = Domain.objects.filter(state__in=(Domain.State.PENDING, Domain.State.DEGRADED))
    url = _list("tenants_domain", "trouble=inactive")
    degraded = Domain.objects.filter(state=Domain.State.DEGRADED).exists()
    return Number("Domains pending or degraded", _capped(rows), url, degraded)


def _expiring() -> Number:
    now = timezone.now()
    soon = now + timedelta(days=7)
    rows = Alias.objects.filter(enabled=True, expires_at__gt=now, expires_at__lte=soon)
    url = _list("tenants_alias", "expiry=week&enabled__exact=1")
    return Number("Aliases expiring in 7 days", _capped(rows), url)


def first_steps() -> list[FirstStep]:
    """In the order in which rows need each other."""
    return [
        _step("Add a plan", "A set of limits that tenants are on.", Plan),
        _step("Add a tenant", "The customer who owns domains.", Tenant),
        _step("Add a next hop", "The server that holds mailboxes.", NextHop),
        _step("Add a mailbox", "Where a person or a team reads mail.", Mailbox),
        _step("Claim a domain", "Its page shows the DNS records to publish.", Domain),
        _step("Add an alias", "An address and where its mail goes.", Alias),
    ]


def _step(title: str, text: str, model: Any) -> FirstStep:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_add"
    return FirstStep(title, text, reverse(name), model.objects.exists())


def _list(name: str, query: str) -> str:
    return f"{reverse(f'admin:{name}_changelist')}?{query}"


def _capped(rows: QuerySet) -> str:
    count = rows.order_by()[: COUNTED + 1].count()
    return f"{COUNTED:,}+" if count > COUNTED else f"{count:,}"


def _yesterday() -> Any:
    return timezone.now() - timedelta(days=1)
