"""The bell: never blocks, never fails, rings in bundles."""

import threading
import time

import pytest
import structlog
from celery import Celery

from gateway import bell
from gateway.bell import Bell
from tests.gateway.sink import free_port
from tests.waiting import wait_until


class CountingBell(Bell):
    """Notes when it sends, and sends only while it is `connected`."""

    def __init__(self, app: Celery) -> None:
        super().__init__(app)
        self.sent: list[float] = []
        self.is_connected = False
        self.tries = threading.Semaphore(0)

    def send(self) -> None:
        self.sent.append(time.monotonic())
        self.tries.release()
        if not self.is_connected:
            super().send()


def test_many_rings_share_few_messages_and_the_last_is_heard() -> None:
    own = CountingBell(Celery("quiet", broker="memory://", set_as_current=False))
    own.is_connected = True
    began = time.monotonic()
    for _ in range(2000):
        own.ring()
    last = time.monotonic()
    wait_until(lambda: own.sent[-1:] > [last] or not own._is_rung.is_set())
    assert 1 <= len(own.sent) <= (time.monotonic() - began) / bell.INTERVAL_SECONDS + 2


@pytest.mark.usefixtures("socket_enabled")
def test_broker_that_is_away_is_told_once_and_ringing_goes_on() -> None:
    nobody = f"amqp://guest@127.0.0.1:{free_port()}//"
    app = Celery("lonely", broker=nobody, set_as_current=False)
    app.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0.01}
    own = CountingBell(app)
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            own.ring()
            assert own.tries.acquire(timeout=10)
        own.is_connected = True
        wait_until(lambda: _rang(own, lines))
    told = [line["log_level"] for line in lines if line["event"].startswith("bell")]
    assert told == ["warning", "info"]


def _rang(own: Bell, lines: list[structlog.typing.EventDict]) -> bool:
    own.ring()
    return any(line["log_level"] == "info" for line in lines)


def test_message_names_the_task_and_expires() -> None:
    app = Celery("quiet", broker="memory://", set_as_current=False)
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("celery")
        queue.clear()  # other tests of this process ring as well
        Bell(app).send()
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
    assert message.headers["task"] == "gateway.tasks.deliver"
    assert message.headers["expires"]
