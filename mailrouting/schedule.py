"""What beat strikes, and for how long a stroke is worth anything."""

from datetime import timedelta
from typing import Any

LEAST_EXPIRY_SECONDS = 60
"""More than the clocks of two hosts differ by: a message that expired is never worked at."""


def every(seconds: int, task: str) -> dict[str, Any]:
    """An entry of beat, dropped if no worker took it until it is struck again.

    Its rows are still due then, and what waits for a worker does not stand behind old strokes.
    """
    # django-celery-beat leaves out `expires`, which is Celery's own word for it.
    options = {"expire_seconds": max(seconds, LEAST_EXPIRY_SECONDS)}
    return {"task": task, "schedule": timedelta(seconds=seconds), "options": options}
