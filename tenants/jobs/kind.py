"""What a kind of job has to say about itself, and the register of those there are.

A kind holds no state: the job's parameters and its items say everything, since another process
may go on with them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

import structlog
from django.apps import apps
from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.db import DataError, IntegrityError, models, transaction
from django.db.models import ProtectedError, RestrictedError

from tenants import changes, needing
from tenants.changes import Actor
from tenants.models import JobItem

CHUNK_ROWS = 100
MEANWHILE = "Somebody else saved the same thing at this moment."
NO_VALUE = "What it would become cannot be stored: {error}."

CHANGED = JobItem.Outcome.CHANGED
UNCHANGED = JobItem.Outcome.UNCHANGED
REFUSED = JobItem.Outcome.REFUSED

log = structlog.get_logger()


class RefusedError(Exception):
    """An item that cannot be done, with the sentence why."""


class StuckError(Exception):
    """The job as a whole cannot go on for now; the sentence why stands on its page.

    The chunk is rolled back, and whoever mends the cause lets the job go on from there.
    """


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one item.

    `note` is the reason of a refusal, or what else there is to say. `touched` are the rows whose
    history holds the change, where it is not the item's own row alone. `learnt` is added to the
    item's payload.
    """

    result: str
    note: str = ""
    touched: tuple[models.Model, ...] = ()
    learnt: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """What a kind is handed besides its items; `is_trial` where all of it is rolled back."""

    parameters: dict[str, Any]
    actor: Actor
    now: datetime
    is_trial: bool = False
    job_id: int = 0
    reason: str = ""


class Kind(Protocol):
    """A kind of job.

    `apply` does the items of one chunk, inside the chunk's transaction, and returns their outcomes
    in order; it raises StuckError, and else nothing but what is a defect. `undone_by` names the
    kind of the inverse job, empty where there is none. A chunk has at most `chunk_rows` items and
    has to end well before the lease. What is `for_workers` no request does, however short it is.
    """

    @property
    def name(self) -> str: ...

    @property
    def chunk_rows(self) -> int: ...

    @property
    def undone_by(self) -> str: ...

    @property
    def for_workers(self) -> bool: ...

    def apply(self, items: Sequence[JobItem], work: Work) -> Sequence[Outcome]: ...


@dataclass(frozen=True)
class RowByRow:
    """A kind whose items do not depend on each other: what a rule refuses leaves the rest alone.

    Subclasses say in `apply_one` what happens to one item. The tenants of a chunk are locked before
    anything of theirs is read, so that nothing is decided by what others change meanwhile.
    """

    name: str
    chunk_rows: int = CHUNK_ROWS
    undone_by: str = "undo"
    for_workers: bool = False

    def apply(self, items: Sequence[JobItem], work: Work) -> list[Outcome]:
        changes.lock_tenants(tenants_of(items))
        return [attempt(self, item, work) for item in items]

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        """Change what the item is about. Raises what the write path raises, or RefusedError."""
        raise NotImplementedError


def attempt(kind: RowByRow, item: JobItem, work: Work) -> Outcome:
    """One item in a savepoint of its own: all of it, or a refusal with its reason."""
    try:
        with transaction.atomic():
            return kind.apply_one(item, work)
    except (RefusedError, PermissionDenied) as refused:
        return Outcome(REFUSED, str(refused))
    except ValidationError as error:
        return Outcome(REFUSED, " ".join(dict.fromkeys(_sentences(error))))
    except (ProtectedError, RestrictedError) as error:
        return Outcome(REFUSED, f"It is still needed by: {needing.print_names(error)}.")
    except IntegrityError:
        return Outcome(REFUSED, MEANWHILE)
    except (OverflowError, ValueError, DataError) as error:
        log.warning("item_cannot_be_stored", job=work.job_id, item=item.pk, exc_info=True)
        return Outcome(REFUSED, NO_VALUE.format(error=str(error).partition("\n")[0]))


def tenants_of(items: Iterable[JobItem]) -> set[int]:
    """The tenants of the rows that items name, touched ones too. One query for each model."""
    keys: dict[str, set[Any]] = {}
    for item in items:
        for name, pk in [[item.model, item.row_pk], *item.touched]:
            if pk is not None:
                keys.setdefault(name, set()).add(pk)
    rows = (apps.get_model(name)._base_manager.filter(pk__in=pks) for name, pks in keys.items())
    return {tenant for each in rows for tenant in changes.tenants_of(each)}


def _sentences(error: ValidationError) -> list[str]:
    """Each with the field in front that it is about."""
    if not hasattr(error, "error_dict"):
        return list(error.messages)
    return [
        sentence if name == NON_FIELD_ERRORS else f"{label_of(name)}: {sentence}"
        for name, sentences in error.message_dict.items()
        for sentence in sentences
    ]


def label_of(field: str) -> str:
    """A field as a sentence names it."""
    return field.replace("_", " ").capitalize()


@dataclass(slots=True)
class Register:
    """The kinds by name."""

    kinds: dict[str, Kind] = field(default_factory=dict)

    def add(self, kind: Kind) -> None:
        """Take a kind in. Raises ValueError where the name is taken."""
        if kind.name in self.kinds:
            raise ValueError(f"There is a kind of job named {kind.name} already.")
        self.kinds[kind.name] = kind


_register = Register()
AnyKind = TypeVar("AnyKind", bound=Kind)


def register(kind: AnyKind) -> AnyKind:
    """Take a kind into the register; it comes back."""
    _register.add(kind)
    return kind


def find(name: str) -> Kind | None:
    """The kind of this name; None where this version of the program does not know it."""
    from tenants.jobs import kinds  # noqa: F401 - they register themselves

    return _register.kinds.get(name)
