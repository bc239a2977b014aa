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


def test_many_rings_share_few_messages_and_the_last_is_heard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[float] = []
    monkeypatch.setattr(bell, "send", lambda: sent.append(time.monotonic()))
    own = Bell()
    began = time.monotonic()
    for _ in range(2000):
        own.ring()
    last = time.monotonic()
    wait_until(lambda: (bool(sent) and sent[-1] >= last) or len(sent) >= 2)
    assert len(sent) <= (time.monotonic() - began) / bell.INTERVAL_SECONDS + 2


def test_broker_that_is_away_is_told_once_and_ringing_goes_on(
    monkeypatch: pytest.MonkeyPatch, socket_enabled: None
) -> None:
    nobody = f"amqp://guest@127.0.0.1:{free_port()}//"
    lonely = Celery("lonely", broker=nobody, set_as_current=False)
    lonely.conf.broker_transport_options = {"max_retries": 1, "interval_start": 0.01}
    monkeypatch.setattr(bell, "current_app", lonely)
    tries = threading.Semaphore(0)
    real = bell.send

    def send() -> None:
        tries.release()
        real()

    monkeypatch.setattr(bell, "send", send)
    own = Bell()
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            own.ring()
            assert tries.acquire(timeout=10)
        monkeypatch.setattr(bell, "send", lambda: None)
        wait_until(lambda: _rang(own, lines))
    assert [line["log_level"] for line in lines] == ["warning", "info"]


def _rang(own: Bell, lines: list[structlog.typing.EventDict]) -> bool:
    own.ring()
    return any(line["log_level"] == "info" for line in lines)


def test_message_names_the_task_and_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery("quiet", broker="memory://", set_as_current=False)
    monkeypatch.setattr(bell, "current_app", app)
    bell.send()
    with app.connection_for_read() as connection:
        queue = connection.SimpleQueue("celery")
        message = queue.get(timeout=5)
        message.ack()
        queue.close()
    assert message.headers["task"] == "gateway.tasks.deliver"
    assert message.headers["expires"]
