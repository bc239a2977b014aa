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


def tracked_in(*fields: str, when: pgtrigger.Condition | None = None) -> Callable[[Model], Model]:
    """As `tracked`, for a model of which these fields alone are worth an event.

    An update leaves one where any of them changed, or where `when` holds of the row's old and new
    values.
    """

    def track(model: Model) -> Model:
        decorated: Model = pghistory.track(
            *_trackers(when),
            fields=list(fields),
            model_name=f"{model.__name__}Event",
            obj_field=pghistory.ObjForeignKey(related_name="events"),
            level=pgtrigger.Statement,
        )(model)
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


def _trackers(when: pgtrigger.Condition | None = None) -> tuple[pghistory.Tracker, ...]:
    updates = pghistory.UpdateEvent(condition=when) if when else pghistory.UpdateEvent()
    return (pghistory.InsertEvent(), updates, pghistory.DeleteEvent())
