"""The bell: wakes the workers after a commit, without ever blocking or failing who rings it.

Rings within a quarter of a second share one message: a worker that has just delivered looks by
itself meanwhile. No mail depends on it: while the broker is away, deliveries wait in their rows and
the sweep finds them.
"""

import threading

import structlog
from celery import Celery, current_app
from kombu.exceptions import KombuError

INTERVAL_SECONDS = 0.25
# A message that nobody took in this time is worth nothing: the sweep has rung again.
EXPIRES_SECONDS = 30

log = structlog.get_logger()


class Bell:
    """Sends at most one message an interval from a thread of its own, which starts with the first
    ring.
    """

    def __init__(self, app: Celery, *, task: str = "gateway.tasks.deliver") -> None:
        self._app = app
        self._task = task
        self._is_rung = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_broken = False

    def ring(self) -> None:
        """Ask for a worker; returns at once."""
        self._is_rung.set()
        if self._thread is None or not self._thread.is_alive():
            self._start()

    def send(self) -> None:
        """Put one message for the workers into the broker. Raises what broker_errors names."""
        self._app.send_task(self._task, expires=EXPIRES_SECONDS, ignore_result=True, retry=False)

    @property
    def broker_errors(self) -> tuple[type[Exception], ...]:
        """What a broker that is away may raise, by the transport in use."""
        connection = self._app.connection_for_write()
        return (*connection.connection_errors, *connection.channel_errors, KombuError, OSError)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="bell", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            self._is_rung.wait()
            self._is_rung.clear()
            try:
                self._try()
            except Exception:  # the thread's outer shell: the sweep finds the work
                log.exception("the bell failed")
            pause.wait(INTERVAL_SECONDS)

    def _try(self) -> None:
        try:
            self.send()
        except self.broker_errors as error:
            if not self._is_broken:
                log.warning("bell cannot be rung, the sweep will find the work", error=str(error))
            self._is_broken = True
        else:
            if self._is_broken:
                log.info("bell rings again")
            self._is_broken = False


_bell = Bell(current_app)
ring = _bell.ring
send = _bell.send
