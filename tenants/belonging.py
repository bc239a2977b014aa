"""What a row was given by hand: it goes with it, and no edit of the row itself tells of it.

Who takes back that a row was made does not mean that: it is deleted by itself first.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from tenants.models import Mailbox, Membership, NextHop, SendAsIdentity, Source, Tenant

GIVEN: Mapping[type[models.Model], Sequence[tuple[type[models.Model], str]]] = {
    Tenant: ((Membership, "tenant"), (Source, "tenant")),
    NextHop: ((Source, "next_hop"),),
    Mailbox: ((SendAsIdentity, "mailbox"),),
}
NAMED = 5
DELETE_FIRST = "{row} was given more since; delete first: {given}."


def require_bare(row: models.Model, *, going: Container[Any] = ()) -> None:
    """Raises ValidationError where the row has such, but for what goes anyway (model, id)."""
    left = [each for each in given(row) if (type(each), each.pk) not in going]
    if left:
        raise ValidationError(DELETE_FIRST.format(row=row, given=print_rows(left)))


def print_rows(rows: Sequence[models.Model]) -> str:
    """The first of them by name, the others as a number."""
    names = [f"{each._meta.verbose_name} {each}" for each in rows[:NAMED]]
    more = len(rows) - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more else "")


def given(row: models.Model) -> list[models.Model]:
    """The rows that it was given."""
    return [
        each
        for model, field in GIVEN.get(type(row), ())
        for each in model._base_manager.filter(**{field: row})
    ]
