"""The one write path of the control plane: the only caller of save() and delete() in tenants/.

Each change is attributed (who, through which surface, why), validated by the model's own rules,
and must leave the row visible to whoever changed it. The history triggers record the rest.

A row may have been read long before it is saved: under the lock it is read anew, what others
changed meanwhile stands, and only what its author changed is written (tenants/meanwhile.py).
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from uuid import UUID

import pghistory
from django.contrib.auth.models import AbstractBaseUser
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.db import IntegrityError, connection, models, transaction

from tenants import identities, loops, meanwhile, needing
from tenants.lock import TENANT
from tenants.models import Address, SendAsIdentity
from tenants.models.fields import Ruled

Row = TypeVar("Row", bound=Ruled)
# Keys of addresses whose mail may go elsewhere by the edit that is under way.
_touched: ContextVar[set[str]] = ContextVar("touched")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who changes something: a user, or the system by the name of its job."""

    surface: str  # "admin", "portal", "api", "task", "command", "import"
    user: AbstractBaseUser | None = None
    name: str = ""
    request_id: str = ""
    client: str = ""
    job: int | None = None  # the job that the change is part of

    @classmethod
    def system(cls, name: str, *, surface: str = "command") -> Self:
        return cls(surface=surface, name=name)

    @property
    def label(self) -> str:
        return self.user.get_username() if self.user else self.name

    @property
    def signature(self) -> dict[str, Any]:
        """Who it was, by the columns of rows that keep it beside the history."""
        return {
            "actor": self.label,
            "user_id": self.user.pk if self.user else None,
            "surface": self.surface,
            "client": self.client or None,
            "request_id": self.request_id,
        }


@contextmanager
def attributed(actor: Actor, *, reason: str = "") -> Iterator[UUID]:
    """One transaction whose every change carries actor, surface, reason and request id.

    What comes back names the edit in the history.

    Inside another one, an empty reason leaves the outer one standing.
    """
    about: dict[str, Any] = {
        "surface": actor.surface,
        "user": actor.user.pk if actor.user else None,
        "actor": actor.label,
        "name": actor.name,
        "request_id": actor.request_id,
        "client": actor.client,
    }
    if reason:
        about["reason"] = reason
    if actor.job is not None:
        about["job"] = actor.job
    with transaction.atomic(), pghistory.context(**about) as edit:
        with connection.cursor() as cursor:
            # Carries the context, so that a COPY after it has it too; a SELECT would not.
            cursor.execute("VALUES (1)")
        with _gathering() as touched:
            yield edit.id
            _put_back(touched)


def save(
    row: Row,
    *,
    actor: Actor,
    reason: str = "",
    update_fields: Iterable[str] | None = None,
) -> Row:
    """Validate and save one row. Raises ValidationError naming the field, or PermissionDenied.

    With `update_fields` what else was changed is not written. Refused is, too, a field that
    somebody else changed since the row was read.
    """
    return save_all([row], actor=actor, reason=reason, update_fields=update_fields)[0]


def save_all(
    rows: Iterable[Row],
    *,
    actor: Actor,
    reason: str = "",
    update_fields: Iterable[str] | None = None,
) -> list[Row]:
    """Save several rows in order, all or none."""
    saved = []
    only = list(update_fields) if update_fields else None
    with attributed(actor, reason=reason):
        for row in rows:
            _take_parents_ids(row)
            stored = lock(row)
            if not _is_new(row):
                meanwhile.merge(row, stored, only=only)
            row.full_clean()
            _write(row, only)
            _look_around(row, stored)
            _require_visible(row, actor)
            saved.append(row)
    return saved


def _look_around(row: Ruled, stored: dict[str, Any] | None) -> None:
    """What a saved row does to mail beyond itself: asked of the rows as they stand now."""
    loops.require_none_after_save(row, stored)
    if isinstance(row, SendAsIdentity):
        identities.require_right(row, stored)
    _touched.get(set()).update(identities.touched_by(row, stored))


@contextmanager
def _gathering() -> Iterator[set[str]]:
    """What is touched inside, for the outermost; an inner one leaves it to that one."""
    if _touched.get(None) is not None:
        yield set()
        return
    gathered: set[str] = set()
    token = _touched.set(gathered)
    try:
        yield gathered
    finally:
        _touched.reset(token)


def _put_back(touched: set[str]) -> None:
    """Identities that lost their route with this edit are pending again, and say why."""
    if touched and (lost := identities.lost_by(touched)):
        rows = SendAsIdentity._base_manager.filter(pk__in=lost)
        rows.update(state=SendAsIdentity.State.PENDING, doubt=identities.LOST)


def _is_new(row: models.Model) -> bool:
    return row.pk is None or row._state.adding


def _take_parents_ids(row: models.Model) -> None:
    """A parent saved earlier in the same call has an id by now; validation looks at that."""
    for field in row._meta.concrete_fields:
        is_given = field.is_relation and field.name in row._state.fields_cache
        if is_given and getattr(row, field.attname) is None:
            setattr(row, field.name, getattr(row, field.name))


