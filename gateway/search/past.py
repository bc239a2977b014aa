"""Addresses that are no more: deleted, or renamed to another.

The triggers' events are what remains of them.
"""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from gateway.search.sight import PAGES, Sight
from tenants import history
from tenants.history import Edit
from tenants.models import Address
from tenants.querysets import begins, by_code_point, reads

MOST = 20


@dataclass(frozen=True, slots=True)
class Gone:
    """An address that was deleted, and by whom, when and why."""

    pk: int
    key: str
    kind: str
    edit: Edit

    @property
    def url(self) -> str:
        """Its history, which stays."""
        model = PAGES[self.kind]._meta.model_name
        return reverse(f"admin:tenants_{model}_history", args=[self.pk])


def deleted(key: str, sight: Sight) -> list[Gone]:
    """The addresses of this key that were deleted, the last one first."""
    rows = sight.events().filter(reads("key", key), pgh_label="delete")
    return _gone(rows.order_by("-pgh_id"))


def deleted_beginning(text: str, sight: Sight) -> list[Gone]:
    """Deleted addresses that begin so, in order; each key once, as it was deleted last."""
    rows = sight.events().filter(begins("key", text), pgh_label="delete")
    found = _gone(rows.order_by(by_code_point("key"), "-pgh_id"))
    return list({gone.key: gone for gone in reversed(found)}.values())[::-1]


def renamed(key: str, sight: Sight) -> list[Address]:
    """Addresses that were called so once and are called otherwise now."""
    rows = sight.events().filter(reads("key", key), pgh_label__in=("insert", "update"))
    ids = set(rows.values_list("pgh_obj_id", flat=True)[:MOST])
    return list(sight.addresses().filter(pk__in=ids).exclude(key=key))


def last_edits(pk: int, *, most: int) -> list[Edit]:
    """What was last done to an address, its targets and rules, the newest first."""
    return history.read(history.sources_of(Address, pk))[:most]


def _gone(rows: Any) -> list[Gone]:
    return [
        Gone(event.pgh_obj_id, event.key, event.kind, history.edit_of(event))
        for event in rows.select_related("pgh_context")[:MOST]
    ]
