"""Bulk edits: the same change to many addresses, mailboxes or domains.

Each item is one row. The rules stand on the models; a row that they keep from the change is left
as it is, with their sentence. Parameters are ids and texts, as a form or an API hands them over.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ObjectDoesNotExist
from django.db import models

from tenants import changes, permissions, services
from tenants.jobs.ending import ending
from tenants.jobs.kind import (
    CHANGED,
    REFUSED,
    UNCHANGED,
    Outcome,
    RefusedError,
    RowByRow,
    Work,
    tenants_of,
)
from tenants.jobs.kind import register as registered
from tenants.models import Address, Domain, Mailbox, Target
from tenants.models.fields import parse_address
from tenants.models.job import JobItem

GONE = "It has been deleted meanwhile."
OVER = "Its time is over: give it a later expiry first."
NO_TARGET = "It has no target: add where its mail goes first."
NO_EXPIRY = "It never expires."
EXPIRY_FIELDS = ("expires_at", "expired_at", "enabled")


@dataclass(frozen=True)
class Switch:
    """Switches addresses on or off, a chunk in one statement."""

    name: str
    enabled: bool
    chunk_rows: int = 500
    undone_by: str = "undo"
    for_workers: bool = False

    def apply(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        changes.lock_tenants(tenants_of(items))
        if self.enabled:
            return self._switch(items, work)
        return ending(items, work, lambda: self._switch(items, work))

    def _switch(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        keys = [item.row_pk or 0 for item in items]
        rows = Address.objects.filter(pk__in=keys)
        seen = rows.visible_to(work.actor.user) if work.actor.user else rows
        found = {row.pk: row for row in seen}
        bare = set(seen.without_target().values_list("pk", flat=True)) if self.enabled else set()
        outcomes = [self._foretell(found.get(key), bare, work.now) for key in keys]
        fit = [k for k, each in zip(keys, outcomes, strict=True) if each.result == CHANGED]
        services.set_enabled(
            Address.objects.filter(pk__in=fit), enabled=self.enabled, actor=work.actor
        )
        return outcomes

    def _foretell(self, row: Address | None, bare: set[int], now: datetime) -> Outcome:
        if row is None:
            return Outcome(REFUSED, GONE)
        if row.enabled == self.enabled:
            return Outcome(UNCHANGED)
        if self.enabled and (row.expired_at or _is_over(row, now)):
            return Outcome(REFUSED, OVER)
        return Outcome(REFUSED, NO_TARGET) if row.pk in bare else Outcome(CHANGED)


def _is_over(row: Address, now: datetime) -> bool:
    return row.expires_at is not None and row.expires_at <= now


@dataclass(frozen=True)
class AddressKind(RowByRow):
    """A kind of job about addresses, one at a time."""

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        return self.edit(fetch(Address, item), work)

    def edit(self, address: Address, work: Work) -> Outcome:
        """Change one address that is there."""
        raise NotImplementedError


@dataclass(frozen=True)
class Expire(AddressKind):
    """Binds addresses to a moment, `at`; None lets them live for ever."""

    def apply(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        act = super().apply
        if not work.parameters["at"]:
            return act(items, work)
        return ending(items, work, lambda: act(items, work))

    def edit(self, address: Address, work: Work) -> Outcome:
        at = work.parameters["at"]
        return expire(address, datetime.fromisoformat(at) if at else None, work)


@dataclass(frozen=True)
class Extend(AddressKind):
    """Puts an expiry off by `days`: from its own moment on, or from now where that has passed."""

    def edit(self, address: Address, work: Work) -> Outcome:
        if address.expires_at is None:
            return Outcome(UNCHANGED, NO_EXPIRY)
        begin = max(address.expires_at, work.now)
        return expire(address, begin + timedelta(days=work.parameters["days"]), work)


def expire(address: Address, at: datetime | None, work: Work) -> Outcome:
    """Set when an address expires."""
    if address.expires_at == at:
        return Outcome(UNCHANGED)
    address.expires_at = at
    if at is None and address.expired_at is not None:
        address.enabled, address.expired_at = True, None
    changes.save(address, actor=work.actor, update_fields=EXPIRY_FIELDS)
    address.check_targets()
    return Outcome(CHANGED)


@dataclass(frozen=True)
class Retarget(AddressKind):
    """Gives addresses one target, `kind` with `mailbox` or `forward_to`, in place of all others."""

    def edit(self, address: Address, work: Work) -> Outcome:
        wanted = {name: work.parameters.get(name) for name in ("kind", "mailbox", "forward_to")}
        return retarget(address, wanted, work)


def retarget(address: Address, wanted: dict[str, Any], work: Work) -> Outcome:
    """Let an address deliver to one place alone: kind, mailbox's id, address forwarded to.

    Raises PermissionDenied where its author may not change targets by hand.
    """
    permissions.require_targets(work.actor)
    first, *others = [*address.targets.all()] or [Target(address=address)]
    was = None if first._state.adding else (first.kind, first.mailbox_id, first.forward_to)
    first.kind, first.mailbox_id = wanted["kind"], wanted["mailbox"]
    to = wanted["forward_to"]
    first.forward_to = str(parse_address(to, "forward_to")) if to else ""
    if was == (first.kind, first.mailbox_id, first.forward_to) and not others:
        return Outcome(UNCHANGED)
    changes.save(first, actor=work.actor)
    for other in others:
        changes.delete(other, actor=work.actor)
    return Outcome(CHANGED)


@dataclass(frozen=True)
class Exchange(AddressKind):
    """Puts mailbox `new` in the place of `old`: in targets, those of rules too, and as holder."""

    def edit(self, address: Address, work: Work) -> Outcome:
        permissions.require_targets(work.actor)
        old, new = work.parameters["old"], work.parameters["new"]
        of_address = models.Q(address=address) | models.Q(rule__address=address)
        targets = list(Target.objects.filter(of_address, mailbox=old))
        for target in targets:
            target.mailbox_id = new
            changes.save(target, actor=work.actor, update_fields=["mailbox"])
        if address.holder_id == old:
            address.holder_id = new
            changes.save(address, actor=work.actor, update_fields=["holder"])
        elif not targets:
            return Outcome(UNCHANGED, "It does not use this mailbox.")
        return Outcome(CHANGED)


@dataclass(frozen=True)
class Setting(RowByRow):
    """Sets one field of rows of a model to the parameter `value`, an id where it is a relation."""

    model: type[models.Model] = Address
    field: str = ""

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        row = fetch(self.model, item)
        attribute = row._meta.get_field(self.field).attname
        if getattr(row, attribute) == work.parameters["value"]:
            return Outcome(UNCHANGED)
        setattr(row, attribute, work.parameters["value"])
        changes.save(row, actor=work.actor, update_fields=[self.field])
        return Outcome(CHANGED)


def fetch(model: type[models.Model], item: JobItem) -> Any:
    """The row an item is about. Raises RefusedError where it has gone."""
    try:
        return model._default_manager.get(pk=item.row_pk)
    except ObjectDoesNotExist:
        raise RefusedError(GONE) from None


registered(Switch("addresses.enable", enabled=True))
registered(Switch("addresses.disable", enabled=False))
registered(Expire("addresses.expire"))
registered(Extend("addresses.extend"))
registered(Retarget("addresses.retarget"))
registered(Exchange("addresses.exchange"))
registered(Setting("addresses.owner", model=Address, field="owner"))
registered(Setting("addresses.holder", model=Address, field="holder"))
registered(Setting("mailboxes.hop", model=Mailbox, field="next_hop"))
registered(Setting("domains.smarthost", model=Domain, field="smarthost"))
registered(Setting("domains.holder", model=Domain, field="default_role_holder"))
