"""What the pages of events share: newest first, read-only, with the rows they name and Explain."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from gateway.admin.shown import STATE_COLOURS, badge, link, replay_url
from gateway.models import Delivery, RoutingRecord
from tenants.admin.base import ReadOnlyAdmin


def links_to(relation: str, description: str = "") -> Callable[[Any, Any], str]:
    """A column that leads to the row an event names; a dash where that row is gone."""

    @display(description=description or relation)
    def column(_admin: Any, event: Any) -> str:
        return link(getattr(event, relation))

    return column


class EventAdmin(ReadOnlyAdmin):
    """A list and a page of one kind of event; its page needs no query for `page_relations`."""

    ordering = ("-id",)
    sortable_by = ()
    page_relations: tuple[str, ...] = ()

    @staticmethod
    def find(queryset: QuerySet, term: str) -> QuerySet:
        """The events that a search means."""
        raise NotImplementedError

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        return self.find(queryset, search_term), False

    def get_object(self, request: HttpRequest, *args: Any) -> Any:
        """With the rows that it names; one that is gone reads as None."""
        event = super().get_object(request, *args)
        if event is None or not self.page_relations:
            return event
        return self.model.objects.select_related(*self.page_relations).get(pk=event.pk)


class DecidedAdmin(EventAdmin):
    """An event that one decision led to: `record_of` finds it, and Explain repeats it."""

    list_select_related: tuple[str, ...] = ("tenant",)
    change_form_outer_before_template = "admin/panel/record_links.html"
    tenant_link = links_to("tenant")
    message_link = links_to("message")

    def record_of(self, event: Any) -> RoutingRecord:
        raise NotImplementedError

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        url = replay_url(self.record_of(row))
        return {**super().page_context(request, row), "replay_url": url}


class ReadOnlyInline(TabularInline):
    """Rows shown beside another; nothing can be changed."""

    extra = 0
    can_delete = False
    show_change_link = True
    per_page = 50
    hide_title = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class DeliveryColumns:
    """Where a delivery goes and how it stands, in lists and below other rows."""

    @display(description="to")
    def where(self, delivery: Delivery) -> str:
        return delivery.recipient or delivery.destination or delivery.kind

    @display(description="state")
    def state_label(self, delivery: Delivery) -> str:
        return badge(delivery.get_state_display(), STATE_COLOURS[delivery.state])
