"""Reroute: what waits or failed goes to another place of the same tenant, and never there twice.

A delivery takes its new place in its own row, under the lock and with the fence raised, so that
no worker sends it to the former one; where the new way has several places, each further one is a
delivery of its own. A place that the message goes to already is left out.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from gateway import bell
from gateway.delivery.actions import Action, end_outages, intervention, lock_messages, why_not
from gateway.directory import read_facts
from gateway.ids import uuid7
from gateway.message_rows import place_of
from gateway.models import Delivery, Intervention
from gateway.routing.address import Address, AddressError
from gateway.routing.decision import Decision, Destination
from gateway.routing.facts import Facts, Hop, Session
from gateway.routing.resolve import resolve
from tenants.changes import Actor
from tenants.models import Mailbox

State = Delivery.State

OF_ANOTHER_TENANT = "It belongs to another tenant."
THERE_ALREADY = "Its message goes there already."

# What of a delivery is another once it is rerouted.
CHANGED = (
    "target",
    "hop",
    "kind",
    "recipient",
    "destination",
    "rewrites_sender",
    "null_sender",
    "state",
    "next_attempt_at",
    "tried_since",
    "settled_at",
    "crashes",
    "fence",
)

Place = tuple[str, str, int | None]
# The places that a delivery would go to. Raises Unfit.
Way = Callable[[Delivery], Sequence[Destination]]


class Unfit(Exception):
    """Why a delivery cannot go to a goal, in a sentence."""


class Goal(Protocol):
    """Where deliveries are to go instead; `str` is what an operator reads."""

    def way_of(self, deliveries: Collection[Delivery], /) -> Way:
        """The way of these deliveries, with all that has to be looked up. Raises LookupFailed."""
        ...


@dataclass(frozen=True, slots=True)
class ToMailbox:
    """One mailbox of the tenant, at the next hop that holds it."""

    mailbox: Mailbox

    def __str__(self) -> str:
        return f"mailbox {self.mailbox.address}"

    def way_of(self, _deliveries: Collection[Delivery], /) -> Way:
        """See Goal."""
        return self._places_for

    def _places_for(self, delivery: Delivery) -> Sequence[Destination]:
        if self.mailbox.tenant_id != delivery.tenant_id:
            raise Unfit(OF_ANOTHER_TENANT)
        row = self.mailbox.next_hop
        hop = Hop(row.pk, row.protocol, row.host, row.port, row.tls)
        address = Address.parse(self.mailbox.address)
        return [Destination("mailbox", recipient=address, hop=hop, mailbox_id=self.mailbox.pk)]


@dataclass(frozen=True, slots=True)
class ToAddress:
    """An address of the tenant, and on as that routes now; none: the one that was written to."""

    address: Address | None = None

    def __str__(self) -> str:
        return f"address {self.address}" if self.address else "where its address routes now"

    def way_of(self, deliveries: Collection[Delivery], /) -> Way:
        """See Goal; one look-up for all, and each pair of recipient and sender resolved once."""
        parsed = map(_parsed, {self._asked(each) for each in deliveries})
        facts = read_facts([address for address in parsed if address])
        return partial(self._places_for, decide=cache(partial(_decide, facts)))

    def _asked(self, delivery: Delivery) -> str:
        return delivery.record.recipient if self.address is None else str(self.address)

    def _places_for(
        self, delivery: Delivery, *, decide: Callable[[str, str], Decision]
    ) -> Sequence[Destination]:
        asked = self._asked(delivery)
        decision = decide(asked, delivery.message.sender)
        if not decision.reply.is_accepted:
            raise Unfit(f"{asked} answers {decision.reply}")
        if decision.tenant_id != delivery.tenant_id:
            raise Unfit(OF_ANOTHER_TENANT)
        return decision.destinations


def _parsed(text: str) -> Address | None:
    try:
        return Address.parse(text)
    except AddressError:
        return None  # told where it is decided


def _decide(facts: Facts, recipient: str, sender: str) -> Decision:
    try:
        address = Address.parse(recipient)
        session = Session(Address.parse(sender) if sender else None)
    except AddressError as error:
        raise Unfit(f"{recipient} cannot be resolved: {error}.") from error
    return resolve(address, session, facts)


@dataclass(frozen=True, slots=True)
class Turnoff:
    """What a goal means for one delivery: the places it takes, or why it stays as it is."""

    delivery: Delivery
    places: tuple[Destination, ...] = ()
    refusal: str = ""

    @property
    def where(self) -> str:
        """The places in words."""
        return ", ".join(map(describe, self.places))


def plan(rows: "QuerySet[Delivery]", goal: Goal) -> list[Turnoff]:
    """What rerouting these deliveries would do now, in the order in which workers lock them.

    Raises LookupFailed. Cost: two queries, and one look-up where the goal is an address.
    """
    found = list(rows.select_related("record", "message").order_by("pk"))
    taken = _taken_places({row.message_id for row in found})
    way = goal.way_of(found)
    return [_turnoff(row, way, taken[row.message_id]) for row in found]


def reroute(ids: Collection[UUID], goal: Goal, *, actor: Actor, reason: str) -> int:
    """Send deliveries to a goal, at once; how many took another way.

    Raises LookupFailed, and nothing is done.
    """
    return sum(bool(each.places) for each in turn(ids, goal, actor=actor, reason=reason))


def turn(ids: Collection[UUID], goal: Goal, *, actor: Actor, reason: str) -> list[Turnoff]:
    """As reroute; what became of each delivery, those that stay as they are among them."""
    with transaction.atomic():
        lock_messages(ids)
        turnoffs = plan(Delivery.objects.filter(pk__in=ids).select_for_update(of=("self",)), goal)
        turned = [each for each in turnoffs if each.places]
        _write(turned, goal, actor=actor, reason=reason)
        end_outages([each.delivery.pk for each in turned])
        transaction.on_commit(bell.ring)
    return turnoffs


def describe(place: Destination) -> str:
    """A place in an operator's words."""
    whom = f"{place.kind} {place.recipient or ''}".strip()
    return f"{whom} via {place.hop.host}:{place.hop.port}" if place.hop else whom


