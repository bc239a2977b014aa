"""The page of a tenant: its limits and how much of them is used, and everything that is its own.

Every figure leads to the list behind it, filtered alike. What a user may not view is left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from gateway.admin.shown import reason_words
from gateway.directory import platform
from gateway.retention import DEFAULT_RETENTION_DAYS
from gateway.watch import figures, holdings, works
from gateway.watch.admin.overview import span_of
from gateway.watch.facts import Severity
from gateway.watch.holdings import HOLDINGS, KEPT_BACK, WAITING, Holding, in_time
from gateway.watch.models import Alarm
from gateway.watch.usage import Share, read_shares
from tenants import timeline
from tenants.admin.imports import PERMISSIONS as IMPORTS
from tenants.admin.tenant import TenantAdmin
from tenants.admin.trouble import outlook_of, trouble_of
from tenants.counting import print_capped
from tenants.models import Domain, Tenant
from tenants.octets import print_about, print_octets
from tenants.querysets import may_view

SHOWN = 6
REASONS_SHOWN = 4
OCTETS = ("stored_octets", "max_message_octets")
WORDS = {Severity.WARNING: ("nearly used up", "warning"), Severity.CRITICAL: ("used up", "danger")}


@dataclass(frozen=True, slots=True)
class Figure:
    """A count in words, where it leads, and what else is to say of it."""

    label: str
    value: str
    url: str
    needs_attention: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """What a tenant has of one kind."""

    title: str
    url: str
    figures: Sequence[Figure]
    empty: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """One limit as it is read: figure, share, and where the limit comes from."""

    title: str
    used: str
    limit: str
    own: str
    plan: str
    percent: int | None
    word: str
    colour: str
    note: str


admin.site.unregister(Tenant)


@admin.register(Tenant)
class WatchedTenantAdmin(TenantAdmin):
    """The tenant's pages, with all that is known of it above the form."""

    change_form_outer_before_template = "admin/watch/tenant.html"

    def page_context(self, request: HttpRequest, row: Tenant) -> dict[str, Any]:
        return {**super().page_context(request, row), **everything_of(row, request)}


def everything_of(tenant: Tenant, request: HttpRequest) -> dict[str, Any]:
    """All that the page shows, as far as this user may see it; as many queries for any tenant."""
    now, user = timezone.now(), request.user
    return {
        "limits": _limits(tenant, now),
        "groups": [*_holdings(tenant, user), *_mail(tenant, user, now)],
        "worrying": _worrying(tenant, user, now),
        "alarms": _alarms(tenant) if may_view(user, Alarm) else None,
        "edits": in_time(partial(_edits, tenant, user)),
        "jobs": in_time(partial(works.jobs_about, tenant))
        if _may(user, "tenants.view_job")
        else None,
        "exports": works.exports_about(tenant) if _may(user, "tenants.view_export") else None,
        "counted_until": figures.counted_until(),
        "may_import": any(map(user.has_perm, IMPORTS)),
        "may_explain": _may(user, "gateway.view_routingrecord"),
    }


# --- usage against plan


def _limits(tenant: Tenant, now: datetime) -> list[Line]:
    shares = in_time(partial(read_shares, tenant, now))
    return [_line(share) for share in shares or ()]


def _line(share: Share) -> Line:
    word, colour = WORDS.get(share.severity, ("", "")) if share.severity else ("", "")
    field: Any = Tenant._meta.get_field(share.name)
    return Line(
        str(field.verbose_name).removesuffix(" (octets)").removesuffix(" (days)").capitalize(),
        _used(share),
        _printed(share.name, share.limit) or _unlimited(share.name),
        _printed(share.name, share.own),
        _printed(share.name, share.plan),
        share.percent,
        word,
        colour,
        share.when_used_up if share.severity else "",
    )


def _used(share: Share) -> str:
    if share.used is None:
        return "" if share.name not in ("messages_per_hour", "stored_octets") else "not counted"
    if share.name in OCTETS:
        return print_about(share.used)
    shown = print_capped(share.used, share.most) if share.most else f"{share.used:,}"
    return f"{shown} this hour" if share.name == "messages_per_hour" else shown


def _printed(name: str, limit: int | None) -> str:
    if limit is None:
        return ""
    if name in OCTETS:
        return print_octets(limit)
    return f"{limit:,} days" if name == "retention_days" else f"{limit:,}"


def _unlimited(name: str) -> str:
    """What holds where neither the tenant nor its plan says anything."""
    if name == "max_message_octets":
        return f"the gateway’s {print_octets(platform().max_message_octets)}"
    if name == "retention_days":
        return f"{DEFAULT_RETENTION_DAYS} days, as for everyone"
    return "unlimited"


# --- what it has


