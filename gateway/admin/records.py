"""Routing records and messages: read-only, newest first, with trace and what came of each."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.text import slugify
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import display

from gateway.admin.filters import (
    ReasonFilter,
    ReceivedFilter,
    TimeFilter,
    find_messages,
    find_records,
)
from gateway.admin.shown import STATE_COLOURS, badge, explain_url, link, null_sender
from gateway.models import Delivery, Message, RoutingRecord
from tenants.admin.base import ReadOnlyAdmin
from tenants.octets import print_octets


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


class RecordInline(ReadOnlyInline):
    model = RoutingRecord
    fields = ("page", "rule", "reply")
    readonly_fields = fields
    verbose_name_plural = "recipients"

    @display(description="recipient")
    def page(self, record: RoutingRecord) -> str:
        return link(record, record.recipient)


class DeliveryInline(ReadOnlyInline):
    model = Delivery
    fields = ("page", "kind", "state_label", "attempts_made", "last_reply")
    readonly_fields = fields

    @display(description="delivery")
    def page(self, delivery: Delivery) -> str:
        return link(delivery, delivery.recipient or delivery.destination or delivery.kind)

    @display(description="state")
    def state_label(self, delivery: Delivery) -> str:
        return badge(delivery.get_state_display(), STATE_COLOURS[delivery.state])


@admin.register(RoutingRecord)
class RoutingRecordAdmin(ReadOnlyAdmin):
    list_display = ("at", "recipient", "from_whom", "answer", "reply", "tenant_link", "queue_id")
    list_display_links = ("at",)
    list_select_related = ("tenant",)
    list_filter = (
        ("accepted", BooleanRadioFilter),
        ReasonFilter,
        ("tenant", AutocompleteSelectFilter),
        TimeFilter,
    )
    search_fields = ("key",)
    search_help_text = "Beginning of a recipient, a queue id or a Message-ID"
    ordering = ("-id",)
    sortable_by = ()
    inlines = (DeliveryInline,)
    change_form_outer_before_template = "admin/panel/record_links.html"
    empty_hint = (
        "Each recipient that the gateway decides leaves a record here. Send a message to it."
    )
    fieldsets = (
        (
            "Answer",
            {"fields": (("reply_line", "answer"), ("rule", "strategy"), ("reason", "detail"))},
        ),
        ("Trace", {"fields": ("steps",)}),
        (
            "Envelope",
            {
                "fields": (
                    ("at", "client"),
                    ("from_whom", "recipient"),
                    ("declared", "message_link"),
                    ("queue_id", "token"),
                )
            },
        ),
        ("What it is about", {"fields": (("tenant_link", "domain_link"), "address_link")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).select_related("tenant")

    def get_object(self, request: HttpRequest, *args: Any) -> Any:
        record = super().get_object(request, *args)
        if record is not None:
            rows = RoutingRecord.objects.select_related("tenant", "domain", "address", "message")
            record = rows.get(pk=record.pk)
        return record

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        return find_records(queryset, search_term), False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        record = self.get_object(request, object_id)
        context = extra_context or {}
        if record is not None:
            url = explain_url(record.recipient, record.sender, record.declared_octets)
            context = {"explain_url": url, **context}
        return super().change_view(request, object_id, form_url, context)

    @display(description="sender")
    def from_whom(self, record: RoutingRecord) -> str:
        return null_sender(record.sender)

    @display(description="answer")
    def answer(self, record: RoutingRecord) -> str:
        if record.accepted:
            return badge("accepted", "success")
        if record.reply.startswith("4"):
            return badge("deferred", "warning")
        return badge("refused", "danger")

    @display(description="reply")
    def reply_line(self, record: RoutingRecord) -> str:
        return format_html('<code class="panel-code">{}</code>', record.reply)

    @display(description="declared size")
    def declared(self, record: RoutingRecord) -> str:
        return "—" if record.declared_octets is None else print_octets(record.declared_octets)

    @display(description="tenant")
    def tenant_link(self, record: RoutingRecord) -> str:
        return link(record.tenant)

    @display(description="domain")
    def domain_link(self, record: RoutingRecord) -> str:
        return link(record.domain)

    @display(description="address")
    def address_link(self, record: RoutingRecord) -> str:
        return link(record.address)

    @display(description="message")
    def message_link(self, record: RoutingRecord) -> str:
        return link(record.message)

    @display(description="steps")
    def steps(self, record: RoutingRecord) -> str:
        """The trace as the gateway wrote it down: name, outcome and note of each step."""
        lines = ((slugify(outcome), name, outcome, note) for name, outcome, note in record.trace)
        step = (
            '<li class="panel-step-{}"><strong>{}</strong>: {} '
            '<span class="panel-quiet">{}</span></li>'
        )
        return format_html('<ol class="panel-steps">{}</ol>', format_html_join("", step, lines))


@admin.register(Message)
class MessageAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "queue_id", "from_whom", "client", "size", "message_id")
    list_display_links = ("received_at", "queue_id")
    list_filter = (ReceivedFilter,)
    search_fields = ("queue_id",)
    search_help_text = "Queue id, Message-ID, or the beginning of a recipient"
    ordering = ("-id",)
    sortable_by = ()
    inlines = (RecordInline, DeliveryInline)
    empty_hint = "Accepted messages are listed here."
    fieldsets = (
        (
            "Envelope",
            {"fields": ("received_at", "queue_id", "from_whom", "client", "helo", "protocol")},
        ),
        ("Message", {"fields": ("message_id", "size", "smtputf8")}),
        ("Body", {"fields": ("body_expires_on", "purged_at")}),
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        return find_messages(queryset, search_term), False

    @display(description="sender")
    def from_whom(self, message: Message) -> str:
        return null_sender(message.sender)

    @display(description="size")
    def size(self, message: Message) -> str:
        return print_octets(message.size_octets)
