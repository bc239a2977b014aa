"""What workers and beat do for mail: deliver, sweep, purge.

Each may be lost, repeated or killed at any moment: the rows say what is left to do.
"""

import threading

from celery import shared_task, signals

from gateway import bell, retention
from gateway.delivery import Drain, give_up, is_anything_due

LINGER_SECONDS = 5.0

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


def _stop(**_signal: object) -> None:
    drain = _running
    if drain is not None:
        drain.stop()


signals.worker_shutting_down.connect(_stop, weak=False)
