"""What stands in messages, for staff: no octets leave here without a row that says who and why."""

from django.db import transaction
from django.db.models.functions import Now

from gateway.models import BodyReading, Message
from gateway.pieces import octets_of
from tenants.changes import Actor

# More is not read for a page; a download has all of it.
READ_OCTETS = 32 * 1000 * 1000

Kind = BodyReading.Kind


def note_reading(message: Message, kind: str, *, actor: Actor, reason: str) -> BodyReading:
    """Write down that somebody is about to look at a message, before anything is shown."""
    return BodyReading.objects.create(
        message=message,
        queue_id=message.queue_id,
        at=Now(),
        kind=kind,
        actor=actor.label,
        user_id=actor.user.pk if actor.user else None,
        client=actor.client or None,
        request_id=actor.request_id,
        reason=reason,
    )


def download(message: Message, *, actor: Actor, reason: str) -> bytes | None:
    """The whole message, written down together; None, and nothing written, once it is purged."""
    with transaction.atomic():
        octets = octets_of(message)
        if octets is not None:
            note_reading(message, Kind.DOWNLOAD, actor=actor, reason=reason)
    return octets
