"""Undo: the inverse of a job. It takes back, row by row, what the history says the job did.

A row that somebody edited since is left as they made it, and listed with who and when. Addresses
that would go or come back ask for what their page asks for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import models

from tenants import history, permissions, reverting
from tenants.changes import Actor
from tenants.jobs.kind import CHANGED, Outcome, RowByRow, Work, register
from tenants.models import Address, JobItem, SubaddressRule, Target
from tenants.reverting import Net


@dataclass(frozen=True)
class Undo(RowByRow):
    """Reverts what one edit made of an item's rows and of what belongs to them."""

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        places = item.touched or [[item.model, item.row_pk]]
        sources = [source for name, pk in places for source in _sources(name, pk)]
        net = reverting.net_changes(sources, item.payload["edit"])
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


def _sources(name: str, pk: Any) -> list[history.Source]:
    return history.sources_of(apps.get_model(name), pk)


def _row(name: str, pk: Any) -> Any:
    """The row by its id alone, whether or not it is there."""
    return apps.get_model(name)(pk=pk)


register(Undo("undo"))
