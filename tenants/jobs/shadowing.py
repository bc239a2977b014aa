"""Shadow mode and moving in as jobs: a source's rows as an import, its recipients compared."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from gateway.routing.facts import LookupFailed
from tenants.changes import Actor
from tenants.jobs import importing, ledger
from tenants.jobs.kind import REFUSED, UNCHANGED, Outcome, StuckError, Work, register
from tenants.models import Job, JobItem, Source
from tenants.moving_in.keeping import inventory_of
from tenants.moving_in.live import LivePostfix
from tenants.moving_in.plan import rows_of
from tenants.moving_in.postfix import OldSystem, OldSystemFailed, StoredRules
from tenants.moving_in.shadow import Difference, differences

SHADOW, LIVE = "shadow", "shadow.live"
KINDS = (SHADOW, LIVE)
PERMISSION = "tenants.view_source"


def draft_plan(source: Source, *, actor: Actor, reason: str = "") -> Job:
    """An import of everything that the source holds, still to be checked."""
    rows = rows_of(
        inventory_of(source),
        tenant=source.tenant.external_id,
        next_hop=source.next_hop.name,
        now=timezone.now(),
    )
    return importing.draft(
        rows,
        source=f"from {source}",
        actor=actor,
        tenant=source.tenant,
        reason=reason,
        parameters={"moving_in": source.pk},
    )


def draft_shadow(
    source: Source, recipients: Mapping[str, int], *, actor: Actor, live: str = ""
) -> Job:
    """A comparison for these recipients, with how often each was written to.

    `live` names the Postfix that is asked in the place of the rules as they were read.
    """
    job = ledger.draft(
        LIVE if live else SHADOW,
        title=f"Shadow mode: {source}" + (f", live from {live}" if live else ""),
        actor=actor,
        permission=PERMISSION,
        parameters={"moving_in": source.pk, "live": live},
    )
    ledger.list_items(job, _items(recipients))
    return job


def _items(recipients: Mapping[str, int]) -> Iterable[JobItem]:
    for key, times in recipients.items():
        yield JobItem(label=key, payload={"times": times})


@dataclass(frozen=True)
class Shadowing:
    """Recipients asked of both sides; a difference is told as refused, with both answers."""

    name: str = SHADOW
    chunk_rows: int = 400
    undone_by: str = ""
    for_workers: bool = False

    def apply(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        try:
            found = differences([item.label for item in items], _old_system(work))
        except (OldSystemFailed, LookupFailed) as error:
            raise StuckError(f"One side could not be asked: {error}") from error
        return [_outcome(found.get(item.label)) for item in items]


def _old_system(work: Work) -> OldSystem:
    if live := work.parameters.get("live"):
        return LivePostfix.named(live, settings.SHADOW_POSTFIX)
    source = Source.objects.get(pk=work.parameters["moving_in"])
    return StoredRules(inventory_of(source), now=work.now)


def _outcome(difference: Difference | None) -> Outcome:
    if difference is None:
        return Outcome(UNCHANGED)
    told = f"{difference.kind}. There: {difference.old}. Here: {difference.new}."
    learnt = {"kind": difference.kind.value, "old": difference.old, "new": difference.new}
    return Outcome(REFUSED, told, learnt=learnt)


register(Shadowing())
register(Shadowing(LIVE, for_workers=True))  # it runs postmap, which the panel's process never does
