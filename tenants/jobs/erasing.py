"""The erasure of a person's data as a job: a part at a time, counted beforehand.

The job itself is the record: who asked, when, why and how many rows; of the person it keeps the
pseudonym alone, once its last item is done. What nobody starts is forgotten within the hour, and so
is the address where the work was stopped.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.core.exceptions import ValidationError

from gateway import erasure
from gateway.erasure import Part
from gateway.routing.address import Address, AddressError
from tenants.changes import Actor
from tenants.jobs import ledger
from tenants.jobs.kind import CHANGED, UNCHANGED, Outcome, RowByRow, StuckError, Work, register
from tenants.models import Job, JobItem
from tenants.roles import ERASE_PERSON

ERASE = "erase person"
DRAFT_LASTS = timedelta(hours=1)
FORGOTTEN = "The address is not kept any more, an hour after the work ended: ask for it anew."
ITSELF = "what this job knows of the person"


def draft_erasure(text: str, *, actor: Actor, reason: str) -> Job:
    """The erasure of an address as a job, still to be checked.

    Raises ValidationError where the text is no address, or one that is in use: an edit of what is
    in use belongs to whoever is responsible for it.
    """
    address = _parse(text)
    if in_use := erasure.uses(address):
        more = "" if len(in_use) <= erasure.NAMED else f" and {len(in_use) - erasure.NAMED} more"
        named = "; ".join(in_use[: erasure.NAMED])
        raise ValidationError(
            {"address": f"It is still in use: {named}{more}. Change or delete that first."}
        )
    pseudonym = erasure.make_pseudonym()
    job = ledger.draft(
        ERASE,
        title=f"Erase a person's data, from now on {pseudonym}",
        actor=actor,
        permission=ERASE_PERSON,
        parameters={"address": str(address), "pseudonym": pseudonym},
        reason=reason,
    )
    ledger.list_items(job, [*map(_item, erasure.parts()), JobItem(label=ITSELF)])
    return job


def forget_addresses() -> None:
    """Leave no address in what was not started, was stopped or broke off an hour ago."""
    ledger.forget_drafts(ERASE, DRAFT_LASTS)
    ledger.strip(ERASE, DRAFT_LASTS, of="address")


def _parse(text: str) -> Address:
    try:
        return Address.parse(text.strip())
    except AddressError as error:
        raise ValidationError({"address": f"This is no mail address: {error}"}) from None


def _item(part: Part) -> JobItem:
    day = part.day and part.day.isoformat()
    return JobItem(label=str(part), payload={"table": part.table, "by": part.by, "day": day})


@dataclass(frozen=True)
class Erasing(RowByRow):
    """One part of what was written down, or, at the end, the job's own parameters."""

    chunk_rows: int = 1
    undone_by: str = ""

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        if "address" not in work.parameters:
            raise StuckError(FORGOTTEN)
        address = Address.parse(work.parameters["address"])
        pseudonym = work.parameters["pseudonym"]
        if not item.payload:
            Job.objects.filter(pk=work.job_id).update(parameters={"pseudonym": pseudonym})
            return Outcome(CHANGED)
        count = erasure.erase(Part.of(item.payload), address, pseudonym)
        rows = "row" if count == 1 else "rows"
        return Outcome(CHANGED, f"{count:,} {rows}") if count else Outcome(UNCHANGED)


register(Erasing(ERASE))
