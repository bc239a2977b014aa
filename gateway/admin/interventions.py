"""Retry, hold, release, reroute and fail: first a page that says exactly how many deliveries, and
why any stays as it is; then the deed.

The page carries the very deliveries that it counted, so that no other one is reached. Whoever may
change deliveries may do this; who did, and why, stands on each delivery's page.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import get_text_list
from unfold.decorators import action

from gateway import delivery as queue
from gateway.admin.deeds import DEEDS, FAIL, HOLD, RELEASE, REROUTE, RETRY, Deed
from gateway.admin.filters import in_lane
from gateway.admin.goals import GoalForm
from gateway.delivery.actions import REACHED, why_not
from gateway.delivery.rerouting import Goal, plan
from gateway.models import Delivery
from gateway.routing.facts import LookupFailed
from tenants.admin.base import ReadOnlyAdmin, actor_of, reason_of
from tenants.jobs import apply, check, describe
from tenants.jobs.deliveries import KINDS, draft_deed
from tenants.jobs.rerouting import MOST, direct, draft_reroute
from tenants.jobs.rerouting import REROUTE as REROUTE_JOB
from tenants.models import Job

AT_ONCE = 10_000
# Each takes a decision of its own while the page is waited for.
REROUTED_AT_ONCE = 1_000
SHOWN = 10
REFUSED_SHOWN = 20
WHOSE = ("ids", "lane", "tenant")
NO_REASON = "Say why: it stands beside your name on the page of each delivery."
NO_ANSWER = "The directory did not answer, so nothing was rerouted; try again."


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an operator came from: a list as it was filtered; without one, a delivery's page."""

    list: str = ""
    filters: str = ""

    def url(self, chosen: QuerySet[Delivery]) -> str:
        """The way back there."""
        one = None if self.list else chosen.first()
        if one is not None:
            return one.get_absolute_url()
        return f"{reverse(f'admin:{LISTS[self.list or DELIVERIES]}')}?{self.filters}"


DELIVERIES = "deliveries"
LISTS = {
    DELIVERIES: "gateway_delivery_changelist",
    "quarantine": "gateway_quarantined_changelist",
    "queue": "queue",
}


def _chosen(deed: Deed) -> Any:
    """The deed as an action of the list."""

    @action(description=f"{deed.title}…", permissions=["intervene"])
    def choose(
        page: "InterventionMixin", request: HttpRequest, queryset: QuerySet[Delivery]
    ) -> HttpResponse:
        origin = Origin(page.list_name, request.GET.urlencode())
        return page.ask(request, deed, queryset, origin)

    return choose


class InterventionMixin(ReadOnlyAdmin):
    """The deeds, for lists of deliveries and for the page of one."""

    actions: tuple[str, ...] = ("retry_now", "hold", "release", "reroute", "fail")
    list_name = DELIVERIES
    retry_now = _chosen(RETRY)
    hold = _chosen(HOLD)
    release = _chosen(RELEASE)
    reroute = _chosen(REROUTE)
    fail = _chosen(FAIL)

    def has_intervene_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("gateway.change_delivery")

    def page_context(self, request: HttpRequest, row: Delivery) -> dict[str, Any]:
        may = self.has_intervene_permission(request)
        deeds = [deed for deed in DEEDS.values() if may and row.state in REACHED[deed.action]]
        return {**super().page_context(request, row), "deeds": deeds}

    def ask(
        self,
        request: HttpRequest,
        deed: Deed,
        chosen: QuerySet[Delivery],
        origin: Origin,
        error: str = "",
    ) -> HttpResponse:
        """The page that counts; one of reroute asks where to first."""
        told = _told(request, deed, chosen)
        return self.page_of(request, deed, origin, back=origin.url(chosen), error=error, **told)

    def page_of(
        self, request: HttpRequest, deed: Deed, origin: Origin, *, error: str = "", **told: Any
    ) -> HttpResponse:
        """The page of a question, with what it told."""
        context = {
            **self.admin_site.each_context(request),
            "title": deed.title,
            "opts": self.opts,
            "deed": deed,
            "origin": origin,
            "reason_error": error,
            **told,
        }
        return TemplateResponse(request, "admin/panel/intervention.html", context)