def _holdings(tenant: Tenant, user: Any) -> Iterable[Group]:
    seen = [each for each in HOLDINGS if may_view(user, each.model)]
    counts = in_time(partial(holdings.count, tenant, seen))
    numbered = zip(seen, counts or [None] * len(seen), strict=True)
    for model, found in groupby(numbered, key=lambda each: each[0].model):
        opts = model._meta
        yield Group(
            str(opts.verbose_name_plural).capitalize(),
            _list_of(model, tenant),
            [_figure(each, number, tenant) for each, number in found if number != 0],
            f"No {opts.verbose_name} yet.",
        )


def _figure(holding: Holding, number: int | None, tenant: Tenant) -> Figure:
    value = "many" if number is None else print_capped(number)
    url = _list_of(holding.model, tenant, holding.query)
    return Figure(holding.label, value, url, holding.is_trouble)


def _worrying(tenant: Tenant, user: Any, now: datetime) -> list[dict[str, Any]]:
    """Domains that do not simply work, each with why and what comes of it."""
    if not may_view(user, Domain):
        return []
    inactive = Q(state__in=(Domain.State.PENDING, Domain.State.DEGRADED))
    in_trouble = Domain.objects.of_tenant(tenant).in_trouble().values("pk")
    rows = Domain.objects.of_tenant(tenant).filter(inactive | Q(pk__in=in_trouble))
    shown = rows.order_by("state_since").prefetch_related("checks")[:SHOWN]
    return [
        {
            "domain": domain,
            "trouble": trouble_of(domain.checks.all()),
            "outlook": outlook_of(domain, domain.checks.all(), now),
        }
        for domain in shown
    ]


# --- its mail


def _mail(tenant: Tenant, user: Any, now: datetime) -> Iterable[Group]:
    if _may(user, "gateway.view_delivery"):
        found = in_time(partial(holdings.read_unsettled, tenant))
        yield _unsettled(tenant, found, now)
    if _may(user, "gateway.view_routingrecord"):
        yield _traffic(tenant, holdings.read_traffic(tenant, now))


def _unsettled(tenant: Tenant, found: Mapping[str, Any] | None, now: datetime) -> Group:
    choices = (
        ("waiting", WAITING, "waiting=yes"),
        *((state.value, (state,), f"state__exact={state}") for state in KEPT_BACK),
    )
    shown = []
    for label, states, query in choices:
        url = _mail_list("delivery", tenant, query)
        if found is None:
            shown.append(Figure(label, "many", url, note="more than can be counted in a moment"))
        elif (these := holdings.together(found, states)).count:
            age = f"oldest {span_of(now - these.oldest_at)}" if these.oldest_at else ""
            shown.append(Figure(label, print_capped(these.count), url, label == "quarantined", age))
    url = _mail_list("delivery", tenant)
    return Group("Deliveries not settled", url, shown, "Nothing waits, and nothing is kept back.")


def _traffic(tenant: Tenant, counted: Iterable[tuple[str, str, int]]) -> Group:
    shown: list[Figure] = []
    for outcome, found in groupby(counted, key=lambda each: each[0]):
        rows = [(reason, number) for _, reason, number in found]
        shown += [_by_reason(tenant, outcome, *row) for row in rows[:REASONS_SHOWN]]
        if rest := sum(number for _, number in rows[REASONS_SHOWN:]):
            url = _mail_list("routingrecord", tenant, "accepted__exact=0&within=day")
            shown.append(Figure(f"{outcome} for other reasons", f"{rest:,}", url))
    url = _mail_list("routingrecord", tenant, "within=day")
    return Group("Recipients, last 24 hours", url, shown, "No mail came for it.")


def _by_reason(tenant: Tenant, outcome: str, reason: str, number: int) -> Figure:
    is_accepted = outcome == figures.Outcome.ACCEPTED
    query = "accepted__exact=1" if is_accepted else f"accepted__exact=0&reason={reason}"
    label = outcome if is_accepted else f"{outcome}: {reason_words(reason)}"
    url = _mail_list("routingrecord", tenant, f"{query}&within=day")
    return Figure(label, f"{number:,}", url)


# --- what happened


def _alarms(tenant: Tenant) -> list[Alarm]:
    rows = Alarm.objects.open().filter(tenant=tenant)
    return list(rows.order_by("-severity", "-opened_at")[:SHOWN])


def _edits(tenant: Tenant, user: Any) -> list[Any]:
    return timeline.latest(tenant.pk, SHOWN, user=user)


def _may(user: Any, permission: str) -> bool:
    return bool(user.has_perm(permission))


def _list_of(model: Any, tenant: Tenant, query: str = "") -> str:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return "&".join(filter(None, (f"{url}?{model.tenant_path}__id__exact={tenant.pk}", query)))


def _mail_list(name: str, tenant: Tenant, query: str = "") -> str:
    url = reverse(f"admin:gateway_{name}_changelist")
    return "&".join(filter(None, (f"{url}?tenant__id__exact={tenant.pk}", query)))
