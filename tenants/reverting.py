"""Takes an edit back, as a new and attributed one: the earlier values, the deleted rows, no more
of what was created.

All of it goes through tenants.changes, so what the rules forbid now is refused with their sentence,
and so is what somebody else has edited meanwhile.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models

from tenants import changes, history, needing
from tenants.belonging import require_bare
from tenants.changes import Actor
from tenants.models import (
    Address,
    Domain,
    Mailbox,
    Membership,
    NextHop,
    Plan,
    SendAsIdentity,
    SubaddressRule,
    Target,
    Tenant,
)
from tenants.models.fields import Ruled

# Parents before what belongs to them.
ORDER: Sequence[type[Ruled]] = (
    Plan,
    Tenant,
    Membership,
    NextHop,
    Mailbox,
    Domain,
    Address,
    SubaddressRule,
    Target,
    SendAsIdentity,
)
ROWS_AT_ONCE = 200
EVENTS_AT_ONCE = ROWS_AT_ONCE * 10
KEPT = frozenset({"id", "created_at"})
NO_EDIT = UUID(int=0)
NOTHING = "Nothing of this edit is left to take back."
TOO_MANY = f"This edit changed more than {ROWS_AT_ONCE} rows: undo the job that made it."
NO_BEFORE = "What {subject} was before is not recorded."

Place = tuple[type[models.Model], Any]  # a row, by its model and key


@dataclass(frozen=True, slots=True)
class Net:
    """What an edit made of one row: its event before and after; None where it was not there.

    `last` is the edit's last event of the row.
    """

    model: type[Ruled]
    pk: Any
    before: Any
    after: Any
    last: Any

    @property
    def verb(self) -> str:
        """What taking it back does to the row."""
        return "delete" if self.before is None else "add" if self.after is None else "change"

    @property
    def fields(self) -> list[Any]:
        """The model's fields that the edit changed."""
        return [
            each
            for each in self.model._meta.concrete_fields
            if each.name not in KEPT
            and getattr(self.before, each.attname) != getattr(self.after, each.attname)
        ]

    @property
    def subject(self) -> str:
        return history.told(self.last)


def can_revert(model: type[models.Model]) -> bool:
    """Whether edits of such rows can be taken back at all."""
    return model._meta.concrete_model in ORDER


def revertible(edits: Iterable[history.Edit]) -> set[str]:
    """The keys of the edits that changed a row of these: a notice that was sent stays sent."""
    return {each.key for each in edits if any(can_revert(row.model) for row in each.rows)}


def net_changes(sources: Iterable[history.Source], edit: str) -> list[Net]:
    """What the edit of this key made of each row, parents first; at most two queries a row.

    Raises ValidationError where it made too much of it, or what was before is not known.
    """
    made = [each for source in sources for each in _by_row(_made(source, edit)[:EVENTS_AT_ONCE])]
    return _nets(made, history.predecessor)


@dataclass(frozen=True, slots=True)
class Past:
    """What one edit made of many rows, read together: what has happened stays as it is."""

    made: Mapping[Place, Sequence[list[Any]]]
    before: Mapping[Any, Any]

    @classmethod
    def read(cls, places: Iterable[Place], edit: str) -> Self:
        """Of rows and what belongs to them. As many queries for many rows as for one."""
        keys: dict[type[models.Model], set[Any]] = {}
        for model, pk in places:
            keys.setdefault(model, set()).add(pk)
        made: dict[Place, list[list[Any]]] = {}
        for model, pks in keys.items():
            for source in history.sources_of(model, *pks):
                for events in _by_row(_made(source, edit)):
                    made.setdefault((model, source.owner_of(events[0])), []).append(events)
        changed = [events[0] for found in made.values() for events in found]
        return cls(made, history.predecessors(filter(_has_before, changed)))

    def net_changes(self, places: Iterable[Place]) -> list[Net]:
        """As the function of that name, of some of the rows that were read. No query."""
        made = [events for place in places for events in self.made.get(place, ())]
        return _nets(made, lambda event: self.before.get(history.event_key(event)))


