"""What operators may do with deliveries: who did it and why is written with it, or nothing is done.

Each action reaches those deliveries alone whose state it is for, and returns how many. It raises
the fence where a worker may be sending just now, so that its outcome cannot undo what the operator
decided. What is due afterwards rings the bell. Reroute stands in rerouting.py.
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from gateway import bell
from gateway.delivery.queue import lane_of
from gateway.models import Delivery, Intervention, Message, Outage
from tenants.changes import Actor

State = Delivery.State
Action = Intervention.Action

_WAITING = (State.PENDING, State.DEFERRED)
REACHED: Mapping[str, tuple[str, ...]] = {
    Action.RETRY: (*_WAITING, State.FAILED, State.QUARANTINED),
    Action.HOLD: (*_WAITING, State.QUARANTINED),
    Action.RELEASE: (State.HELD, State.QUARANTINED),
    Action.REROUTE: (*_WAITING, State.FAILED, State.HELD, State.QUARANTINED),
    Action.FAIL: (*_WAITING, State.SENDING, State.HELD, State.QUARANTINED),
}
_NEEDING_BODY = (Action.RETRY, Action.REROUTE)
PURGED = "Its body has been purged."
# Why an action passes a delivery by, in the state that it is not for.
_PASSED_BY: Mapping[str, str] = {
    State.PENDING: "It waits to be sent, and nothing keeps it.",
    State.DEFERRED: "It waits for its next attempt, and nothing keeps it.",
    State.SENDING: "A worker is sending it just now.",
    State.DELIVERED: "It has been delivered.",
    State.FAILED: "It has failed; retry it to send it again.",
    State.QUARANTINED: "It is in quarantine.",
    State.HELD: "It is held; release it to send it.",
}


def reachable(action: str, rows: "QuerySet[Delivery]") -> "QuerySet[Delivery]":
    """Those of the rows that the action would change now; without its body nothing is sent."""
    reached = rows.filter(state__in=REACHED[action])
    if action in _NEEDING_BODY:
        reached = reached.filter(message__in=Message.objects.filter(purged_at=None))
    return reached


def why_not(action: str, delivery: Delivery) -> str:
    """Why the action would pass the delivery by, in a sentence; empty where it would reach it.

    No query where the delivery comes with its message.
    """
    if delivery.state not in REACHED[action]:
        return _PASSED_BY[delivery.state]
    is_purged = action in _NEEDING_BODY and delivery.message.purged_at is not None
    return PURGED if is_purged else ""


def retry_now(ids: Collection[UUID], *, actor: Actor, reason: str = "") -> int:
    """Make deliveries due at once; those that failed or are quarantined start afresh.

    Their days of trying count from now.
    """
    return _intervene(
        Action.RETRY,
        ids,
        actor,
        reason,
        state=State.PENDING,
        next_attempt_at=Now(),
        tried_since=Now(),
        settled_at=None,
        lease_until=None,
        crashes=0,
    )


def hold(ids: Collection[UUID], *, actor: Actor, reason: str = "") -> int:
    """Keep deliveries back until they are released."""
    return _intervene(Action.HOLD, ids, actor, reason, state=State.HELD)


def release(ids: Collection[UUID], *, actor: Actor, reason: str = "") -> int:
    """Let held deliveries and those in quarantine go on, at once.

    Their days of trying count from now.
    """
    due = {"next_attempt_at": Now(), "tried_since": Now()}
    changes = {"state": State.PENDING, "crashes": 0} | due
    return _intervene(Action.RELEASE, ids, actor, reason, **changes)


def fail(ids: Collection[UUID], *, actor: Actor, reason: str) -> int:
    """Give deliveries up, with the reason in place of a reply."""
    return _intervene(
        Action.FAIL,
        ids,
        actor,
        reason,
        state=State.FAILED,
        last_reply=reason,
        settled_at=Now(),
        lease_until=None,
        fence=F("fence") + 1,
    )


def _intervene(
    action: Action, ids: Collection[UUID], actor: Actor, reason: str, **changes: Any
) -> int:
    """Lock what the action reaches, in the order in which workers lock; change it and say who."""
    with transaction.atomic():
        if action == Action.RETRY:
            lock_messages(ids)
        rows = reachable(action, Delivery.objects.filter(pk__in=ids))
        states = dict(rows.select_for_update().order_by("pk").values_list("pk", "state"))
        Delivery.objects.filter(pk__in=states).update(**changes)
        Intervention.objects.bulk_create(
            intervention(action, pk, state, actor, reason) for pk, state in states.items()
        )
        if action in (Action.RETRY, Action.RELEASE):
            end_outages(states)
            transaction.on_commit(bell.ring)
    return len(states)


def intervention(
    action: Action, delivery_id: UUID, state: str, actor: Actor, reason: str, *, detail: str = ""
) -> Intervention:
    """What is written beside a delivery that was in this state, not saved yet."""
    return Intervention(
        delivery_id=delivery_id,
        at=Now(),
        action=action,
        from_state=state,
        reason=reason,
        detail=detail,
        **actor.signature,
    )


def lock_messages(ids: Collection[UUID]) -> None:
    """A purge takes the same lock: it finds these deliveries waiting, or had done with them."""
    messages = Message.objects.filter(
        pk__in=Delivery.objects.filter(pk__in=ids).values("message"), purged_at=None
    )
    list(messages.select_for_update(no_key=True).order_by("pk").values_list("pk"))


def end_outages(ids: Collection[UUID]) -> None:
    """Let next hops that are out be tried now: who asks for a retry has mended something."""
    rows = Delivery.objects.filter(pk__in=ids).order_by().values_list("kind", "hop_id").distinct()
    lanes = [lane_of(kind, hop_id) for kind, hop_id in rows]
    Outage.objects.filter(lane__in=lanes).delete()
