"""Routing records and messages: read-only, newest first, with the whole trail of each."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from unfold.contrib.filters.admin import AutocompleteSelectFilter, BooleanRadioFilter
from unfold.decorators import display

from gateway import trail
from gateway.admin.body import READ, BodyMixin, readings_of
from gateway.admin.event import DecidedAdmin, EventAdmin, links_to
from gateway.admin.filters import (
    ClientFilter,
    DomainFilter,
    EventEnvironmentFilter,
    ReasonFilter,
    ReceivedFilter,
    TimeFilter,
    find_messages,
    find_records,
)
from gateway.admin.shown import badge, null_sender, reason_words
from gateway.models import Message, RoutingRecord
from tenants.octets import print_octets


def _about_body(request: HttpRequest, message: Message | None) -> dict[str, Any]:
    """Whether this user may read what stands in the message, and who did."""
    if message is None:
        return {}
    may_read = request.user.has_perm(READ) and message.purged_at is None
    return {"readings": readings_of(message), "may_read_body": may_read}


@admin.register(RoutingRecord)
class RoutingRecordAdmin(DecidedAdmin):
    list_display = ("at", "recipient", "from_whom", "answer", "reply", "tenant_link")
    list_display_links = ("at",)
    list_filter = (
        ("accepted", BooleanRadioFilter),
        ReasonFilter,
        ("tenant", AutocompleteSelectFilter),
        ("domain", DomainFilter),
        EventEnvironmentFilter,
        ClientFilter,
        TimeFilter,
    )
    search_fields = ("key",)
    search_help_text = "Beginning of a recipient, a queue id or a Message-ID"
    change_form_outer_before_template = "admin/panel/record_page.html"
    empty_hint = (
        "Each recipient that the gateway decides leaves a record here. Send a message to it."
    )
    fieldsets = (
        (
            "Answer",
            {"fields": (("reply_line", "answer"), ("rule", "strategy"), ("reason_told", "detail"))},
        ),
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

    def page_context(self, request: HttpRequest, row: RoutingRecord) -> dict[str, Any]:
        shown = trail.of_record(row, request.user)
        about = _about_body(request, shown.message)
        return {**super().page_context(request, row), "trail": shown, **about}

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

    @display(description="reason")
    def reason_told(self, record: RoutingRecord) -> str:
        return reason_words(record.reason)

    @display(description="declared size")
    def declared(self, record: RoutingRecord) -> str:
        return "—" if record.declared_octets is None else print_octets(record.declared_octets)

    @display(description="sender checks")
    def results(self, record: RoutingRecord) -> str:
        """What SPF, DKIM and DMARC came to; the trail says why."""
        return ", ".join(trail.checks_of(record)) or "not asked for"


@admin.register(Message)
class MessageAdmin(BodyMixin, EventAdmin):
    list_display = ("received_at", "queue_id", "from_whom", "client", "size", "message_id")
    list_display_links = ("received_at", "queue_id")
    list_filter = (ReceivedFilter,)
    search_fields = ("queue_id",)
    search_help_text = "Queue id, Message-ID, or the beginning of a recipient"
    change_form_outer_before_template = "admin/panel/message_page.html"
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

    def page_context(self, request: HttpRequest, row: Message) -> dict[str, Any]:
        shown = {"trail": trail.of_message(row, request.user), **_about_body(request, row)}
        return {**super().page_context(request, row), **shown}

    @display(description="sender")
    def from_whom(self, message: Message) -> str:
        return null_sender(message.sender)

    @display(description="size")
    def size(self, message: Message) -> str:
        return print_octets(message.size_octets)
