"""What changed on a row and on the rows that belong to it: who, through what, why, old and new.

Reads the event tables that the triggers write. An event without a context was made behind the
panel's back (SQL by hand, another program); it is shown as such, never left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any, Self
from uuid import UUID

from django.contrib.auth.models import Group, User
from django.db import models
from django.db.models import OuterRef, Q, Subquery
from django.utils import timezone

from tenants.models import (
    Account,
    AccountGroup,
    Address,
    Domain,
    DomainCheck,
    Forewarning,
    Mailbox,
    SubaddressRule,
    Target,
)
from tenants.octets import print_octets

NEWEST = 300
VERBS = {"insert": "created", "update": "changed", "delete": "deleted"}
PARENTS = ("address", "rule")
SILENT = frozenset(
    {"id", "created_at", "key", "forward_key", "options", "u_label", "skeleton", "state_since"}
)


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field's old and new value as an operator reads them."""

    label: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class RowChange:
    """What an edit did to one row."""

    model: type[models.Model]
    verb: str
    subject: str
    fields: tuple[FieldChange, ...]


@dataclass(slots=True)
class Edit:
    """The changes that were made together; `is_outside` where nobody was named.

    `key` names it: its context, or the moment of its transaction. `job` is the job it was part of.
    """

    at: datetime
    key: str
    actor: str = ""
    surface: str = ""
    reason: str = ""
    client: str = ""
    is_outside: bool = False
    job: int | None = None
    rows: list[RowChange] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Source:
    """A table of events and which of them belong to the object.

    Of several objects, `column` of an event says to which, itself or through `owners`.
    """

    events: type[models.Model]
    belongs: Q
    column: str = "pgh_obj_id"
    owners: Mapping[Any, Any] | None = None

    @classmethod
    def by(
        cls, model: Any, column: str, keys: Iterable[Any], owners: Mapping[Any, Any] | None = None
    ) -> Self:
        """The events of a model by a column that holds one of these."""
        return cls(model.pgh_event_model, Q(**{f"{column}__in": [*keys]}), column, owners)

    def owner_of(self, event: Any) -> Any:
        """The key of the object that an event belongs to."""
        key = getattr(event, self.column)
        return self.owners[key] if self.owners is not None else key


def sources_of(model: type[models.Model], *pks: Any) -> list[Source]:
    """The events of these rows; of an address also those of its targets and subaddress rules.

    Of a domain, those of notices to its owners and of its records in DNS. Of a user, what opens the
    panel: flags and groups, a role among them.
    """
    concrete: Any = model._meta.concrete_model
    if concrete is User:
        return [Source.by(Account, "pgh_obj_id", pks), Source.by(AccountGroup, "user_id", pks)]
    sources = [Source.by(concrete, "pgh_obj_id", pks)]
    if concrete is Address:
        sources += [Source.by(each, "address_id", pks) for each in (SubaddressRule, Target)]
        # Apart, since one condition with both would be looked for in the whole table.
        rules: Any = SubaddressRule.pgh_event_model  # type: ignore[attr-defined]
        pairs = rules.objects.filter(address_id__in=pks).values_list("pgh_obj_id", "address_id")
        sources.append(Source.by(Target, "rule_id", owners := dict(pairs), owners))
    if concrete is Domain:
        sources += [Source.by(each, "domain_id", pks) for each in (Forewarning, DomainCheck)]
    if concrete is SubaddressRule:
        sources.append(Source.by(Target, "rule_id", pks))
    return sources


def read(sources: Iterable[Source]) -> list[Edit]:
    """The newest edits first, at most NEWEST events of each source. A handful of queries."""
    events: list[tuple[Any, Any]] = []
    for source in sources:
        events += _with_predecessors(source)
    events.sort(key=lambda pair: (pair[0].pgh_created_at, pair[0].pgh_id), reverse=True)
    return gather(events)


def gather(events: Sequence[tuple[Any, Any]]) -> list[Edit]:
    """Events, each with the one before it, as edits in the order in which they come."""
    names = _Names(event for pair in events for event in pair if event is not None)
    edits: dict[str, Edit] = {}
    for event, before in events:
        edit = edits.setdefault(key_of(event), edit_of(event))
        edit.rows.append(_row_change(event, before, names))
    return list(edits.values())


