"""Mail found by a reference to it: what stands in a log, in a bounce, or on a delivered message."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from gateway.directory import platform
from gateway.models import Delivery, Message, RoutingRecord
from gateway.routing import srs
from gateway.routing.address import fold
from gateway.search.question import Question
from gateway.search.sight import Sight

RECORDS = 20
MESSAGES = 20
KEYS = 10
MESSAGE_ID, DETAIL = "Message-ID", "Correlation token"


@dataclass(frozen=True, slots=True)
class Trail:
    """Records that a reference led to, the newest first, and what kind of reference it is."""

    how: str
    records: list[RoutingRecord]

    @property
    def is_ours(self) -> bool:
        """Whether we made the reference. A sender's own may be anything, so it says nothing of
        what else the text may be.
        """
        return self.how not in (MESSAGE_ID, DETAIL)


def find_trails(question: Question, sight: Sight) -> list[Trail]:
    """What the text refers to, read every way it can be; each record once."""
    trails: list[Trail] = []
    seen: set[UUID] = set()
    for how, rows in _ways(question, sight.records()):
        fresh = [record for record in rows[:RECORDS] if record.pk not in seen]
        seen.update(record.pk for record in fresh)
        if fresh:
            trails.append(Trail(how, fresh))
    return trails


def _ways(question: Question, records: QuerySet[Any]) -> Iterator[tuple[str, QuerySet[Any]]]:
    if question.identifier:
        yield "Delivery", records.filter(pk__in=_records_of_delivery(question.identifier))
        yield "Routing record", records.filter(pk=question.identifier)
        yield "Message", records.filter(message=question.identifier)
    elif question.word and "@" not in question.word:
        yield "Queue id", records.filter(queue_id=question.word)
        yield DETAIL, records.filter(detail=fold(question.word))
    if question.message_ids:
        yield MESSAGE_ID, records.filter(message__in=_messages_called(question.message_ids))
    if delivery_id := _opaque(question):
        yield "Return path", records.filter(pk__in=_records_of_delivery(delivery_id))


def _records_of_delivery(delivery_id: UUID) -> list[Any]:
    return list(Delivery.objects.filter(pk=delivery_id).values_list("record_id", flat=True))


def _messages_called(message_ids: tuple[str, ...]) -> list[Any]:
    rows = Message.objects.filter(message_id__in=message_ids).order_by("-id")
    return list(rows.values_list("pk", flat=True)[:MESSAGES])


def _opaque(question: Question) -> UUID | None:
    """The delivery that an opaque return path of ours names; None where it is none."""
    address, ours = question.address, platform()
    if address is None or address.domain != ours.bounce_domain:
        return None
    if srs.is_opaque(address.local_part):
        with suppress(srs.SrsError):
            return srs.read_opaque(address.local_part, secrets=ours.srs_secrets)
    return None


def recipients_beginning(text: str, sight: Sight) -> list[str]:
    """Recipients that mail came for lately, in order, each once: a step in the index for each.

    Where the database sorts text otherwise than by code points, some may be left out.
    """
    rows = sight.rows(RoutingRecord).filter(key__startswith=text, key__lt=f"{text}\U0010ffff")
    keys = rows.order_by("key").values_list("key", flat=True)
    found: list[str] = []
    after = keys.filter(key__gte=text)
    while len(found) < KEYS and (key := after.first()):
        found.append(key)
        after = keys.filter(key__gt=key)
    return found
