"""Suspend, close and resume a tenant: a page that says what senders will be told, then the change.

What it says comes from the gateway's own policy, so that it cannot promise anything else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial, reduce
from operator import or_
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from gateway.delivery.actions import REACHED, Action
from gateway.directory import platform
from gateway.models import Delivery
from gateway.routing import facts
from gateway.routing.facts import Facts, TenantState
from gateway.routing.policy import SUSPENSION_GRACE, check_tenant
from gateway.routing.replies import Reply
from gateway.routing.resolve import EXEMPT_ROLES
from tenants import services
from tenants.admin.base import PanelAdmin, actor_of, reason_of
from tenants.clock import database_now
from tenants.counting import COUNTED, print_capped
from tenants.models import Address, Domain, Tenant
from tenants.querysets import RECEIVING

SHOWN_DOMAINS = 10
NO_REASON = "Say why: it stands in the history."


@dataclass(frozen=True, slots=True)
class Move:
    """A change of a tenant's state: its name in the URL, its verb, and where it leads."""

    name: str
    verb: str
    state: str
    act: Callable[..., Tenant]


SUSPEND = Move("suspend", "suspend", Tenant.State.SUSPENDED, services.suspend_tenant)
SUSPEND_FOR_ABUSE = Move(
    "suspend-for-abuse",
    "suspend for abuse",
    Tenant.State.SUSPENDED_FOR_ABUSE,
    partial(services.suspend_tenant, for_abuse=True),
)
CLOSE = Move("close", "close", Tenant.State.CLOSED, services.close_tenant)
RESUME = Move("resume", "resume", Tenant.State.ACTIVE, services.resume_tenant)
MOVES = (RESUME, SUSPEND, SUSPEND_FOR_ABUSE, CLOSE)


@dataclass(frozen=True, slots=True)
class Answer:
    """What senders are told; `until` is None where nothing else follows."""

    reply: Reply
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change of a tenant's state reaches: domains and addresses that receive mail."""

    domains: int
    addresses: int
    names: tuple[str, ...]


def answers_in(state: str, *, since: datetime, now: datetime) -> list[Answer]:
    """What senders are told from `now` on in a state that began at `since`; empty if nothing is."""
    turn = since + SUSPENSION_GRACE
    first = _reply(state, since, now)
    last = _reply(state, since, max(turn, now))
    if first is None or last is None:
        return []
    return [Answer(first)] if first == last else [Answer(first, turn), Answer(last)]


def _reply(state: str, since: datetime, moment: datetime) -> Reply | None:
    tenant = facts.Tenant(0, "", TenantState(state), since)
    return check_tenant(tenant, Facts(platform(), moment))


def effect_on(tenant: Tenant) -> Effect:
    """Postmaster and abuse are not counted: no state silences them. Three queries."""
    domains = Domain.objects.of_tenant(tenant).receiving()
    exempt = Q()
    for role in EXEMPT_ROLES:
        exempt |= Q(key__startswith=f"{role}@")
    addresses = Address.objects.of_tenant(tenant).alive().filter(domain__state__in=RECEIVING)
    names = tuple(str(domain) for domain in domains[:SHOWN_DOMAINS])
    return Effect(domains.count(), addresses.exclude(exempt).count(), names)


def waiting_of(tenant: Tenant, *, most: int | None = COUNTED) -> str:
    """How much accepted mail of the tenant waits to be sent, as it is read; empty where none.

    Counted no further than `most`; None counts all of it.
    """
    in_states = reduce(or_, (Q(state=state) for state in REACHED[Action.HOLD]))
    rows = Delivery.objects.of_tenant(tenant).filter(in_states).order_by()
    count = rows.count() if most is None else rows[: most + 1].count()
    return print_capped(count, most or count) if count else ""


class StandingMixin(PanelAdmin):
    """The pages that move a tenant from one state to another."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.move)
        own = [
            path(
                f"<int:pk>/{move.name}/",
                view,
                kwargs={"move": move},
                name=f"tenants_tenant_{move.name}",
            )
            for move in MOVES
        ]
        return own + super().get_urls()

    def page_context(self, request: HttpRequest, row: Tenant) -> dict[str, Any]:
        answers = answers_in(row.state, since=row.state_since, now=database_now())
        return {
            "moves": [move for move in MOVES if move.state != row.state],
            "answers": answers,
            "waiting": waiting_of(row) if answers else "",
            "may_hold": request.user.has_perm("gateway.change_delivery"),
        }

    def move(self, request: HttpRequest, pk: int, move: Move) -> HttpResponse:
        """Move the tenant for a reason, after a page that says what that does to its mail."""
        tenant = self.writable(request, pk)
        if request.method == "POST" and (reason := reason_of(request)):
            self._move(request, tenant, move, reason)
            return redirect(tenant.get_absolute_url())
        now = database_now()
        context = {
            **self.admin_site.each_context(request),
            "title": f"{move.verb.capitalize()}: {tenant}",
            "opts": self.opts,
            "tenant": tenant,
            "move": move,
            "effect": effect_on(tenant),
            "waiting": waiting_of(tenant, most=None),
            "members": tenant.memberships.count(),
            "mailboxes": tenant.mailboxes.count(),
            "answers": answers_in(move.state, since=now, now=now),
            "reason_error": NO_REASON if request.method == "POST" else "",
        }
        return TemplateResponse(request, "admin/panel/tenant_move.html", context)

    def _move(self, request: HttpRequest, tenant: Tenant, move: Move, reason: str) -> None:
        """Not where the state is another one than the page was about."""
        if tenant.state != request.POST.get("state"):
            told = f"Nothing was changed: {tenant} is {tenant.get_state_display()} meanwhile."
            messages.error(request, told)
            return
        try:
            move.act(tenant, actor=actor_of(request), reason=reason)
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        else:
            messages.success(request, f"{tenant} is {tenant.get_state_display()} from now on.")
