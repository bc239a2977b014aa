"""History of control-plane rows: statement-level triggers, so raw SQL and bulk edits count too.

Event rows are append-only in the database (PGHISTORY_APPEND_ONLY).
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

import pghistory
import pgtrigger
from django.db import models

Model = TypeVar("Model", bound=type[models.Model])


def tracked(model: Model) -> Model:
    """Record every insert, update and delete of the model, deletes explicitly."""
    return tracked_by()(model)


def tracked_by(*indexes: models.Index) -> Callable[[Model], Model]:
    """As `tracked`, with these indexes on the table of events."""

    def track(model: Model) -> Model:
        about = {"indexes": [*indexes]} if indexes else {}
        level = pgtrigger.Statement
        decorated: Model = pghistory.track(*_trackers(), level=level, meta=about)(model)
        return decorated

    return track


def tracked_elsewhere(*, fields: Sequence[str] | None = None) -> Callable[[Model], Model]:
    """As `tracked`, for a proxy of another app's model; the events are kept in this one.

    Without `fields` all are recorded, with them a change of the others leaves no event.
    """

    def track(model: Model) -> Model:
        decorated: Model = pghistory.track(
            *_trackers(),
            fields=list(fields) if fields else None,
            model_name=f"{model.__name__}Event",
            app_label="tenants",
            level=pgtrigger.Statement,
        )(model)
        return decorated

    return track


def _trackers() -> tuple[pghistory.Tracker, ...]:
    return (pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent())