def _taken_places(messages: Collection[UUID]) -> dict[UUID, set[Place]]:
    """Where each message was delivered, or will be."""
    taken: dict[UUID, set[Place]] = {message: set() for message in messages}
    rows = Delivery.objects.filter(message__in=messages).exclude(state=State.FAILED)
    for row in rows.order_by().only("message", "kind", "recipient", "hop"):
        taken[row.message_id].add((row.kind, row.recipient, row.hop_id))
    return taken


def _turnoff(delivery: Delivery, way: Way, taken: set[Place]) -> Turnoff:
    """The places that are new to the message, which has them from now on."""
    if refusal := why_not(Action.REROUTE, delivery):
        return Turnoff(delivery, refusal=refusal)
    try:
        places = way(delivery)
    except Unfit as unfit:
        return Turnoff(delivery, refusal=str(unfit))
    own = delivery.kind, delivery.recipient, delivery.hop_id
    fresh = tuple(each for each in places if _key(each) not in taken | {own})
    taken.update(map(_key, fresh))
    return Turnoff(delivery, fresh, "" if fresh else THERE_ALREADY)


def _key(place: Destination) -> Place:
    return place.kind, str(place.recipient or ""), (place.hop.id or None) if place.hop else None


def _write(turnoffs: Collection[Turnoff], goal: Goal, *, actor: Actor, reason: str) -> None:
    """Change each row, add those of further places, and say who did it at every one of them."""
    rows, further, told = [], [], []
    for each in turnoffs:
        before = each.delivery.state
        detail = f"{_was(each.delivery)} → {goal}: {each.where}"[:700]
        new = [_further(each.delivery, place) for place in each.places[1:]]
        rows.append(_turned(each.delivery, each.places[0]))
        further += new
        told += [
            intervention(Action.REROUTE, pk, before, actor, reason, detail=detail)
            for pk in (each.delivery.pk, *(row.pk for row in new))
        ]
    Delivery.objects.bulk_update(rows, CHANGED)
    Delivery.objects.bulk_create(further)
    Intervention.objects.bulk_create(told)


def _was(delivery: Delivery) -> str:
    where = f"{delivery.kind} {delivery.recipient}".strip()
    return f"{where} via {delivery.destination}" if delivery.destination else where


def _turned(delivery: Delivery, place: Destination) -> Delivery:
    """The row at its new place, due now; a worker that still has it may not settle it."""
    fence: Any = F("fence") + 1
    fresh = {"state": State.PENDING, "settled_at": None, "crashes": 0, "fence": fence}
    due = {"next_attempt_at": Now(), "tried_since": Now()}
    for name, value in {**place_of(place), **fresh, **due}.items():
        setattr(delivery, name, value)
    return delivery


def _further(delivery: Delivery, place: Destination) -> Delivery:
    """One more delivery of the same message for the same recipient."""
    return Delivery(
        id=uuid7(),
        record_id=delivery.record_id,
        message_id=delivery.message_id,
        tenant_id=delivery.tenant_id,
        mark=delivery.mark,
        dsn=delivery.dsn,
        next_attempt_at=Now(),
        tried_since=Now(),
        created_at=delivery.created_at,
        **place_of(place),
    )
