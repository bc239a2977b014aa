"""Who changed a row last, when and through which surface: for lists, so one query for a page.

Read from the tables that history is read from. An address is changed by a change of its targets
and its rules for subaddresses, too: whoever sends its mail elsewhere changes the address.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import F, OuterRef, QuerySet, Subquery

from tenants.models import Address, SubaddressRule, Target


@dataclass(frozen=True, slots=True)
class Stamp:
    """The last change of a row; without an actor it was made behind the panel's back."""

    at: datetime
    actor: str = ""
    surface: str = ""

    @property
    def is_outside(self) -> bool:
        """Whether nobody is named: SQL by hand, another program."""
        return not self.actor


def last_changes(model: type[models.Model], keys: Iterable[Any]) -> dict[Any, Stamp]:
    """The stamp of each of these rows that has a history. One query."""
    concrete: Any = model._meta.concrete_model
    wanted = list(keys)
    newest = _newest(concrete.pgh_event_model.objects, "pgh_obj_id", wanted)
    if concrete is Address:
        newest = newest.union(*_of_addresses(wanted), all=True)
    # Of one moment, what changed a row counts for more than what made it.
    found = sorted(newest, key=lambda row: (row[1], row[2] != "insert")) if wanted else []
    return {key: _stamp(at, about or {}) for key, at, _, about in found}


def _of_addresses(keys: list[Any]) -> list[QuerySet[Any, Any]]:
    """The newest events of what belongs to addresses: targets, rules, and the targets of these."""
    targets: Any = Target.pgh_event_model.objects  # type: ignore[attr-defined]
    rules: Any = SubaddressRule.pgh_event_model.objects  # type: ignore[attr-defined]
    own = rules.filter(address_id__in=keys)
    address = own.filter(pgh_obj_id=OuterRef("rule_id")).values("address_id")[:1]
    return [
        _newest(targets, "address_id", keys),
        _newest(rules, "address_id", keys),
        _newest(targets, "rule_id", own.values("pgh_obj_id"), of=Subquery(address)),
    ]


def _newest(events: Any, path: str, keys: Any, *, of: Any = None) -> QuerySet[Any, Any]:
    """The newest event of each row that the path leads to, or of what that row is `of`."""
    rows = events.filter(**{f"{path}__in": keys}).order_by(path, "-pgh_id").distinct(path)
    found: QuerySet[Any, Any] = rows.values_list(
        of or F(path), "pgh_created_at", "pgh_label", "pgh_context__metadata"
    )
    return found


def _stamp(at: datetime, about: dict[str, Any]) -> Stamp:
    return Stamp(at, about.get("actor") or "", about.get("surface") or "")
