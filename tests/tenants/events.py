"""The newest entry of a row's history, as the triggers wrote it."""

from typing import Any


def last_context(row: Any) -> dict[str, Any]:
    """Who made the last change of a row, through what and why."""
    event = row.pgh_event_model.objects.order_by("-pgh_id").first()
    metadata: dict[str, Any] = event.pgh_context.metadata
    return metadata
