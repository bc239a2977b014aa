"""Routing records and messages: read-only, newest first, with trace and what came of each."""

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.text import slugify
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import display

from gateway.admin.event import (
    DecidedAdmin,
    DeliveryColumns,
    EventAdmin,
    ReadOnlyInline,
    links_to,
)
from gateway.admin.filters import (
    ReasonFilter,
    ReceivedFilter,
    TimeFilter,
    find_messages,
    find_records,
)
from gateway.admin.shown import badge, link, null_sender
from gateway.models import Delivery, Message, RoutingRecord
from tenants.octets import print_octets

# Steps of a trace that an inspection of the sender leaves.
CHECKS = ("SPF", "DKIM", "DMARC")


class RecordInline(ReadOnlyInline):
    model = RoutingRecord
    fields = ("page", "rule", "reply")
    readonly_fields = fields
    verbose_name_plural = "recipients"

    @display(description="recipient")
    def page(self, record: RoutingRecord) -> str:
        return link(record, record.recipient)


class DeliveryInline(DeliveryColumns, ReadOnlyInline):
    model = Delivery
    fields = ("page", "kind", "state_label", "attempts_made", "last_reply")
    readonly_fields = fields

    @display(description="delivery")
    def page(self, delivery: Delivery) -> str:
        return link(delivery, self.where(delivery))


@admin.register(RoutingRecord)
class RoutingRecordAdmin(DecidedAdmin):
    list_display = ("at", "recipient", "from_whom", "answer", "reply", "tenant_link", "queue_id")
    list_display_links = ("at",)
    list_filter = (
        ("accepted", BooleanRadioFilter),
        ReasonFilter,
        ("tenant", AutocompleteSelectFilter),
        TimeFilter,
    )
    search_fields = ("key",)
    search_help_text = "Beginning of a recipient, a queue id or a Message-ID"
    inlines = (DeliveryInline,)
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
                    ("results",),
                    ("queue_id", "token"),
                )
            },
        ),
        ("What it is about", {"fields": (("tenant_link", "domain_link"), "address_link")}),
    )
    page_relations = ("tenant", "domain", "address", "message")
    domain_link = links_to("domain")
    address_link = links_to("address")
    find = staticmethod(find_records)

    def record_of(self, event: RoutingRecord) -> RoutingRecord:
        return event

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

    @display(description="sender checks")
    def results(self, record: RoutingRecord) -> str:
        """What SPF, DKIM and DMARC came to; the trace says why."""
        found = [f"{name} {outcome}" for name, outcome, _ in record.trace if name in CHECKS]
        return ", ".join(found) or "not asked for"

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
class MessageAdmin(EventAdmin):
    list_display = ("received_at", "queue_id", "from_whom", "client", "size", "message_id")
    list_display_links = ("received_at", "queue_id")
    list_filter = (ReceivedFilter,)
    search_fields = ("queue_id",)
    search_help_text = "Queue id, Message-ID, or the beginning of a recipient"
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
    find = staticmethod(find_messages)

    @display(description="sender")
    def from_whom(self, message: Message) -> str:
        return null_sender(message.sender)

    @display(description="size")
    def size(self, message: Message) -> str:
        return print_octets(message.size_octets)
