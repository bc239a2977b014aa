"""History of control-plane rows: statement-level triggers, so raw SQL and bulk edits count too.

Event rows are append-only in the database (PGHISTORY_APPEND_ONLY).
"""

from collections.abc import Callable
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
        trackers = (pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent())
        about = {"indexes": [*indexes]} if indexes else {}
        level = pgtrigger.Statement
        decorated: Model = pghistory.track(*trackers, level=level, meta=about)(model)
        return decorated

    return track