def _made(source: history.Source, edit: str) -> Any:
    """The events of an edit, in order; none of what cannot be taken back, as a notice's sending."""
    rows: Any = source.events._default_manager
    if not can_revert(rows.model.pgh_tracked_model):
        return rows.none()
    return rows.filter(source.belongs, history.in_edit(edit)).order_by("pgh_id")


def _by_row(events: Iterable[Any]) -> list[list[Any]]:
    by_row: dict[Any, list[Any]] = {}
    for event in events:
        by_row.setdefault(event.pgh_obj_id, []).append(event)
    return list(by_row.values())


def _nets(made: Sequence[list[Any]], predecessor: Callable[[Any], Any]) -> list[Net]:
    if len(made) > ROWS_AT_ONCE:
        raise ValidationError(TOO_MANY)
    found = [_net(events, predecessor) for events in made]
    return sorted(found, key=lambda net: (ORDER.index(net.model), net.pk))


def _net(made: list[Any], predecessor: Callable[[Any], Any]) -> Net:
    first, last = made[0], made[-1]
    before = predecessor(first) if _has_before(first) else _gone(first)
    if before is None and first.pgh_label != "insert":
        raise ValidationError(NO_BEFORE.format(subject=history.told(first)))
    after = None if last.pgh_label == "delete" else last
    return Net(last.pgh_tracked_model, last.pgh_obj_id, before, after, last)


def _has_before(event: Any) -> bool:
    """Whether what the row was before stands in another event."""
    return event.pgh_label not in ("insert", "delete")


def _gone(event: Any) -> Any:
    return event if event.pgh_label == "delete" else None


def revert(
    net: Sequence[Net], *, actor: Actor, reason: str = "", is_strict: bool = False
) -> list[Ruled]:
    """Take these changes back, all or none; the rows that stand again or still come back.

    What was edited since in the same fields is refused, and if strict in any. Raises
    ValidationError or PermissionDenied with the sentence why.
    """
    if not net:
        raise ValidationError(NOTHING)
    with changes.attributed(actor, reason=reason) as edit:
        for each in reversed(net):
            if each.before is None:
                _remove(each, actor, reason, edit)
        back = (_put_back(each, is_strict) for each in net if each.before)
        rows = changes.save_all(back, actor=actor, reason=reason)  # one after the other
        for row in rows:
            if isinstance(row, Address | SubaddressRule):
                row.check_targets()
    return rows


def foresee(net: Sequence[Net]) -> None:
    """Whether these changes can be taken back, as things stand: only read, so nobody is waited for.

    What the rules say of several rows together is found out when it is done. Raises as `revert`
    does, and NeededError where a row is still needed.
    """
    if not net:
        raise ValidationError(NOTHING)
    going = {(each.model, each.pk) for each in net if each.before is None}
    for each in net:
        if each.before is None:
            _foresee_removal(each, going)
        elif len(net) == 1:
            _put_back(each, is_strict=False).full_clean()
        else:
            _wanted(each)


def _foresee_removal(net: Net, going: set[tuple[type[Ruled], Any]]) -> None:
    """Needed is what rows point at that do not go with it."""
    if (row := _removable(net)) is None:
        return
    if isinstance(row, Ruled):
        row.check_deletion()
    require_bare(row, going=going)
    needing.require_unneeded(row, going=going)


def _put_back(net: Net, is_strict: bool) -> Ruled:  # noqa: FBT001
    """The row as it is to be saved; of a row that stands, what stays points where it did."""
    wanted = _wanted(net, is_strict=is_strict)
    _require_related(wanted, net.fields if net.after else wanted._meta.concrete_fields)
    return wanted


def _wanted(net: Net, *, is_strict: bool = False) -> Ruled:
    """The row as it is to be, not saved. Raises ValidationError where it went another way since."""
    rows = net.model._base_manager.filter(pk=net.pk)
    if parents := _parents(net.model):
        rows = rows.select_related(parents)
    row = rows.first()
    return _with_earlier_values(net, row, is_strict) if net.after else _as_it_was(net, row)


