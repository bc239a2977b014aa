"""Retry, hold, release and fail: first a page that says exactly how many deliveries, then the deed.

The page carries the very deliveries that it counted, so that no other one is reached. Whoever may
change deliveries may do this; who did, and why, stands on each delivery's page.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import get_text_list
from unfold.decorators import action

from gateway import delivery as queue
from gateway.delivery.actions import REACHED, Action
from gateway.models import Delivery
from tenants.admin.base import ReadOnlyAdmin, actor_of, reason_of

AT_ONCE = 10_000
SHOWN = 10
NO_REASON = "Say why: it stands in place of a reply."


@dataclass(frozen=True, slots=True)
class Deed:
    """An action on deliveries as an operator reads it."""

    action: Action
    act: Callable[..., int]
    title: str
    effect: str
    done: str
    is_final: bool = False

    @property
    def name(self) -> str:
        return self.action.value


RETRY = Deed(
    Action.RETRY,
    queue.retry_now,
    "Retry now",
    "Due at once; what failed or is in quarantine starts afresh.",
    "due now",
)
HOLD = Deed(
    Action.HOLD,
    queue.hold,
    "Hold",
    "Kept back, with the body, until somebody releases it.",
    "held",
)
RELEASE = Deed(Action.RELEASE, queue.release, "Release", "Goes on, and is due at once.", "due now")
FAIL = Deed(
    Action.FAIL,
    queue.fail,
    "Fail",
    "Given up, unless somebody retries it later. Senders are not told: no bounce is made.",
    "given up",
    is_final=True,
)
DEEDS = {deed.name: deed for deed in (RETRY, HOLD, RELEASE, FAIL)}


def _chosen(deed: Deed) -> Any:
    """The deed as an action of the list."""

    @action(description=f"{deed.title}…", permissions=["intervene"])
    def choose(
        page: "InterventionMixin", request: HttpRequest, queryset: QuerySet[Delivery]
    ) -> HttpResponse:
        return page.confirm(request, deed, queryset, filters=request.GET.urlencode())

    return choose


class InterventionMixin(ReadOnlyAdmin):
    """The deeds, for the list and for the page of one delivery."""

    actions = ("retry_now", "hold", "release", "fail")
    retry_now = _chosen(RETRY)
    hold = _chosen(HOLD)
    release = _chosen(RELEASE)
    fail = _chosen(FAIL)

    def has_intervene_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("gateway.change_delivery")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.intervene)
        own = path("intervene/<str:name>/", view, name="gateway_delivery_intervene")
        return [own, *super().get_urls()]

    def page_context(self, request: HttpRequest, row: Delivery) -> dict[str, Any]:
        may = self.has_intervene_permission(request)
        deeds = [deed for deed in DEEDS.values() if may and row.state in REACHED[deed.action]]
        return {**super().page_context(request, row), "deeds": deeds}

    def intervene(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask about the delivery whose page led here, or do what was confirmed for all of them."""
        if not self.has_intervene_permission(request):
            raise PermissionDenied
        deed = DEEDS.get(name)
        if deed is None:
            raise SuspiciousOperation(f"no such action: {name}")
        sent = request.POST if request.method == "POST" else request.GET
        chosen = self.get_queryset(request).filter(pk__in=_parse(sent.get("ids", "")))
        filters = sent.get("filters")
        if request.method != "POST":
            return self.confirm(request, deed, chosen, filters=None)
        if deed.is_final and not reason_of(request):
            return self.confirm(request, deed, chosen, filters=filters, error=NO_REASON)
        self._act(request, deed, chosen)
        return self._back(chosen, filters)

    def confirm(
        self,
        request: HttpRequest,
        deed: Deed,
        chosen: QuerySet[Delivery],
        *,
        filters: str | None,
        error: str = "",
    ) -> HttpResponse:
        """The page that counts; `filters` are those of the list it came from, None without one."""
        reached = queue.reachable(deed.action, chosen).order_by("pk")
        ids = list(reached.values_list("pk", flat=True)[:AT_ONCE])
        more = reached.count() - len(ids) if len(ids) == AT_ONCE else 0
        context = {
            **self.admin_site.each_context(request),
            "title": deed.title,
            "opts": self.opts,
            "deed": deed,
            "heading": f"{deed.title}: {_deliveries(len(ids))}",
            "count": len(ids),
            "more": _deliveries(more) if more else "",
            "left": _left(chosen, reached),
            "sample": Delivery.objects.filter(pk__in=ids[:SHOWN]).order_by("pk"),
            "is_longer": len(ids) > SHOWN,
            "ids": ",".join(map(str, ids)),
            "filters": filters,
            "back": self._back(chosen, filters).url,
            "reason_error": error,
        }
        return TemplateResponse(request, "admin/panel/intervention.html", context)

    def _act(self, request: HttpRequest, deed: Deed, chosen: QuerySet[Delivery]) -> None:
        ids = list(chosen.values_list("pk", flat=True))
        count = deed.act(ids, actor=actor_of(request), reason=reason_of(request))
        if count:
            verb = "is" if count == 1 else "are"
            messages.success(request, f"{_deliveries(count)} {verb} {deed.done}.")
        if missed := len(ids) - count:
            messages.warning(request, f"Moved on meanwhile, so left alone: {_deliveries(missed)}.")

    def _back(self, chosen: QuerySet[Delivery], filters: str | None) -> Any:
        """To the list as it was filtered, or to the page of the one delivery."""
        one = chosen.first() if filters is None else None
        if one is not None:
            return redirect(one.get_absolute_url())
        return redirect(f"{reverse('admin:gateway_delivery_changelist')}?{filters or ''}")


def _parse(text: str) -> list[UUID]:
    try:
        return [UUID(part) for part in text.split(",") if part]
    except ValueError as error:
        raise SuspiciousOperation("not the id of a delivery") from error


def _left(chosen: QuerySet[Delivery], reached: QuerySet[Delivery]) -> str:
    """How many of those chosen stay as they are, by state; empty where none does."""
    rest = chosen.order_by().exclude(pk__in=reached.order_by().values("pk"))
    counts = rest.values_list("state").annotate(Count("pk")).order_by("state")
    return get_text_list([f"{count:,} {state}" for state, count in counts], "and")


def _deliveries(count: int) -> str:
    return "1 delivery" if count == 1 else f"{count:,} deliveries"
