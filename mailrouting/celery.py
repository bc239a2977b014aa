"""The Celery app: the bell that wakes workers, and the clock that beat strikes.

No mail is ever in the broker: every job is a row, so a lost message costs seconds.
Worker and beat answer their probes from here, and say that they live.
"""

import atexit
import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailrouting.settings")
# Celery would run Django's checks and tell nobody what they found; they load every page's code.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

from celery import Celery, signals
from django.conf import settings

from mailrouting.broker import use_our_transports
from mailrouting.embedded import make_root

use_our_transports()
app = Celery("mailrouting")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


def make_broker_folders() -> None:
    """Create what the filesystem broker of the try-out expects; others need nothing."""
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    folders = [Path(str(value)) for key, value in options.items() if "folder" in key]
    if folders:
        make_root(settings.DATA_DIR)
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def broker() -> list[str]:
    """What is missing: nothing, or the broker."""
    with app.connection_for_read() as connection:
        try:
            connection.connect()
        except connection.connection_errors:
            return ["the broker does not answer"]
    return []


def _configure_logging(**_signal: object) -> None:
    from mailrouting.logging import configure

    configure("beat" if "beat" in sys.argv else "worker")


def _serve_worker_probes(**_signal: object) -> None:
    _serve(settings.WORKER_PROBE_PORT)
    stop = _start_heart("worker", settings.WORKER_PROBE_PORT)
    signals.worker_shutdown.connect(lambda **_signal: stop(), weak=False)


def _serve_beat_probes(**_signal: object) -> None:
    _serve(settings.BEAT_PROBE_PORT)
    atexit.register(_start_heart("beat", settings.BEAT_PROBE_PORT))


def _start_heart(role: str, port: int) -> Callable[[], None]:
    """Say that this process lives until what comes back is called."""
    from gateway.watch.heart import Heart, name_of

    heart = Heart(name_of(role, port), role, stands_in=True)
    heart.start()
    return heart.stop


def _serve(port: int) -> None:
    from mailrouting import probes

    probes.serve(port, lambda: probes.database() + broker())


make_broker_folders()
signals.setup_logging.connect(_configure_logging)
signals.worker_ready.connect(_serve_worker_probes)
signals.beat_init.connect(_serve_beat_probes)
