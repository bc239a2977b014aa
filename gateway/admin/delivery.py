"""Deliveries and their attempts: read-only; what the other side said stands as it was said."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from gateway.admin.event import DecidedAdmin, DeliveryColumns, ReadOnlyInline, links_to
from gateway.admin.filters import KindFilter, WaitingFilter, find_deliveries
from gateway.admin.shown import badge
from gateway.models import Attempt, Delivery, RoutingRecord

OUTCOMES = {"delivered": "success", "deferred": "warning", "failed": "danger"}


class AttemptInline(ReadOnlyInline):
    model = Attempt
    fields = ("number", "started_at", "finished_at", "outcome_label", "remote", "reply")
    readonly_fields = fields
    show_change_link = False

    @display(description="outcome")
    def outcome_label(self, attempt: Attempt) -> str:
        return badge(attempt.outcome, OUTCOMES.get(attempt.outcome, "default"))


@admin.register(Delivery)
class DeliveryAdmin(DeliveryColumns, DecidedAdmin):
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
    list_filter = (
        ("state", ChoicesDropdownFilter),
        WaitingFilter,
        KindFilter,
        ("tenant", AutocompleteSelectFilter),
    )
    search_fields = ("record__key",)
    search_help_text = "Queue id, Message-ID, or the beginning of a recipient"
    inlines = (AttemptInline,)
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
    page_relations = ("record", "message", "tenant", "hop")
    record_link = links_to("record", "routing record")
    hop_link = links_to("hop", "next hop")
    find = staticmethod(find_deliveries)

    def record_of(self, event: Delivery) -> RoutingRecord:
        return event.record

    @display(description="last reply")
    def said(self, delivery: Delivery) -> str:
        text = delivery.last_reply
        return f"{text[:80]}…" if len(text) > 80 else text or "—"
