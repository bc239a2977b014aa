"""What operators may do with deliveries: one guarded update each, returning how many it reached.

Each raises the fence where a worker may be sending just now, so that its outcome cannot undo what
the operator decided.
"""

from collections.abc import Collection
from uuid import UUID

from django.db.models import F
from django.db.models.functions import Now

from gateway.models import Delivery

State = Delivery.State
_WAITING = (State.PENDING, State.DEFERRED)


def retry_now(ids: Collection[UUID]) -> int:
    """Make deliveries due at once; those that failed or are quarantined start afresh."""
    rows = Delivery.objects.filter(
        id__in=ids, state__in=(*_WAITING, State.FAILED, State.QUARANTINED), message__purged_at=None
    )
    return rows.update(
        state=State.PENDING, next_attempt_at=Now(), settled_at=None, lease_until=None, crashes=0
    )


def hold(ids: Collection[UUID]) -> int:
    """Keep deliveries back until they are released."""
    rows = Delivery.objects.filter(id__in=ids, state__in=(*_WAITING, State.QUARANTINED))
    return rows.update(state=State.HELD)


def release(ids: Collection[UUID]) -> int:
    """Let held deliveries go on, at once."""
    rows = Delivery.objects.filter(id__in=ids, state=State.HELD)
    return rows.update(state=State.PENDING, next_attempt_at=Now(), crashes=0)


def fail(ids: Collection[UUID], reason: str) -> int:
    """Give deliveries up, with the reason in place of a reply."""
    rows = Delivery.objects.filter(
        id__in=ids, state__in=(*_WAITING, State.SENDING, State.HELD, State.QUARANTINED)
    )
    return rows.update(
        state=State.FAILED,
        last_reply=reason,
        settled_at=Now(),
        lease_until=None,
        fence=F("fence") + 1,
    )
