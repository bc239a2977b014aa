"""Deeds on more deliveries than a request may be waited for: retry, hold, release, fail.

An item is some deliveries, so that a million of them are twenty thousand rows. Nothing is done to
one twice: each deed passes by what it has reached. Staff take a deed back by the opposite one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from django.db.models import QuerySet

from gateway import delivery as queue
from gateway.delivery.actions import Action, why_not
from gateway.models import Delivery
from tenants.changes import Actor
from tenants.jobs import ledger
from tenants.jobs.kind import CHANGED, REFUSED, Outcome, RowByRow, Work, register
from tenants.models import Job, JobItem

PERMISSION = "gateway.change_delivery"
IDS_PER_ITEM = 50
FETCHED_AT_ONCE = 10_000


@dataclass(frozen=True)
class DeedOnMany(RowByRow):
    """One deed; its reason is a parameter, given once the job was counted and is started."""

    act: Callable[..., int] = queue.hold
    action: Action = Action.HOLD
    chunk_rows: int = 20
    undone_by: str = ""

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        ids = [UUID(each) for each in item.payload["ids"]]
        left = _reasons(self.action, ids)
        count = self.act(ids, actor=work.actor, reason=work.parameters.get("reason", ""))
        told = [f"{count} of {len(ids)}", *(f"{many} left: {why}" for why, many in left.items())]
        return Outcome(CHANGED if count else REFUSED, "; ".join(told))


KINDS = {
    action: register(DeedOnMany(f"deliveries.{action}", act=act, action=action))
    for action, act in (
        (Action.RETRY, queue.retry_now),
        (Action.HOLD, queue.hold),
        (Action.RELEASE, queue.release),
        (Action.FAIL, queue.fail),
    )
}


def draft_deed(action: Action, rows: "QuerySet[Delivery]", *, title: str, actor: Actor) -> Job:
    """The deed on these deliveries, the oldest first, as a job that nobody has started."""
    job = ledger.draft(
        KINDS[action].name, title=title, actor=actor, permission=PERMISSION, parameters={}
    )
    ids = rows.order_by("pk").values_list("pk", flat=True)
    ledger.list_items(job, _items(ids.iterator(chunk_size=FETCHED_AT_ONCE)))
    return job


def _items(ids: Iterable[UUID]) -> Iterator[JobItem]:
    rest = iter(ids)
    while some := list(islice(rest, IDS_PER_ITEM)):
        label = f"{len(some)} deliveries from {some[0]} on"
        yield JobItem(label=label, payload={"ids": list(map(str, some))})


def _reasons(action: Action, ids: Iterable[UUID]) -> Counter[str]:
    """Why any of them will be passed by, and how many for that."""
    rows = Delivery.objects.filter(pk__in=list(ids)).select_related("message")
    return Counter(filter(None, (why_not(action, row) for row in rows)))