class DeedsMixin(InterventionMixin):
    """The address under which all of these pages ask, and which does what was confirmed."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.intervene)
        own = path("intervene/<str:name>/", view, name="gateway_delivery_intervene")
        return [own, *super().get_urls()]

    def intervene(self, request: HttpRequest, name: str) -> HttpResponse:
        """Ask about the deliveries that a page led here with, or do what was confirmed of them."""
        if not self.has_intervene_permission(request):
            raise PermissionDenied
        deed = DEEDS.get(name)
        if deed is None:
            raise SuspiciousOperation(f"no such action: {name}")
        sent = request.POST if request.method == "POST" else request.GET
        origin = _origin(sent)
        if request.method == "POST" and "job" in sent:
            act = self._check if deed is REROUTE else self._start
            return act(request, deed, origin)
        chosen = _choice(self.get_queryset(request), deed, sent)
        ask = partial(self.ask, request, deed, chosen, origin)
        if request.method != "POST" or "sure" not in sent:
            return ask()
        if not reason_of(request):
            return ask(error=NO_REASON)
        goal = _goal_form(request, chosen).read() if deed is REROUTE else None
        if deed is REROUTE and goal is None:
            return ask()
        back = origin.url(chosen)
        _act(request, deed, list(chosen.values_list("pk", flat=True)), goal)
        return redirect(back)

    def _start(self, request: HttpRequest, deed: Deed, origin: Origin) -> HttpResponse:
        """Let workers do what was drafted for this user; the job's page shows how far it is."""
        job = _own_draft(request, _kind_of(deed))
        reason = reason_of(request)
        if not reason:
            back = origin.url(Delivery.objects.none())
            return self.page_of(
                request, deed, origin, back=back, error=NO_REASON, **_drafted_before(job)
            )
        apply(describe(job, reason=reason, parameters={"reason": reason}))
        messages.success(request, f"{job.title}: workers are at it.")
        return redirect(job.get_absolute_url())

    def _check(self, request: HttpRequest, deed: Deed, origin: Origin) -> HttpResponse:
        """Let workers foretell what a goal means for each delivery of a draft; nothing is done."""
        job = _own_draft(request, REROUTE_JOB)
        form = GoalForm(request.POST, tenants=job.parameters["tenants"])
        goal, reason = form.read(), reason_of(request)
        if goal is None or not reason:
            back = origin.url(Delivery.objects.none())
            error = "" if reason else NO_REASON
            told = _rerouted_by_workers(job, form)
            return self.page_of(request, deed, origin, back=back, error=error, **told)
        return redirect(check(direct(job, goal, reason=reason)).get_absolute_url())


def _own_draft(request: HttpRequest, kind: str) -> Job:
    """The job that this user was asked about. Raises Http404 for another's, and another kind's."""
    mine = Job.objects.filter(user=request.user.pk, kind=kind)
    return get_object_or_404(mine, pk=_number(request.POST["job"]))


def _kind_of(deed: Deed) -> str:
    """The kind of job that does it; empty where there is none."""
    kind = KINDS.get(deed.action)
    return kind.name if kind else ""


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def _act(request: HttpRequest, deed: Deed, ids: Collection[UUID], goal: Goal | None) -> None:
    """Do it, and say how many were reached and how many were not any more."""
    act = partial(deed.act, goal=goal) if goal else deed.act
    try:
        count = act(ids, actor=actor_of(request), reason=reason_of(request))
    except LookupFailed:
        messages.error(request, NO_ANSWER)
        return
    if count:
        verb = "is" if count == 1 else "are"
        messages.success(request, f"{_deliveries(count)} {verb} {deed.done}.")
    if missed := len(ids) - count:
        messages.warning(request, f"Moved on meanwhile, so left alone: {_deliveries(missed)}.")


def _told(request: HttpRequest, deed: Deed, chosen: QuerySet[Delivery]) -> dict[str, Any]:
    """What is asked about those chosen. To count very many writes a job, so it has to be sent."""
    is_reroute = deed is REROUTE
    rows = chosen if is_reroute else queue.reachable(deed.action, chosen)
    most = REROUTED_AT_ONCE if is_reroute else AT_ONCE
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[: most + 1])
    if len(ids) > most and request.method != "POST":
        return {"is_uncounted": True, "most": most, "whose": _whose(request)}
    if is_reroute:
        return _asking_where(request, chosen, ids)
    return _asking(request, deed, chosen, ids)


def _whose(request: HttpRequest) -> list[tuple[str, str]]:
    """Whose deliveries were meant, as _choice reads it."""
    return [(name, request.GET[name]) for name in WHOSE if name in request.GET]


def _asking(
    request: HttpRequest, deed: Deed, chosen: QuerySet[Delivery], ids: list[UUID]
) -> dict[str, Any]:
    """What the action reaches of those chosen, and why it leaves the others; many become a job."""
    reached = queue.reachable(deed.action, chosen).order_by("pk")
    is_long = len(ids) > AT_ONCE
    count = _drafted(request, deed, reached) if is_long else {"ids": _joined(ids)}
    rest = chosen.exclude(pk__in=reached.order_by().values("pk"))
    refused = rest.select_related("message").order_by("-pk")[:REFUSED_SHOWN]
    return {
        **_counted(deed, ids),
        **count,
        "left": _by_state(rest),
        "refused": [(row, why_not(deed.action, row)) for row in refused],
    }


