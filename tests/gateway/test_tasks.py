"""Deliver, sweep and stop, called as a worker calls them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.utils import timezone

from gateway import bell, tasks
from gateway.delivery import claim, fail, hold, release, retry_now
from gateway.models import Delivery
from tenants.changes import Actor
from tests.gateway import outbox
from tests.gateway.sink import Sink
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("mail", "socket_enabled")
State = Delivery.State
OPS = Actor.system("ops")


@pytest.fixture(autouse=True)
def no_lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 0)


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    heard: list[bool] = []
    monkeypatch.setattr(bell, "ring", lambda: heard.append(True))
    return heard


def test_sweep_rings_when_a_bell_was_lost(sink: Sink, rings: list[bool]) -> None:
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    tasks.sweep()
    assert rings == [True]
    tasks.deliver()
    assert outbox.state(delivery) == State.DELIVERED
    tasks.sweep()
    assert rings == [True]


def test_sweep_rings_when_a_worker_ended(rings: list[bool]) -> None:
    [delivery] = outbox.put(outbox.add_hop(25))
    claim(1)
    tasks.sweep()
    assert not rings
    outbox.let_lease_end(delivery.id)
    tasks.sweep()
    assert rings == [True]


def test_second_bell_wakes_the_drain_that_runs(sink: Sink, rings: list[bool]) -> None:
    sink.script.hangs = True
    slow = outbox.put(outbox.add_hop(sink.port))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(tasks.deliver)
        assert sink.got_message.wait(10)
        [quick] = outbox.put(kind="discard")
        tasks.deliver()
        wait_until(lambda: outbox.state(quick) == State.DELIVERED)
        assert not first.done()
        sink.go_on.set()
        first.result(10)
    assert outbox.states(slow) == [State.DELIVERED]


def test_idle_drain_is_woken_by_the_next_bell_and_ends_when_stopped(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, rings: list[bool]
) -> None:
    monkeypatch.setattr(tasks, "LINGER_SECONDS", 60)
    hop = outbox.add_hop(sink.port)
    first = outbox.put(hop)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(tasks.deliver)
        wait_until(lambda: outbox.states(first) == [State.DELIVERED])
        second = outbox.put(hop)
        tasks.deliver()
        wait_until(lambda: outbox.states(second) == [State.DELIVERED])
        assert not running.done()
        tasks._stop()
        running.result(10)
    assert sink.connections == 1


def test_stopping_gives_back_what_was_not_begun(sink: Sink, rings: list[bool]) -> None:
    sink.script.hangs = True
    hop = outbox.add_hop(sink.port)
    deliveries = [outbox.put(hop)[0] for _ in range(5)]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(tasks.deliver)
        assert sink.got_message.wait(10)
        tasks._stop()
        wait_until(lambda: outbox.states(deliveries).count(State.DEFERRED) == 4)
        threading.Timer(0.05, sink.go_on.set).start()
        running.result(20)
    assert sorted(outbox.states(deliveries)) == [State.DEFERRED] * 4 + [State.DELIVERED]
    tasks.deliver()
    assert outbox.states(deliveries) == [State.DELIVERED] * 5
    assert len(sink.received) == 5
    assert all(each.attempts_made == 1 for each in deliveries)


# --- what operators may do --------------------------------------------------


def test_held_deliveries_wait_for_their_release(sink: Sink) -> None:
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    assert hold([delivery.id], actor=OPS) == 1
    tasks.deliver()
    assert outbox.state(delivery) == State.HELD
    assert release([delivery.id], actor=OPS) == 1
    tasks.deliver()
    assert outbox.state(delivery) == State.DELIVERED
    assert hold([delivery.id], actor=OPS) == release([delivery.id], actor=OPS) == 0


@pytest.mark.parametrize("start", [State.FAILED, State.QUARANTINED, State.DEFERRED])
def test_retry_now_starts_afresh(sink: Sink, start: str) -> None:
    later = timezone.now() + timedelta(days=1)
    [delivery] = outbox.put(
        outbox.add_hop(sink.port), state=start, crashes=3, next_attempt_at=later
    )
    assert retry_now([delivery.id], actor=OPS) == 1
    tasks.deliver()
    assert outbox.state(delivery) == State.DELIVERED


def test_delivered_mail_is_not_sent_again() -> None:
    [delivery] = outbox.put(outbox.add_hop(25), state=State.DELIVERED)
    assert retry_now([delivery.id], actor=OPS) == 0


def test_failing_a_delivery_outlives_the_worker_that_sends_it(sink: Sink) -> None:
    sink.script.hangs = True
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(tasks.deliver)
        assert sink.got_message.wait(10)
        assert fail([delivery.id], actor=OPS, reason="Withdrawn by the operator.") == 1
        sink.go_on.set()
        running.result(10)
    assert outbox.state(delivery) == State.FAILED
    assert delivery.last_reply == "Withdrawn by the operator."
    assert outbox.attempts(delivery) == []
