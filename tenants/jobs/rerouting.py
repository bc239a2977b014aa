"""Reroute for more deliveries than a request may be waited for, each an item of its own.

A check says of each which place it would take, or why it stays; the work itself decides anew, under
the lock, so that no message goes to a place twice. Whoever takes it back reroutes once more.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from gateway.delivery import rerouting
from gateway.delivery.rerouting import Goal, ToAddress, ToMailbox, Turnoff
from gateway.models import Delivery
from gateway.routing.address import Address
from gateway.routing.facts import LookupFailed
from tenants.changes import Actor
from tenants.jobs import ledger
from tenants.jobs.kind import CHANGED, REFUSED, Outcome, StuckError, Work, register
from tenants.models import Job, JobItem, Mailbox

REROUTE = "deliveries.reroute"
PERMISSION = "gateway.change_delivery"
MOST = 100_000  # items are listed while somebody waits for the page
FETCHED_AT_ONCE = 10_000
NO_ANSWER = "The directory did not answer."
MAILBOX_GONE = "The mailbox that they were to go to is not there any more."
GONE = "It is not there any more."


@dataclass(frozen=True)
class Rerouting:
    """A chunk of deliveries to the goal in the parameters."""

    name: str = REROUTE
    chunk_rows: int = 100
    undone_by: str = ""
    for_workers: bool = False

    def apply(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        ids = [UUID(item.payload["id"]) for item in items]
        try:
            turned = _turn(ids, _goal(work.parameters), work)
        except LookupFailed as error:
            raise StuckError(NO_ANSWER) from error
        found = {each.delivery.pk: each for each in turned}
        return [_outcome(found.get(pk)) for pk in ids]


def draft_reroute(rows: "QuerySet[Delivery]", *, actor: Actor) -> Job:
    """The oldest MOST of these deliveries as a job that waits to be told where to.

    It remembers their tenants, whose mailboxes may be named.
    """
    tenants = sorted(rows.order_by().values_list("tenant", flat=True).distinct())
    job = ledger.draft(
        REROUTE,
        title="Reroute",
        actor=actor,
        permission=PERMISSION,
        parameters={"tenants": tenants},
    )
    found = rows.order_by("pk").values_list("pk", "kind", "recipient")[:MOST]
    ledger.list_items(job, _items(found.iterator(chunk_size=FETCHED_AT_ONCE)))
    return job


def direct(job: Job, goal: Goal, *, reason: str) -> Job:
    """Tell a drafted job where to and why."""
    title = f"Reroute {job.total:,} deliveries to {goal}"[:200]
    return ledger.describe(
        job, title=title, reason=reason, parameters=job.parameters | _parameters(goal)
    )


def _items(found: Iterable[tuple[UUID, str, str]]) -> Iterator[JobItem]:
    for pk, kind, recipient in found:
        label = f"{recipient or kind} ({pk})"[:320]
        yield JobItem(model=Delivery._meta.label_lower, label=label, payload={"id": str(pk)})


def _parameters(goal: Goal) -> dict[str, Any]:
    if isinstance(goal, ToMailbox):
        return {"mailbox": goal.mailbox.pk}
    address = goal.address if isinstance(goal, ToAddress) else None
    return {"address": str(address or "")}


def _goal(parameters: dict[str, Any]) -> Goal:
    if "mailbox" not in parameters:
        text = parameters["address"]
        return ToAddress(Address.parse(text) if text else None)
    found = Mailbox.objects.select_related("next_hop").filter(pk=parameters["mailbox"]).first()
    if found is None:
        raise StuckError(MAILBOX_GONE)
    return ToMailbox(found)


def _turn(ids: Collection[UUID], goal: Goal, work: Work) -> list[Turnoff]:
    if work.is_trial:
        return rerouting.plan(Delivery.objects.filter(pk__in=ids), goal)
    return rerouting.turn(ids, goal, actor=work.actor, reason=work.reason)


def _outcome(turnoff: Turnoff | None) -> Outcome:
    if turnoff is None:
        return Outcome(REFUSED, GONE)
    if not turnoff.places:
        return Outcome(REFUSED, turnoff.refusal)
    return Outcome(CHANGED, f"→ {turnoff.where}")


register(Rerouting())
