"""The Explain page: an envelope in by GET, so that every answer is a link; reply and trace out."""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from gateway.explain import Explanation, explain, size_limit
from gateway.routing.facts import LookupFailed
from gateway.routing.replies import TROUBLE, Reply
from tenants.admin.forms import OctetsField
from tenants.models import Address, Domain, Tenant
from tenants.octets import print_octets

VIEW = "gateway.view_routingrecord"


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
    asks_hops = forms.BooleanField(
        label="Ask next hops",
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
        help_text="Next hops that are asked about each recipient are asked now, as the gateway "
        "would; that takes a few seconds where one does not answer.",
    )


def explain_view(request: HttpRequest) -> HttpResponse:
    """Wrapped by the admin site, which asks for staff with a second factor."""
    if not request.user.has_perm(VIEW):
        raise PermissionDenied
    form = ExplainForm(request.GET or None)
    context = {
        **admin.site.each_context(request),
        "title": "Explain",
        "subtitle": None,
        "form": form,
        **(_explained(form) if form.is_bound and form.is_valid() else {}),
    }
    request.current_app = admin.site.name
    return TemplateResponse(request, "admin/panel/explain.html", context)


def _explained(form: ExplainForm) -> dict[str, Any]:
    data = form.cleaned_data
    try:
        explanation = explain(
            data["recipient"], data["sender"], data["size"], asks_hops=data["asks_hops"]
        )
    except LookupFailed:
        trouble = "The directory did not answer; the gateway would defer the mail."
        return {"reply": TROUBLE, "colour": "warning", "trouble": trouble}
    if explanation.field:
        form.add_error(explanation.field, f"The gateway would answer: {explanation.reply}")
    return {
        "explanation": explanation,
        "reply": explanation.reply,
        "colour": _colour(explanation.reply),
        "limit": print_octets(size_limit(explanation.decision)) if explanation.decision else None,
        **_rows(explanation),
    }


def _rows(explanation: Explanation) -> dict[str, Any]:
    """The rows a decision was about, to link to."""
    decision = explanation.decision
    if decision is None:
        return {}
    return {
        "tenant": Tenant.objects.filter(pk__in=[decision.tenant_id]).first(),
        "domain": Domain.objects.filter(pk__in=[decision.domain_id]).first(),
        "address": Address.objects.filter(pk__in=[decision.address_id]).first(),
    }


def _colour(reply: Reply) -> str:
    if reply.is_accepted:
        return "success"
    return "warning" if reply.is_temporary else "danger"
