"""What keeps a row from being deleted: the first of what needs it, and how much more there is.

Looked for before Django does, which loads all of it: a mailbox may have ten thousand aliases.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models
from django.db.models import PROTECT, ProtectedError, RestrictedError
from django.db.models.deletion import get_candidate_relations_to_delete

from tenants import history
from tenants.counting import COUNTED, print_capped
from tenants.models import SendAsIdentity, Target

SHOWN = 50
NAMED = 5
# What a row is named with besides its own columns.
NAMED_WITH: Mapping[type[models.Model], Sequence[str]] = {
    Target: ("address", "rule__address", "mailbox"),
    SendAsIdentity: ("mailbox",),
}


@dataclass(frozen=True, slots=True)
class Needing:
    """The first SHOWN rows that need some, and how many there are besides, capped at COUNTED."""

    rows: Sequence[Any] = ()
    more: int = 0


class NeededError(ProtectedError):
    """What is still needed; `protected_objects` are the first rows that need it."""

    def __init__(self, needing: Needing) -> None:
        super().__init__("The row is still needed.", set(needing.rows))
        self.more = needing.more


def find(
    rows: Sequence[models.Model], *, going: Collection[tuple[type[models.Model], Any]] = ()
) -> Needing:
    """What needs these rows of one model, but for what goes anyway (model, id).

    Cost: one query for each model that may need them, two where there are more than are shown.
    """
    found: list[Any] = []
    more = 0
    for needing in _needing(rows, going):
        left = SHOWN - len(found)
        first = list(needing[:left])
        if len(first) == left:
            more += needing.order_by()[left : left + COUNTED + 1].count()
        found += first
    return Needing(found, more)


def require_unneeded(
    row: models.Model, *, going: Collection[tuple[type[models.Model], Any]] = ()
) -> None:
    """Raises NeededError where other rows need this one, but for what goes anyway."""
    needing = find([row], going=going)
    if needing.rows:
        raise NeededError(needing)


def name(row: Any) -> tuple[str, str]:
    """What an operator calls a row, and its name; a target is told with its address."""
    origin = getattr(row, "origin", None)
    called = str(row) if origin is None else f"{row} of {origin}"
    return history.noun_of(row, type(row)), called


def print_names(error: ProtectedError | RestrictedError) -> str:
    """The first rows that need what was to be deleted, and how many more there are."""
    rows: Any = getattr(error, "protected_objects", getattr(error, "restricted_objects", ()))
    names = sorted({" ".join(name(row)) for row in rows})
    more = len(names[NAMED:]) + getattr(error, "more", 0)
    return ", ".join(names[:NAMED]) + (f" and {print_capped(more)} more" if more else "")


def _needing(
    rows: Sequence[models.Model], going: Collection[tuple[type[models.Model], Any]]
) -> Iterator[models.QuerySet[Any]]:
    relations: Iterable[Any] = get_candidate_relations_to_delete(rows[0]._meta)
    for relation in relations:
        model = relation.related_model
        if relation.field.remote_field.on_delete is PROTECT:
            needing = model._base_manager.filter(**{f"{relation.field.name}__in": rows})
            gone = [pk for each, pk in going if each is model]
            yield needing.exclude(pk__in=gone).select_related(*NAMED_WITH.get(model, (None,)))
