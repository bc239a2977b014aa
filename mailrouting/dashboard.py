"""The first page: first steps while there are any, alarms, and figures, each a link into a list."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from gateway.watch.admin import overview
from gateway.watch.admin.overview import Number
from tenants.counting import COUNTED, print_capped
from tenants.models import Alias, Domain, Mailbox, NextHop, Plan, Tenant


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
    shown = overview.context(request)
    figures = [*shown.get("mail_numbers", []), *_numbers(request)]
    return shown | {"numbers": figures, "first_steps": steps if is_new else []}


def _numbers(request: HttpRequest) -> list[Number]:
    figures = []
    if request.user.has_perm("tenants.view_domain"):
        figures += [_domains_in_trouble(), _domains_pending(), _expiring()]
    return figures


def _domains_in_trouble() -> Number:
    """Degraded, or receiving with a record missing that they need."""
    count = _capped(Domain.objects.in_trouble())
    return Number("Domains in trouble", count, _list("tenants_domain", "trouble=now"), count != "0")


def _domains_pending() -> Number:
    rows = Domain.objects.filter(state=Domain.State.PENDING)
    return Number("Domains pending", _capped(rows), _list("tenants_domain", "state__exact=pending"))


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
    return print_capped(rows.order_by()[: COUNTED + 1].count())
