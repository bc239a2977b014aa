"""How the data plane's pages show things: links to rows that may be gone, sizes, times."""

from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode

from gateway.models import RoutingRecord
from gateway.routing.replies import Reply

STATE_COLOURS = {
    "pending": "info",
    "sending": "info",
    "deferred": "warning",
    "delivered": "success",
    "failed": "danger",
    "quarantined": "danger",
    "held": "warning",
}


def link(row: Any, text: str = "") -> str:
    """A link to the row's own page; a dash where it is gone."""
    if row is None:
        return "—"
    return format_html(
        '<a class="panel-link" href="{}">{}</a>', row.get_absolute_url(), text or row
    )


def badge(text: str, colour: str) -> str:
    """A state as a coloured label; Unfold draws its own in lists alone."""
    return format_html('<span class="panel-label panel-label-{}">{}</span>', colour, text)


def reason_words(reason: str) -> str:
    """A reply's reason, as it is spoken."""
    return reason.replace("-", " ")


def null_sender(sender: str) -> str:
    return sender or "<>"


def explain_url(recipient: str, sender: str = "") -> str:
    """Explain, pre-filled."""
    query = {"recipient": recipient, "sender": sender}
    return f"{reverse('admin:explain')}?{urlencode(query)}"


def replay_url(record: RoutingRecord) -> str:
    """Explain, pre-filled with a record's envelope, to be compared with what was said then."""
    return f"{reverse('admin:explain')}?record={record.pk}"


def reply_colour(reply: Reply) -> str:
    """Green for accepted, amber for later, red for never."""
    if reply.is_accepted:
        return "success"
    return "warning" if reply.is_temporary else "danger"
