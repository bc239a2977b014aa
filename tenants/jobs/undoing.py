"""Undo: the inverse of a job. It takes back, row by row, what the history says the job did.

A row that somebody edited since is left as they made it, and listed with who and when. Addresses
that would go or come back ask for what their page asks for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from django.apps import apps
from django.db import models

from tenants import changes, permissions, reverting
from tenants.changes import Actor
from tenants.jobs.kind import CHANGED, Outcome, RowByRow, Work, attempt, register, tenants_of
from tenants.models import Address, JobItem, SubaddressRule, Target
from tenants.reverting import Net, Past, Place


@dataclass(frozen=True)
class Undo(RowByRow):
    """Reverts what one edit made of an item's rows and of what belongs to them.

    What an edit made of a chunk's rows is read once, since it does not change any more; how they
    are now is read for each.
    """

    past: Callable[[str], Past] | None = None

    def apply(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        changes.lock_tenants(tenants_of(items))
        knowing = replace(self, past=cache(partial(_read, items)))
        return [attempt(knowing, item, work) for item in items]

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        edit = item.payload["edit"]
        past = self.past(edit) if self.past else _read([item], edit)
        net = past.net_changes(_places(item))
        _require_permissions(net, work.actor)
        reverting.revert(net, actor=work.actor, is_strict=True)
        return Outcome(CHANGED, touched=tuple(_row(name, pk) for name, pk in item.touched))


def _require_permissions(net: Sequence[Net], actor: Actor) -> None:
    """Of what goes or comes; targets and rules do with their address. Raises PermissionDenied."""
    gone = {(each.model, each.pk) for each in net if each.verb != "change"}
    for each in net:
        if each.model in (Target, SubaddressRule) and gone & _origins(each):
            continue
        if each.model is Target:
            permissions.require_targets(actor)
        elif each.verb != "change":
            permissions.require(actor, each.verb, permissions.page_model(each.model, each.last))


def _origins(net: Net) -> set[tuple[type[models.Model], Any]]:
    """The address that a rule is of; the address or rule that a target is of."""
    rule = getattr(net.last, "rule_id", None)
    return {(Address, net.last.address_id), (SubaddressRule, rule)}


def _read(items: Sequence[JobItem], edit: str) -> Past:
    """What the edit made of those of the items that are about it."""
    mine = [item for item in items if item.payload["edit"] == edit]
    return Past.read([place for item in mine for place in _places(item)], edit)


def _places(item: JobItem) -> list[Place]:
    pairs = item.touched or [[item.model, item.row_pk]]
    return [(apps.get_model(name), pk) for name, pk in pairs]


def _row(name: str, pk: Any) -> Any:
    """The row by its id alone, whether or not it is there."""
    return apps.get_model(name)(pk=pk)


register(Undo("undo"))