def _parents(model: type[models.Model]) -> str:
    """The rows up to its tenant, which its lock and its rules ask for; empty where none are."""
    path = str(getattr(model, "tenant_path", None) or "")
    is_above = path.partition("__")[0] in {each.name for each in model._meta.concrete_fields}
    return path if is_above else ""


def _require_related(row: models.Model, fields: Iterable[Any]) -> None:
    """What these fields point at is still there; what may lapse (an owner's account) lapses."""
    for each in fields:
        pk, remote = getattr(row, each.attname), each.remote_field
        if remote is None or pk is None or remote.model._base_manager.filter(pk=pk).exists():
            continue
        if remote.on_delete is not models.SET_NULL:
            raise ValidationError({each.name: f"The {each.verbose_name} it had has been deleted."})
        setattr(row, each.attname, None)


def _as_it_was(net: Net, row: Ruled | None) -> Ruled:
    """The deleted row under its own id; what the event does not know keeps its default."""
    if row is not None:
        raise ValidationError(f"{net.subject} is there again.")
    fields = [each for each in net.model._meta.concrete_fields if hasattr(net.before, each.attname)]
    values = {each.attname: getattr(net.before, each.attname) for each in fields}
    known = {
        each.attname: values[each.attname]
        for each in fields
        if each.null or values[each.attname] is not None
    }
    return net.model(**known)


def _with_earlier_values(net: Net, row: Ruled | None, is_strict: bool) -> Ruled:  # noqa: FBT001
    later = _later(net)
    if row is None:
        raise ValidationError(f"{net.subject} was deleted since{history.by(later)}.")
    touched = [each for each in net.fields if _differs(row, net, each)]
    if later is not None and (is_strict or touched):
        raise ValidationError(f"{net.subject} was edited since{history.by(later)}.")
    for each in net.fields:
        setattr(row, each.attname, getattr(net.before, each.attname))
    return row


def _differs(row: models.Model, net: Net, each: Any) -> bool:
    return bool(getattr(row, each.attname) != getattr(net.after, each.attname))


def _remove(net: Net, actor: Actor, reason: str, edit: UUID) -> None:
    """Delete what the edit created, unless it has gone; nobody changes it while that is seen."""
    if (there := net.model._base_manager.filter(pk=net.pk).first()) is not None:
        changes.lock(there)
    if (row := _removable(net, edit)) is not None:
        require_bare(row)
        changes.delete(row, actor=actor, reason=reason)


def _removable(net: Net, edit: UUID = NO_EDIT) -> models.Model | None:
    """What the edit created; None where it has gone. Raises ValidationError where somebody has
    worked on it since; what the edit that takes it back did to its targets and rules is not that.
    """
    row: models.Model | None = net.model._base_manager.filter(pk=net.pk).first()
    later = (_later(net) or _later_belonging(net, edit)) if row is not None else None
    if later is not None:
        raise ValidationError(f"{net.subject} was edited since{history.by(later)}.")
    return row


def _later(net: Net) -> Any:
    rows = type(net.last)._default_manager.filter(pgh_obj_id=net.pk, pgh_id__gt=net.last.pgh_id)
    return rows.select_related("pgh_context").order_by("-pgh_id").first()


def _later_belonging(net: Net, edit: UUID) -> Any:
    """The last edit, but this one, of what belongs to a row."""
    for source in history.sources_of(net.model, net.pk)[1:]:
        rows: Any = source.events._default_manager.exclude(pgh_context=edit)
        if not can_revert(rows.model.pgh_tracked_model):  # what was observed is nobody's work
            continue
        later = rows.filter(source.belongs, pgh_created_at__gt=net.last.pgh_created_at)
        if event := later.select_related("pgh_context").order_by("-pgh_id").first():
            return event
    return None
