"""Scheduled jobs of watching: count, look for trouble, tell.

Each may be lost, repeated or killed at any moment: rows say how far it came.
"""

import time

from celery import shared_task
from django.utils import timezone

from gateway import headroom
from gateway.headroom import at_most
from gateway.watch import (
    alarms,
    metrics,  # noqa: F401 - registers the gauge where jobs run
    owners,
    sending,
    traffic,
)

# Then the next run goes on: a worker has other things to do.
LONGEST_SECONDS = 20.0


@shared_task(ignore_result=True)
def count_traffic() -> None:
    """Count what has come since the last time, by minute, hour and day."""
    end = time.monotonic() + LONGEST_SECONDS
    traffic.fold(timezone.now(), has_time=lambda: time.monotonic() < end)


@shared_task(ignore_result=True)
def look_for_trouble() -> None:
    """Open and close alarms."""
    alarms.evaluate(timezone.now())


@shared_task(ignore_result=True)
@at_most(headroom.TELLERS)
def tell() -> None:
    """Send what recipients of alarms and domains' owners are to be told, and have not been yet."""
    owners.queue(timezone.now())
    sending.send_due(timezone.now)