def _drafted(request: HttpRequest, deed: Deed, reached: QuerySet[Delivery]) -> dict[str, Any]:
    """A job that names each of them, for as long as its question stands."""
    job = draft_deed(deed.action, reached, title=deed.title, actor=actor_of(request))
    count = sum(len(ids) for ids in job.items.values_list("payload__ids", flat=True).iterator())
    describe(job, title=f"{deed.title}: {_deliveries(count)}")
    return {**_drafted_before(job), "count": count}


def _drafted_before(job: Job) -> dict[str, Any]:
    """What a job says of itself, whose deliveries were counted when it was drafted."""
    return {
        "is_counted": True,
        "job": job,
        "ids": "",
        "count": job.total,
        "heading": job.title,
        "is_longer": True,
    }


def _asking_where(
    request: HttpRequest, chosen: QuerySet[Delivery], ids: list[UUID]
) -> dict[str, Any]:
    """The form for a goal; with one, which place each delivery takes and why the others do not."""
    form = _goal_form(request, chosen)
    if len(ids) > REROUTED_AT_ONCE:
        return _rerouted_by_workers(draft_reroute(chosen, actor=actor_of(request)), form)
    context = {"goal_form": form, "all_ids": _joined(ids), "asked_about": _first(ids)}
    context |= {"asked": _deliveries(len(ids)), "is_more": len(ids) > SHOWN}
    goal = form.read() if form.is_bound else None
    if goal is None:
        return context
    try:
        turnoffs = plan(chosen.filter(pk__in=ids), goal)
    except LookupFailed:
        form.add_error(None, NO_ANSWER)
        return context
    fit = [each for each in turnoffs if each.places]
    refused = [(each.delivery, each.refusal) for each in turnoffs if not each.places]
    return {
        **context,
        **_counted(REROUTE, [each.delivery.pk for each in fit]),
        "goal": goal,
        "sample": [(each.delivery, each.where) for each in fit[:SHOWN]],
        "left": _deliveries(len(refused)) if refused else "",
        "refused": refused[:REFUSED_SHOWN],
    }


def _rerouted_by_workers(job: Job, form: GoalForm) -> dict[str, Any]:
    """The form for a goal of very many, which a job names already."""
    return {"goal_form": form, "job": job, "is_capped": job.total == MOST, "most": MOST}


def _goal_form(request: HttpRequest, chosen: QuerySet[Delivery]) -> GoalForm:
    tenants = set(chosen.order_by().values_list("tenant", flat=True).distinct())
    return GoalForm(request.POST if "goal" in request.POST else None, tenants=tenants)


def _first(ids: Collection[UUID]) -> QuerySet[Delivery]:
    return Delivery.objects.filter(pk__in=list(ids)[:SHOWN]).order_by("pk")


def _counted(deed: Deed, ids: Collection[UUID]) -> dict[str, Any]:
    return {
        "is_counted": True,
        "count": len(ids),
        "heading": f"{deed.title}: {_deliveries(len(ids))}",
        "sample": [(row, "") for row in _first(ids)],
        "is_longer": len(ids) > SHOWN,
        "ids": _joined(ids),
    }


def _choice(rows: QuerySet[Delivery], deed: Deed, sent: Any) -> QuerySet[Delivery]:
    """Those named, or all that the deed is for of a tenant or of a destination."""
    wanted = rows.filter(state__in=REACHED[deed.action])
    if "ids" in sent:
        return rows.filter(pk__in=_parse(sent["ids"]))
    if "lane" in sent:
        return in_lane(wanted, sent["lane"])
    return (
        wanted.filter(tenant=sent["tenant"]) if sent.get("tenant", "").isdecimal() else rows.none()
    )


def _origin(sent: Any) -> Origin:
    """Lists are chosen by name, so that no page leads elsewhere."""
    name = sent.get("list", "")
    return Origin(name if name in LISTS else "", sent.get("filters", ""))


def _joined(ids: Iterable[UUID]) -> str:
    return ",".join(map(str, ids))


def _parse(text: str) -> list[UUID]:
    try:
        return [UUID(part) for part in text.split(",") if part]
    except ValueError as error:
        raise SuspiciousOperation("not the id of a delivery") from error


def _by_state(rest: QuerySet[Delivery]) -> str:
    """How many of those chosen stay as they are, by state; empty where none does."""
    counts = rest.order_by().values_list("state").annotate(Count("pk")).order_by("state")
    return get_text_list([f"{count:,} {state}" for state, count in counts], "and")


def _deliveries(count: int) -> str:
    return "1 delivery" if count == 1 else f"{count:,} deliveries"
