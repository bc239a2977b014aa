"""What workers and beat do for mail: deliver, sweep, purge.

Each may be lost, repeated or killed at any moment: the rows say what is left to do.
"""

import threading

from celery import shared_task, signals
from django.utils import timezone

from gateway import bell, concerns, retention, use
from gateway.delivery import Drain, give_up, is_anything_due

LINGER_SECONDS = 5.0
# Of one run; what it leaves, the next one reads.
USE_SECONDS = 60.0

_lock = threading.Lock()
_running: Drain | None = None


@shared_task(ignore_result=True)
def deliver() -> None:
    """Deliver what is due. One drain a process: a second bell only wakes the first one."""
    global _running  # noqa: PLW0603 - the process's one drain
    with _lock:
        if _running is not None:
            _running.wake()
            return
        drain = _running = Drain(linger_seconds=LINGER_SECONDS)
    try:
        drain.run()
    finally:
        with _lock:
            _running = None
            is_rung = drain.was_woken
    if is_rung:
        bell.ring()


@shared_task(ignore_result=True)
def sweep() -> None:
    """Ring for deliveries that are due, or whose worker ended, though no bell was heard."""
    if is_anything_due():
        bell.ring()


@shared_task(ignore_result=True)
def purge() -> None:
    """Drop what is past its retention, and give up what waited too long for a hop that is out."""
    give_up()
    retention.purge()
    use.forget_deleted()


@shared_task(ignore_result=True)
def look_over() -> None:
    """Note when addresses last got mail, and which of them need somebody to look at them."""
    now = timezone.now()
    use.stamp(now=now, most_seconds=USE_SECONDS)
    concerns.look_over(now=now)


def _stop(**_signal: object) -> None:
    drain = _running
    if drain is not None:
        drain.stop()


signals.worker_shutting_down.connect(_stop, weak=False)
