"""Moves addresses to another domain, the same tenant's or another's.

An address keeps its domain for good, so the same address is made anew there, with its targets and
subaddress rules, and the old one is kept, disabled, forwarded to the new one or deleted. What the
rules do not allow there (a mailbox of another tenant, a name that is taken) refuses the move, and
so does what whoever moves may not do by hand: to add an address, and to delete one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models

from tenants import changes, permissions
from tenants.changes import Actor
from tenants.jobs.bulk import AddressKind, retarget
from tenants.jobs.kind import CHANGED, UNCHANGED, Outcome, Work, register, tenants_of
from tenants.models import Address, Domain, JobItem, SubaddressRule, Target

NO_OWNER = "It has no owner now, since {} is no member of the tenant."
NOT_COPIED = frozenset({"id", "key", "domain", "created_at"})


@dataclass(frozen=True)
class Move(AddressKind):
    """Moves to the domain `domain`; `old` says what becomes of the address it leaves."""

    def apply(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        there = Domain.objects.filter(pk=work.parameters["domain"])
        changes.lock_tenants(tenants_of(items) | changes.tenants_of(there))
        return super().apply(items, work)

    def edit(self, address: Address, work: Work) -> Outcome:
        if address.domain_id == work.parameters["domain"]:
            return Outcome(UNCHANGED)
        require_permissions(address, work)
        domain = Domain.objects.get(pk=work.parameters["domain"])
        moved, left = copy(address, domain, actor=work.actor), Address(pk=address.pk)
        leave(address, moved, work)
        note = f"Now {moved}."
        if moved.owner_id != address.owner_id:
            note = f"{note} {NO_OWNER.format(address.owner)}"
        return Outcome(CHANGED, note, touched=(left, moved))


def require_permissions(address: Address, work: Work) -> None:
    """Raises PermissionDenied where the move takes what its author may not do by hand."""
    model = permissions.page_model(Address, address)
    permissions.require(work.actor, "add", model)
    if work.parameters["old"] == "delete":
        permissions.require(work.actor, "delete", model)


def copy(address: Address, domain: Domain, *, actor: Actor) -> Address:
    """The same address on another domain, with targets and rules. Raises ValidationError.

    An owner who left the tenant is not taken along.
    """
    targets = list(address.targets.all())
    rules = [(rule, list(rule.targets.all())) for rule in address.rules.all()]
    twin: Address = _twin(address, domain=domain)
    if twin.domain.tenant_id == address.domain.tenant_id and not twin.is_owner_a_member:
        twin.owner = None
    moved = changes.save(twin, actor=actor)
    for target in targets:
        changes.save(_twin(target, address=moved), actor=actor)
    for rule, its_targets in rules:
        new_rule: SubaddressRule = changes.save(_twin(rule, address=moved), actor=actor)
        for target in its_targets:
            changes.save(_twin(target, rule=new_rule), actor=actor)
    moved.check_targets()
    return moved


def leave(address: Address, moved: Address, work: Work) -> None:
    """What becomes of the address that was left: keep, disable, forward or delete."""
    fate = work.parameters["old"]
    if fate == "delete":
        changes.delete(address, actor=work.actor)
    elif fate == "forward":
        retarget(address, {"kind": "forward", "mailbox": None, "forward_to": moved.key}, work)
    elif fate == "disable" and address.enabled:
        address.enabled = False
        changes.save(address, actor=work.actor, update_fields=["enabled"])


def _twin(row: Address | SubaddressRule | Target, **others: models.Model) -> Any:
    """A new row with the same values but for these."""
    fields = [each for each in row._meta.concrete_fields if each.name not in NOT_COPIED]
    values = {each.attname: getattr(row, each.attname) for each in fields}
    twin = type(row)(**values)
    for name, value in others.items():
        setattr(twin, name, value)
    return twin


register(Move("addresses.move"))
