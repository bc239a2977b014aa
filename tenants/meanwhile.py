"""What others committed between the reading of a row and its saving.

What only they changed stands, what only its author changed is written, and where both changed the
same field the save is refused with who was quicker. Asked while the row is locked.
"""

from collections.abc import Collection, Mapping
from typing import Any

from django.core.exceptions import ValidationError

from tenants import history
from tenants.models.fields import Ruled

GONE = "It has been deleted meanwhile{by}."
MOVED = "It was changed meanwhile{by}: open it anew to see what it is now."


def merge(row: Ruled, stored: Mapping[str, Any] | None, *, only: Collection[str] | None) -> None:
    """Give a row what others stored since it was read; `only` names the fields that count.

    Raises ValidationError where it is gone, or at each field that both changed.
    """
    if stored is None:
        raise ValidationError(GONE.format(by=_by(row)))
    mine = {name for name in stored if _is_changed(row, name)}
    if clashing := [name for name in _counting(row, mine, only) if _clashes(row, name, stored)]:
        raise ValidationError(_told(row, clashing))
    for name in stored.keys() - mine:
        setattr(row, name, stored[name])
    row.as_read = stored


def differing(row: Ruled, *, only: Collection[str] | None) -> list[str]:
    """The columns in which a row differs from what was read."""
    changed = {name for name in row.as_read if _is_changed(row, name)}
    return sorted(_counting(row, changed, only))


def moved(row: Ruled, field: str) -> str:
    """The sentence that somebody else changed a field."""
    return MOVED.format(by=_by(row, field))


def _is_changed(row: Ruled, name: str) -> bool:
    return name not in row.as_read or bool(getattr(row, name) != row.as_read[name])


def _counting(row: Ruled, columns: Collection[str], only: Collection[str] | None) -> set[str]:
    if only is None:
        return set(columns)
    about: Any = row._meta
    return set(columns) & {about.get_field(name).attname for name in only}


def _clashes(row: Ruled, name: str, stored: Mapping[str, Any]) -> bool:
    was = row.as_read.get(name, stored[name])
    return bool(stored[name] not in (was, getattr(row, name)))


def _told(row: Ruled, columns: Collection[str]) -> dict[str, str]:
    """What follows from another field is not told beside it."""
    names = [row._meta.get_field(column).name for column in columns]
    shown = [name for name in names if name not in history.SILENT] or names
    return {name: moved(row, name) for name in shown}


def _by(row: Ruled, field: str | None = None) -> str:
    return history.by(history.author_of(row, field))
