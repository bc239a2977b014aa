"""Deliveries, with the attempts at them and the interventions of operators, both read-only.

What the other side said stands as it was said.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.timezone import localtime
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from gateway.admin.event import DecidedAdmin, DeliveryColumns, ReadOnlyInline, links_to
from gateway.admin.filters import (
    AnyDestinationFilter,
    DeliveryEnvironmentFilter,
    DomainFilter,
    HopFilter,
    KindFilter,
    WaitingFilter,
    find_deliveries,
)
from gateway.admin.interventions import DeedsMixin
from gateway.admin.shown import badge
from gateway.models import Attempt, Delivery, Intervention, RoutingRecord

OUTCOMES = {"delivered": "success", "deferred": "warning", "failed": "danger"}


class PartInline(ReadOnlyInline):
    """A part of the delivery: whoever may see that may see this."""

    show_change_link = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("gateway.view_delivery")


class InterventionInline(PartInline):
    model = Intervention
    fields = ("at", "action", "from_state", "by", "reason", "detail")
    readonly_fields = fields

    @display(description="by")
    def by(self, intervention: Intervention) -> str:
        return f"{intervention.actor} ({intervention.surface})"


class AttemptInline(PartInline):
    model = Attempt
    fields = ("number", "started_at", "finished_at", "outcome_label", "remote", "reply")
    readonly_fields = fields

    @display(description="outcome")
    def outcome_label(self, attempt: Attempt) -> str:
        return badge(attempt.outcome, OUTCOMES.get(attempt.outcome, "default"))


@admin.register(Delivery)
class DeliveryAdmin(DeliveryColumns, DeedsMixin, DecidedAdmin):
    list_display = (
        "created_at",
        "where",
        "state_label",
        "tenant_link",
        "attempts",
        "next_attempt",
        "said",
    )
    list_display_links: Any = ("created_at",)
    list_filter: Any = (
        ("state", ChoicesDropdownFilter),
        WaitingFilter,
        KindFilter,
        ("hop", HopFilter),
        AnyDestinationFilter,
        ("tenant", AutocompleteSelectFilter),
        ("record__domain", DomainFilter),
        DeliveryEnvironmentFilter,
    )
    search_fields = ("record__key",)
    search_help_text = "Queue id, Message-ID, or the beginning of a recipient"
    inlines = (InterventionInline, AttemptInline)
    empty_hint = "Each place an accepted message goes to is one delivery, listed here."
    fieldsets = (
        (
            "State",
            {
                "fields": (
                    "state_label",
                    "attempts_made",
                    "crashes",
                    "next_attempt",
                    "tried_since",
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
    page_relations = ("record", "message", "tenant", "hop")
    record_link = links_to("record", "routing record")
    hop_link = links_to("hop", "next hop")
    find = staticmethod(find_deliveries)

    def record_of(self, event: Delivery) -> RoutingRecord:
        return event.record

    @display(description="attempts")
    def attempts(self, delivery: Delivery) -> int:
        return delivery.attempts_made

    @display(description="next attempt")
    def next_attempt(self, delivery: Delivery) -> str | None:
        """A dash where none is due."""
        if delivery.state not in (Delivery.State.PENDING, Delivery.State.DEFERRED):
            return None
        return localtime(delivery.next_attempt_at).strftime("%Y-%m-%d %H:%M:%S")

    @display(description="last reply")
    def said(self, delivery: Delivery) -> str:
        text = delivery.last_reply
        return f"{text[:80]}…" if len(text) > 80 else text or "—"
