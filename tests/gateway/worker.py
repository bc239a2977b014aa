"""Real worker processes for tests, on the test's own database."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from celery import Celery
from django.db import connection

from gateway.headroom import THREADS
from mailrouting.embedded import REPOSITORY
from tests.gateway.sink import free_port

DRAIN = "import django; django.setup(); from gateway.delivery import drain; drain()"


class Worker:
    """A process that may be killed at any moment."""

    def __init__(self, *arguments: str, folder: Path) -> None:
        self._log = (folder / "worker.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env=environment(folder),
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def process_id(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL: it gets no chance to tidy up."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def wait(self) -> int:
        return self._process.wait(20)

    def close(self) -> None:
        if self._process.poll() is None:
            self.kill()
        self._log.close()


@contextmanager
def draining(folder: Path) -> Iterator[Worker]:
    """A process that delivers what is due and ends."""
    yield from _running("-c", DRAIN, folder=folder)


@contextmanager
def running(code: str, folder: Path) -> Iterator[Worker]:
    """A process that runs this and ends."""
    yield from _running("-c", code, folder=folder)


@contextmanager
def celery_worker(folder: Path) -> Iterator[Worker]:
    """A worker as `up` starts it, with a filesystem broker of its own."""
    yield from _running(
        *("-m", "celery", "-A", "mailrouting", "worker", "--pool", "threads"),
        *("--concurrency", str(THREADS), "--without-gossip", "--without-mingle"),
        "--without-heartbeat",
        folder=folder,
    )


def ring(folder: Path, task: str) -> None:
    """Put a message for that worker into its broker."""
    queue = str(folder / "broker" / "queue")
    app = Celery("bell", broker="filesystem://", set_as_current=False)
    app.conf.broker_transport_options = {
        "data_folder_in": queue,
        "data_folder_out": queue,
        "control_folder": str(folder / "broker" / "control"),
    }
    app.send_task(task, ignore_result=True)


def _running(*arguments: str, folder: Path) -> Iterator[Worker]:
    worker = Worker(*arguments, folder=folder)
    try:
        yield worker
    finally:
        worker.close()


def environment(folder: Path) -> dict[str, str]:
    """The test's database, and a broker in the folder."""
    return os.environ | {
        "DATABASE_URL": database_url(),
        "DATA_DIR": str(folder),
        "BROKER_URL": "filesystem://",
        "DJANGO_SETTINGS_MODULE": "mailrouting.settings",
        "WORKER_PROBE_PORT": str(free_port()),
    }


def database_url() -> str:
    """The address of the database that this test writes to."""
    used = connection.settings_dict
    host, port = used["HOST"], used["PORT"]
    login = f"{quote(used['USER'])}:{quote(used['PASSWORD'])}"
    if host.startswith("/"):
        return f"postgresql://{login}@/{used['NAME']}?host={quote(host)}"
    return f"postgresql://{login}@{host}:{port or 5432}/{used['NAME']}"
