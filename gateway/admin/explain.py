"""The Explain page: an envelope in by GET, so that every answer is a link; reply and trace out.

The same address by POST asks the next hops, too, as the gateway would. Filled in from a routing
record it is a replay: what is said now beside what was said then.
"""

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from gateway import replay
from gateway.admin import counted
from gateway.admin.facts import used_facts
from gateway.admin.graph import graph_of
from gateway.admin.shown import reply_colour
from gateway.admin.words import in_words
from gateway.explain import Explanation, explain, size_limit
from gateway.models import Delivery, RoutingRecord
from gateway.routing.decision import Step
from gateway.routing.facts import LookupFailed
from gateway.routing.replies import TROUBLE
from gateway.search.sight import Sight
from tenants.admin.forms import OctetsField
from tenants.models import Domain, Tenant
from tenants.octets import print_octets

VIEW = "gateway.view_routingrecord"
VIEW_DELIVERIES = "gateway.view_delivery"


class ExplainForm(forms.Form):
    recipient = forms.CharField(
        max_length=400,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "name@example.com"}),
        help_text="As in RCPT TO, with or without angle brackets; postmaster alone is allowed.",
    )
    sender = forms.CharField(
        max_length=400,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "<>"}),
        help_text="As in MAIL FROM; empty is the null sender <> that bounces come from.",
    )
    size = OctetsField(
        required=False,
        help_text="As declared: 25 MB, 500 kB or octets; MB is decimal. Empty: none is declared.",
    )


def explain_view(request: HttpRequest) -> HttpResponse:
    """Wrapped by the admin site, which asks for staff with a second factor."""
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    record = _record(request)
    form = ExplainForm(_envelope(request, record))
    context = {
        **admin.site.each_context(request),
        "title": "Explain",
        "subtitle": None,
        "form": form,
        **(_explained(form, request) if form.is_bound and form.is_valid() else {}),
    }
    explanation = context.get("explanation")
    context |= _compared(explanation, record, request) if record else {}
    if explanation is not None:
        context["counts"] = _counts(explanation, request.user)
        context["graph"] = graph_of(explanation, request.user)
        context["used"] = used_facts(explanation.facts, request.user) if explanation.facts else []
    request.current_app = admin.site.name
    return TemplateResponse(request, "admin/panel/explain.html", context)


def _record(request: HttpRequest) -> RoutingRecord | None:
    """The record that is replayed; None where there is none, or the envelope is another by now."""
    try:
        pk = UUID(request.GET.get("record", ""))
    except ValueError:
        return None
    rows = RoutingRecord.objects.visible_to(request.user)
    record: RoutingRecord | None = rows.select_related("message").filter(pk=pk).first()
    return record if record is not None and _is_of(request, record) else None


def _is_of(request: HttpRequest, record: RoutingRecord) -> bool:
    """Whether what is asked is still about the record's envelope."""
    asked = request.GET.get("recipient", record.recipient), request.GET.get("sender", record.sender)
    return asked == (record.recipient, record.sender)


def _envelope(request: HttpRequest, record: RoutingRecord | None) -> Any:
    """What the form is filled with; None leaves it empty."""
    if record is None or "recipient" in request.GET:
        return request.GET if "recipient" in request.GET else None
    octets = record.declared_octets
    return {
        "recipient": record.recipient,
        "sender": record.sender,
        "size": "" if octets is None else print_octets(octets),
    }


def _explained(form: ExplainForm, request: HttpRequest) -> dict[str, Any]:
    """The answer; next hops are asked only by a POST, since a link may open no connections."""
    data, asks_hops = form.cleaned_data, request.method == "POST"
    try:
        explanation = explain(data["recipient"], data["sender"], data["size"], asks_hops=asks_hops)
    except LookupFailed:
        trouble = "The directory did not answer; the gateway would defer the mail."
        return {"reply": TROUBLE, "colour": "warning", "trouble": trouble}
    if explanation.field:
        form.add_error(explanation.field, f"The gateway would answer: {explanation.reply}")
    decision = explanation.decision
    return {
        "explanation": explanation,
        "reply": explanation.reply,
        "colour": reply_colour(explanation.reply),
        "limit": print_octets(size_limit(decision)) if decision else None,
        "steps": _told(decision.trace) if decision else (),
        **_rows(explanation, Sight(request.user)),
    }


def _counts(explanation: Explanation, user: Any) -> list[tuple[str, str, str, bool]]:
    """What each counter counts, how far it is, its limit, and whether it is of what is stored."""
    names = counted.names([count.counter for count in explanation.counts], user)
    return [
        (
            names[count.counter],
            counted.total(count.counter, count.total),
            counted.total(count.counter, count.limit),
            count.is_storage,
        )
        for count in explanation.counts
    ]


def _told(trace: tuple[Step, ...]) -> list[tuple[Step, str]]:
    """Each step with its sentence, which is told the first time."""
    first = {in_words(step): at for at, step in reversed([*enumerate(trace)])}
    return [
        (step, in_words(step) if first[in_words(step)] == at else "")
        for at, step in enumerate(trace)
    ]


def _compared(
    explanation: Explanation | None, record: RoutingRecord, request: HttpRequest
) -> dict[str, Any]:
    """Then and now; a directory that failed now leaves nothing to compare."""
    if explanation is None or explanation.decision is None:
        return {"record": record}
    deliveries: Any = Delivery.objects.none()
    if request.user.has_perm(VIEW_DELIVERIES):
        deliveries = Delivery.objects.visible_to(request.user).filter(record=record)
    then, later = replay.told_then(record, deliveries)
    now = replay.told_now(explanation.decision)
    return {"record": record, "comparison": replay.compare(then, now, later)}


def _rows(explanation: Explanation, sight: Sight) -> dict[str, Any]:
    """The rows a decision was about, to link to, where the user may look at them."""
    decision = explanation.decision
    if decision is None:
        return {}
    return {
        "tenant": sight.rows(Tenant).filter(pk__in=[decision.tenant_id]).first(),
        "domain": sight.rows(Domain).filter(pk__in=[decision.domain_id]).first(),
        "address": sight.addresses().filter(pk__in=[decision.address_id]).first(),
    }
