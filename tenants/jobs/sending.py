"""The permissions to send as an address that a source holds, as a job: one identity for each.

They are taken over by themselves, since an identity needs its domain verified.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction

from tenants import changes
from tenants.changes import Actor
from tenants.jobs import ledger
from tenants.jobs.kind import CHANGED, UNCHANGED, Outcome, RefusedError, RowByRow, Work, register
from tenants.models import Job, JobItem, Mailbox, SendAsIdentity, Source
from tenants.moving_in.inventory import SendAs
from tenants.moving_in.keeping import inventory_of

SEND_AS = "send as"
PERMISSION = "tenants.add_sendasidentity"


def draft_send_as(source: Source, *, actor: Actor, reason: str = "") -> Job:
    """The identities of a source as a job, still to be checked."""
    job = ledger.draft(
        SEND_AS,
        title=f"Send-as from {source}",
        actor=actor,
        permission=PERMISSION,
        parameters={"moving_in": source.pk, "tenant": source.tenant_id},
        reason=reason,
    )
    ledger.list_items(job, _items(inventory_of(source).send_as))
    return job


def _items(permissions: Iterable[SendAs]) -> Iterable[JobItem]:
    for each in permissions:
        payload = {"mailbox": each.mailbox, "address": each.address}
        yield JobItem(label=f"{each.mailbox} as {each.address}"[:320], payload=payload)


@dataclass(frozen=True)
class Sending(RowByRow):
    """A mailbox may send as an address."""

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        tenant, key = work.parameters["tenant"], item.payload["mailbox"]
        mailbox = Mailbox.objects.filter(tenant=tenant, key=key).first()
        if mailbox is None:
            raise RefusedError(f"There is no mailbox {key} here: take the plan over first.")
        address = item.payload["address"]
        if SendAsIdentity.objects.filter(mailbox=mailbox, key=address).exists():
            return Outcome(UNCHANGED)
        return Outcome(CHANGED, touched=(_let_send(mailbox, address, work.actor),))


def _let_send(mailbox: Mailbox, address: str, actor: Actor) -> SendAsIdentity:
    """Whoever asks grants it where the rules want an owner, and only there: a grant keeps the
    account of whoever gave it.
    """
    verified = {"address": address, "state": SendAsIdentity.State.VERIFIED}
    try:
        with transaction.atomic():
            return changes.save(SendAsIdentity(mailbox=mailbox, **verified), actor=actor)
    except ValidationError:
        if actor.user is None:
            raise
    granted = SendAsIdentity(mailbox=mailbox, granted_by_id=actor.user.pk, **verified)
    return changes.save(granted, actor=actor)


register(Sending(SEND_AS))