def key_of(event: Any) -> str:
    """The key of the edit that an event is part of."""
    if event.pgh_context_id is not None:
        return str(event.pgh_context_id)
    return str(event.pgh_created_at.isoformat())


def in_edit(key: str) -> Q:
    """The events of the edit with this key. Raises ValueError where it is no key."""
    try:
        return Q(pgh_context=UUID(key))
    except ValueError:
        return Q(pgh_context=None, pgh_created_at=datetime.fromisoformat(key))


def predecessor(event: Any) -> Any:
    """The event before this one of the same row; None where there is none."""
    older = type(event)._default_manager.filter(
        pgh_obj_id=event.pgh_obj_id, pgh_id__lt=event.pgh_id
    )
    return older.order_by("-pgh_id").first()


def predecessors(events: Iterable[Any]) -> dict[tuple[str, int], Any]:
    """The predecessor of each of these events that has one, by `event_key`; two queries a table."""
    tables: dict[type[models.Model], list[int]] = {}
    for event in events:
        tables.setdefault(type(event), []).append(event.pgh_id)
    return {key: before for table in tables.items() for key, before in _predecessors(*table)}


def _predecessors(table: Any, ids: list[int]) -> Iterable[tuple[tuple[str, int], Any]]:
    rows = table._default_manager
    older = rows.filter(pgh_obj_id=OuterRef("pgh_obj_id"), pgh_id__lt=OuterRef("pgh_id"))
    last = Subquery(older.order_by("-pgh_id").values("pgh_id")[:1])
    pairs = list(rows.filter(pgh_id__in=ids).values_list("pgh_id", last))
    found = rows.in_bulk([before for _, before in pairs if before is not None])
    return [((table.__name__, key), found[before]) for key, before in pairs if before in found]


def event_key(event: Any) -> tuple[str, int]:
    """What names an event among those of all tables."""
    return type(event).__name__, event.pgh_id


def difference(old: Any, new: Any) -> tuple[FieldChange, ...]:
    """What differs between two events of one row."""
    return tuple(_diff(new, old, _Names([old, new])))


def actor_of(event: Any) -> str:
    """Who made an event."""
    return edit_of(event).actor


def by(event: Any) -> str:
    """Who made an event and when, as a sentence goes on; empty without an event."""
    if event is None:
        return ""
    when = timezone.localtime(event.pgh_created_at).strftime("%Y-%m-%d %H:%M:%S %Z")
    return f", by {actor_of(event)} at {when}"


def author_of(row: Any, field: str | None = None) -> Any:
    """The event that gave a field of a row the value that it has, or else the row's last event.

    None for what has no history.
    """
    if not is_tracked(type(row)):
        return None
    events = row._meta.concrete_model.pgh_event_model.objects.filter(pgh_obj_id=row.pk)
    newest = list(events.select_related("pgh_context").order_by("-pgh_id")[:NEWEST])
    column = row._meta.get_field(field).attname if field else "pgh_id"
    alike = takewhile(lambda event: getattr(event, column) == getattr(newest[0], column), newest)
    return next(reversed(list(alike)), None)


def told(event: Any) -> str:
    """What an operator calls the row of an event."""
    return f"{noun_of(event, event.pgh_tracked_model)} {_Names([event]).subject(event)}"


def is_tracked(model: type[models.Model]) -> bool:
    """Whether triggers record this model's changes."""
    concrete = model._meta.concrete_model
    return concrete is User or hasattr(concrete, "pgh_event_model")


def noun_of(row: Any, model: type[models.Model]) -> str:
    """What an operator calls a row of the model: an address is an alias or a role address.

    The row may be an event of the model, too.
    """
    if model._meta.concrete_model is Address:
        return str(row.get_kind_display())
    return str(model._meta.verbose_name)


def _with_predecessors(source: Source) -> list[tuple[Any, Any]]:
    """Each event with the one before it of the same row; None before the first."""
    rows: Any = source.events._default_manager
    newest = rows.filter(source.belongs).select_related("pgh_context").order_by("-pgh_id")
    pairs: list[tuple[Any, Any]] = []
    before: dict[Any, Any] = {}
    for event in reversed(newest[:NEWEST]):
        earlier = before.get(event.pgh_obj_id)
        if earlier is None and event.pgh_label != "insert":
            earlier = predecessor(event)
        pairs.append((event, earlier))
        before[event.pgh_obj_id] = event
    return pairs


