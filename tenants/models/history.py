"""History of control-plane rows: statement-level triggers, so raw SQL and bulk edits count too.

Event rows are append-only in the database (PGHISTORY_APPEND_ONLY).
"""

from typing import TypeVar

import pghistory
import pgtrigger
from django.db import models

Model = TypeVar("Model", bound=type[models.Model])


def tracked(model: Model) -> Model:
    """Record every insert, update and delete of the model, deletes explicitly."""
    trackers = (pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent())
    decorated: Model = pghistory.track(*trackers, level=pgtrigger.Statement)(model)
    return decorated
