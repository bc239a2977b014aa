"""Deliveries and their attempts: read-only; what the other side said stands as it was said."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesDropdownFilter,
    DropdownFilter,
)
from unfold.decorators import display

from gateway.admin.filters import WaitingFilter, find_deliveries
from gateway.admin.records import ReadOnlyInline
from gateway.admin.shown import STATE_COLOURS, badge, explain_url, link
from gateway.models import Attempt, Delivery
from tenants.admin.base import ReadOnlyAdmin
from tenants.models.target import kind_choices

OUTCOMES = {"delivered": "success", "deferred": "warning", "failed": "danger"}


class KindFilter(DropdownFilter):
    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return kind_choices()

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class AttemptInline(ReadOnlyInline):
    model = Attempt
    fields = ("number", "started_at", "finished_at", "outcome_label", "remote", "reply")
    readonly_fields = fields
    show_change_link = False

    @display(description="outcome")
    def outcome_label(self, attempt: Attempt) -> str:
        return badge(attempt.outcome, OUTCOMES.get(attempt.outcome, "default"))


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "where",
        "kind",
        "state_label",
        "attempts_made",
        "next_attempt_at",
        "said",
        "tenant_link",
    )
    list_display_links = ("created_at",)
    list_select_related = ("tenant",)
    list_filter = (
        ("state", ChoicesDropdownFilter),
        WaitingFilter,
        KindFilter,
        ("tenant", AutocompleteSelectFilter),
    )
    search_fields = ("record__key",)
    search_help_text = "Queue id, Message-ID, or the beginning of a recipient"
    ordering = ("-id",)
    sortable_by = ()
    inlines = (AttemptInline,)
    change_form_outer_before_template = "admin/panel/record_links.html"
    empty_hint = "Each place an accepted message goes to is one delivery, listed here."
    fieldsets = (
        (
            "State",
            {
                "fields": (
                    "state_label",
                    "attempts_made",
                    "crashes",
                    "next_attempt_at",
                    "lease_until",
                    "settled_at",
                    "last_reply",
                )
            },
        ),
        (
            "Where it goes",
            {
                "fields": (
                    "kind",
                    "recipient",
                    "destination",
                    "hop_link",
                    "rewrites_sender",
                    "null_sender",
                )
            },
        ),
        ("What it is about", {"fields": ("record_link", "message_link", "tenant_link", "id")}),
    )

    def get_object(self, request: HttpRequest, *args: Any) -> Any:
        delivery = super().get_object(request, *args)
        if delivery is not None:
            rows = Delivery.objects.select_related("record", "message", "tenant", "hop")
            delivery = rows.get(pk=delivery.pk)
        return delivery

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        return find_deliveries(queryset, search_term), False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        delivery = self.get_object(request, object_id)
        context = extra_context or {}
        if delivery is not None:
            record = delivery.record
            url = explain_url(record.recipient, record.sender, record.declared_octets)
            context = {"explain_url": url, **context}
        return super().change_view(request, object_id, form_url, context)

    @display(description="state")
    def state_label(self, delivery: Delivery) -> str:
        return badge(delivery.get_state_display(), STATE_COLOURS[delivery.state])

    @display(description="to")
    def where(self, delivery: Delivery) -> str:
        return delivery.recipient or delivery.destination or delivery.kind

    @display(description="last reply")
    def said(self, delivery: Delivery) -> str:
        text = delivery.last_reply
        return f"{text[:80]}…" if len(text) > 80 else text or "—"

    @display(description="tenant")
    def tenant_link(self, delivery: Delivery) -> str:
        return link(delivery.tenant)

    @display(description="next hop")
    def hop_link(self, delivery: Delivery) -> str:
        return link(delivery.hop)

    @display(description="routing record")
    def record_link(self, delivery: Delivery) -> str:
        return link(delivery.record)

    @display(description="message")
    def message_link(self, delivery: Delivery) -> str:
        return link(delivery.message)