def edit_of(event: Any) -> Edit:
    """Who made the change that an event records, when and why, without its rows."""
    at, key = event.pgh_created_at, key_of(event)
    if event.pgh_context is None:
        return Edit(at, key, actor="outside the panel", is_outside=True)
    about = event.pgh_context.metadata
    return Edit(
        at,
        key,
        actor=about.get("actor") or "unknown",
        surface=about.get("surface", ""),
        reason=about.get("reason", ""),
        client=about.get("client", ""),
        job=about.get("job"),
    )


def _row_change(event: Any, before: Any, names: "_Names") -> RowChange:
    verb = VERBS.get(event.pgh_label, event.pgh_label)
    model = event.pgh_tracked_model
    subject = f"{noun_of(event, model)} {names.subject(event)}"
    if event.pgh_label == "delete":
        return RowChange(model, verb, subject, ())
    return RowChange(model, verb, subject, tuple(_diff(event, before, names)))


def _diff(event: Any, before: Any, names: "_Names") -> Iterable[FieldChange]:
    for model_field in _shown_fields(type(event)):
        new = getattr(event, model_field.attname)
        old = getattr(before, model_field.attname) if before is not None else None
        if new == old or (before is None and new in (None, "", [])):
            continue
        label = str(model_field.verbose_name).removesuffix(" (octets)")
        yield FieldChange(label, names.show(model_field, old), names.show(model_field, new))


def _shown_fields(events: type[models.Model]) -> Sequence[Any]:
    fields: Sequence[Any] = events._meta.concrete_fields
    return [
        shown
        for shown in fields
        if not (shown.name.startswith("pgh_") or shown.name in SILENT or _is_parent(shown))
    ]


def _is_parent(model_field: Any) -> bool:
    """A target's or rule's way to its address never changes."""
    return model_field.name in PARENTS and model_field.remote_field is not None


class _Names:
    """Reads the names of all rows that the events point at, one query a model."""

    def __init__(self, events: Iterable[Any]) -> None:
        wanted: dict[type[models.Model], set[Any]] = {}
        for event in events:
            for model_field in _shown_fields(type(event)):
                if model_field.remote_field:
                    pk = getattr(event, model_field.attname)
                    wanted.setdefault(model_field.remote_field.model, set()).add(pk)
        self._rows = {
            model: model._base_manager.in_bulk(pks - {None}) for model, pks in wanted.items()
        }

    def show(self, model_field: Any, value: Any) -> str:
        """A value as an operator reads it."""
        if value in (None, "", []):
            return "—"
        if model_field.remote_field:
            row = self._rows[model_field.remote_field.model].get(value)
            return str(row) if row is not None else f"#{value} (deleted)"
        if conceal := _concealed(model_field.model).get(model_field.name):
            return str(conceal(value))
        return _show_plain(model_field, value)

    def subject(self, event: Any) -> str:
        """A few words for the row an event is about."""
        if group_id := getattr(event, "group_id", None):
            return str(self._rows[Group].get(group_id, f"#{group_id}"))
        if record := getattr(event, "record_name", ""):
            return f"{event.get_kind_display()} of {record}"
        if getattr(event, "kind", "") == "mailbox" and hasattr(event, "mailbox_id"):
            return f"mailbox {self._rows[Mailbox].get(event.mailbox_id, f'#{event.mailbox_id}')}"
        for name in ("key", "name", "username", "detail", "forward_to", "kind"):
            if value := getattr(event, name, ""):
                return str(value)
        return f"#{event.pgh_obj_id}"


def _concealed(events: Any) -> Mapping[str, Callable[[Any], str]]:
    """What a tracked model says of its fields that hold secrets: how each is shown instead."""
    return getattr(events.pgh_tracked_model, "concealed", {})


def _show_plain(model_field: Any, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return timezone.localtime(value).strftime("%Y-%m-%d %H:%M:%S %Z")
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if model_field.name.endswith("octets") and model_field.name != "local_part_max_octets":
        return print_octets(value)
    return str(dict(model_field.flatchoices).get(value, value))
