"""That a process lives, written every few seconds by a thread of its own.

Worker and beat also stand in for each other: where nobody has looked for trouble for a while, the
thread does it itself, so that the silence of either is noticed by the one that is left.
"""

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from django.db import Error, connection
from django.utils import timezone

from gateway.disk import free_octets
from gateway.watch import alarms, sending
from gateway.watch.models import Heartbeat, Progress

PERIOD_SECONDS = 15.0
OVERDUE_AFTER = timedelta(minutes=3)

log = structlog.get_logger()


def name_of(role: str, port: int) -> str:
    """A process by its role, host and probe port, which a restart keeps."""
    return f"{role} {socket.gethostname()}:{port}"[:120]


@dataclass(slots=True)
class Heart:
    """The beating of one process; `stands_in` for whoever should look for trouble."""

    process: str
    role: str
    folders: Sequence[str] = ()
    reserve_octets: int = 0
    stands_in: bool = False
    clock: Callable[[], datetime] = timezone.now
    _started_at: datetime | None = None
    _has_stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Beat in the background, at once and then again and again."""
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop beating and take the row away: this process was not silenced but stopped."""
        self._has_stopped.set()
        if self._thread is not None:
            self._thread.join()
        self._try(lambda: Heartbeat.objects.filter(process=self.process).delete())

    def beat(self) -> None:
        """Write that the process lives, and see to what nobody else does."""
        now = self.clock()
        self._started_at = self._started_at or now
        Heartbeat.objects.update_or_create(
            process=self.process, defaults={"role": self.role, "at": now, **self._room()}
        )
        if self.stands_in and now - self._started_at > OVERDUE_AFTER and _is_overdue(now):
            log.warning("nobody looked for trouble for a while", stands_in=self.process)
            alarms.evaluate(now)
            sending.send_due(self.clock)

    def _room(self) -> dict[str, int | None]:
        """Of the fullest disk; unknown where there is none to watch, nothing where it is silent."""
        if not self.folders:
            return {}
        try:
            free = min(map(free_octets, self.folders))
        except OSError:
            free = 0
        return {"disk_free_octets": free, "disk_reserve_octets": self.reserve_octets}

    def _run(self) -> None:
        while True:
            self._try(self.beat)
            if self._has_stopped.wait(PERIOD_SECONDS):
                return

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Error as error:
            log.warning("heartbeat not written", error=str(error).strip())
        except Exception:  # the thread's outer shell: it has to say again that the process lives
            log.exception("heart stumbled over what it does for others", process=self.process)
        finally:
            connection.close()


def _is_overdue(now: datetime) -> bool:
    last = Progress.objects.filter(job=alarms.JOB).values_list("until", flat=True).first()
    return last is None or now - last > OVERDUE_AFTER