def delete(row: models.Model, *, actor: Actor, reason: str = "") -> None:
    """Delete one row and what belongs to it. Raises ProtectedError where it is still needed, or
    ValidationError where its model keeps it.
    """
    with attributed(actor, reason=reason):
        stored = lock(row)
        _require_visible(row, actor)
        if isinstance(row, Ruled):
            row.as_read = stored or {}
            row.check_deletion()
        needing.require_unneeded(row)
        _touched.get(set()).update(identities.touched_by(row))
        row.delete()
        loops.require_none_after_delete(row)


def update(rows: "models.QuerySet[Any]", *, actor: Actor, reason: str = "", **values: Any) -> int:
    """Set the same values on many rows in one statement; the count comes back.

    Only for values that no rule of the model depends on. Raises PermissionDenied where the actor
    may not see all of the rows, before and after. Holds a lock for each of their tenants.
    """
    with attributed(actor, reason=reason):
        lock_tenants(tenants_of(rows))
        base = rows.model._base_manager
        keys = list(base.filter(pk__in=rows.order_by().values("pk")).values_list("pk", flat=True))
        _require_all_visible(rows.model, keys, actor)
        count: int = base.filter(pk__in=keys).update(**values)
        if issubclass(rows.model, Address):
            touched = base.filter(pk__in=keys).values_list("key", flat=True)
            _touched.get(set()).update(touched)
        _require_all_visible(rows.model, keys, actor)
        return count


def _write(row: Ruled, only: list[str] | None) -> None:
    """Save what differs; what only the database could notice is told with the rule's own field and
    sentence.
    """
    is_new = _is_new(row)
    try:
        if is_new:
            row.save(force_insert=True)
        else:
            row.save(update_fields=meanwhile.differing(row, only=only))
    except IntegrityError as error:
        told = _broken_rule(row, error)
        if told is None:
            raise
        raise told from error
    row.note_as_read(None if is_new else only)


def _broken_rule(row: models.Model, error: IntegrityError) -> ValidationError | None:
    model = row._meta.concrete_model or type(row)
    name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None) or ""
    for constraint in model._meta.constraints:
        if constraint.name == name:
            field = constraint.violation_error_code or NON_FIELD_ERRORS
            return ValidationError({field: str(constraint.violation_error_message)})
    for unique in model._meta.concrete_fields:
        if unique.unique and name.startswith(f"{model._meta.db_table}_{unique.column}_"):
            return ValidationError({unique.name: row.unique_error_message(model, (unique.name,))})
    return None


def tenants_of(rows: "models.QuerySet[Any]") -> set[int]:
    """The tenants of many rows, along their model's `tenant_path`. One query."""
    path = getattr(rows.model, "tenant_path", None)
    if path is None:
        return set()
    return set(rows.order_by().values_list(path or "pk", flat=True).distinct()) - {None}


def lock_tenants(tenants: Iterable[int]) -> None:
    """As `lock`, for several tenants, in one order so that no two wait for each other.

    What is read afterwards, in this transaction, nobody changes until its end.
    """
    if not (ordered := sorted(tenants)):
        return
    query = "SELECT pg_advisory_xact_lock(%s, tenant) FROM unnest(%s::int[]) AS tenant"
    with connection.cursor() as cursor:
        cursor.execute(query, [TENANT, ordered])


def lock(row: models.Model) -> dict[str, Any] | None:
    """Changes to one tenant's routing wait for each other, so that rules over rows hold.

    What the row holds by then comes back, by column; None where it is not there.
    """
    tenant_id = tenant_id_of(row)
    if tenant_id is not None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [TENANT, tenant_id])
    if _is_new(row):
        return None
    columns = [name for each in row._meta.concrete_fields if (name := each.attname) in row.__dict__]
    query = row.__class__._base_manager.select_for_update().filter(pk=row.pk)
    return next(iter(query.values(*columns)), None)


def tenant_id_of(row: models.Model) -> int | None:
    """The tenant a row belongs to, along its `tenant_path`; None for platform-wide rows."""
    value: Any = getattr(row, "origin", row)
    path = getattr(value, "tenant_path", None)
    if path is None:
        return None
    for name in filter(None, path.split("__")):
        value = getattr(value, f"{name}_id" if name == "tenant" else name, None)
        if value is None or name == "tenant":
            break
    return value if isinstance(value, int) else getattr(value, "pk", None)


def _require_visible(row: models.Model, actor: Actor) -> None:
    """A change may not put a row out of its author's sight (another tenant's, for one)."""
    _require_all_visible(type(row), [row.pk], actor)


def _require_all_visible(model: type[models.Model], keys: list[Any], actor: Actor) -> None:
    if actor.user is None:
        return
    rows: Any = model._default_manager
    if rows.visible_to(actor.user).filter(pk__in=keys).count() != len(keys):
        raise PermissionDenied(f"{model._meta.verbose_name} is not visible to {actor.label}.")
