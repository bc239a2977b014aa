"""Undo: the inverse of a job. It takes back, row by row, what the history says the job did.

A row that somebody edited since is left as they made it, and listed with who and when.
"""

from dataclasses import dataclass
from typing import Any

from django.apps import apps

from tenants import history, reverting
from tenants.jobs.kind import CHANGED, Outcome, RowByRow, Work, register
from tenants.models import JobItem


@dataclass(frozen=True)
class Undo(RowByRow):
    """Reverts what one edit made of an item's rows and of what belongs to them."""

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        places = item.touched or [[item.model, item.row_pk]]
        sources = [source for name, pk in places for source in _sources(name, pk)]
        net = reverting.net_changes(sources, item.payload["edit"])
        reverting.revert(net, actor=work.actor, is_strict=True)
        return Outcome(CHANGED, touched=tuple(_row(name, pk) for name, pk in item.touched))


def _sources(name: str, pk: Any) -> list[history.Source]:
    return history.sources_of(apps.get_model(name), pk)


def _row(name: str, pk: Any) -> Any:
    """The row by its id alone, whether or not it is there."""
    return apps.get_model(name)(pk=pk)


register(Undo("undo"))
