"""Deletes many rows of one list, each as its page would: what still needs a row keeps it.

What goes with a row comes back with it when the job is taken back, as far as a history is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.apps import apps

from tenants import belonging, changes, history, permissions
from tenants.jobs.bulk import fetch
from tenants.jobs.ending import ending
from tenants.jobs.kind import CHANGED, Outcome, RowByRow, Work, register
from tenants.models import JobItem


@dataclass(frozen=True)
class Delete(RowByRow):
    """Deletes the rows chosen, whatever they are."""

    def apply(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        act = super().apply
        return ending(items, work, lambda: act(items, work))

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        row = fetch(apps.get_model(item.model), item)
        permissions.require(work.actor, "delete", permissions.page_model(type(row), row))
        given = belonging.given(row)
        kept: list[Any] = [row, *filter(_has_history, given)]
        touched = tuple(type(each)(pk=each.pk) for each in kept)
        note = f"With {belonging.print_rows(given)}." if given else ""
        changes.delete(row, actor=work.actor)
        return Outcome(CHANGED, note, touched=touched)


def _has_history(row: Any) -> bool:
    return history.is_tracked(type(row))


register(Delete("rows.delete"))
register(Delete("rows.delete for good", undone_by=""))
