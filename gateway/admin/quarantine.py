"""Quarantine: what is kept back, and why; released, rerouted, given up, by reason, one or many."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import AutocompleteSelectFilter
from unfold.decorators import display

from gateway import trail
from gateway.admin.delivery import DeliveryAdmin
from gateway.admin.event import links_to
from gateway.admin.filters import DestinationFilter, KeptBackFilter, KeptEnvironmentFilter
from gateway.admin.interventions import InterventionMixin
from gateway.admin.shown import link
from gateway.models import Delivery, Intervention, Quarantined

KEPT_BACK = (Delivery.State.HELD, Delivery.State.QUARANTINED)


@admin.register(Quarantined)
class QuarantineAdmin(DeliveryAdmin):
    list_display = ("page", "state_label", "why", "verdict", "tenant_link", "message_link", "since")
    list_display_links = None
    list_filter = (
        KeptBackFilter,
        ("tenant", AutocompleteSelectFilter),
        ("hop", AutocompleteSelectFilter),
        DestinationFilter,
        KeptEnvironmentFilter,
    )
    list_select_related = ("tenant", "record", "message")
    list_name = "quarantine"
    actions = ("release", "reroute", "fail")
    message_link = links_to("message")
    empty_hint = (
        "Deliveries stand here that ended their worker three times, that sender authentication or "
        "the content filter held, or that somebody holds. Nothing is kept back now."
    )

    def get_urls(self) -> list[Any]:
        """Deeds are asked about and done under the deliveries' own addresses."""
        return super(InterventionMixin, self).get_urls()

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        kept = super().get_queryset(request).filter(state__in=KEPT_BACK)
        return kept.prefetch_related("interventions")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("gateway.view_delivery")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    @display(description="delivery")
    def page(self, delivery: Delivery) -> str:
        return link(delivery, f"{delivery.record.recipient} → {self.where(delivery)}")

    @display(description="why")
    def why(self, delivery: Delivery) -> str:
        return why(delivery)

    @display(description="sender checks and filter")
    def verdict(self, delivery: Delivery) -> str:
        said = [*trail.checks_of(delivery.record), trail.verdict_of(delivery.record)]
        return ", ".join(filter(None, said)) or "—"

    @display(description="accepted")
    def since(self, delivery: Delivery) -> Any:
        return delivery.created_at


def why(delivery: Delivery) -> str:
    """Why a delivery is kept back: what crashed, who held it, or which policy did."""
    if delivery.state == Delivery.State.QUARANTINED:
        return (
            f"its worker ended {delivery.crashes} times: {delivery.last_reply or 'nothing known'}"
        )
    held = [
        each for each in delivery.interventions.all() if each.action == Intervention.Action.HOLD
    ]
    if held:
        last = max(held, key=lambda each: each.at)
        return f"held by {last.actor}: {last.reason or 'no reason given'}"
    return delivery.last_reply or "held by a policy"
