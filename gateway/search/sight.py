"""What a user may see of what is found: rows whose pages are open to them, of their tenants."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Model, Prefetch, QuerySet

from gateway.models import Delivery, RoutingRecord
from tenants.models import Address, Alias, Domain, RoleAddress
from tenants.querysets import may_view

PAGES: dict[str, type[Model]] = {Address.Kind.ALIAS: Alias, Address.Kind.ROLE: RoleAddress}
EVENTS: Any = Address.pgh_event_model  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Sight:
    """Every row that an answer shows comes through here."""

    user: Any

    @property
    def may_explain(self) -> bool:
        """Whether the user may ask what the gateway would answer."""
        return may_view(self.user, RoutingRecord)

    def rows(self, model: Any) -> QuerySet[Any]:
        """The rows of a model that belongs to tenants."""
        rows: QuerySet[Any] = model.objects.visible_to(self.user)
        return rows

    def addresses(self) -> QuerySet[Any]:
        """Aliases and role addresses, with what their lines show."""
        rows = self._visible(Address.objects.all())
        return rows.select_related("domain__tenant", "holder").prefetch_related("targets__mailbox")

    def events(self) -> QuerySet[Any]:
        """What happened to aliases and role addresses, deleted ones too."""
        return self._visible(EVENTS.objects.all())

    def records(self) -> QuerySet[Any]:
        """Routing records with their messages, and their deliveries where these may be seen."""
        deliveries = Prefetch("deliveries", self.rows(Delivery).order_by("id"))
        rows = self.rows(RoutingRecord).select_related("message")
        return rows.prefetch_related(deliveries).order_by("-id")

    def _visible(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Of addresses or their events: staff see each kind whose pages they may open."""
        if self.user.is_staff:
            kinds = [kind for kind, model in PAGES.items() if may_view(self.user, model)]
            return rows.filter(kind__in=kinds)
        return rows.filter(domain__in=Domain.objects.visible_to(self.user))
