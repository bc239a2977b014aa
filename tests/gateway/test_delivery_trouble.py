"""A database in trouble while mail is delivered: nothing waits for its lease, counts as a crash or
keeps the rest from being written.
"""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.utils import timezone
from pytest_django import Settings

from gateway.database import DatabaseThreads, connection_parameters
from gateway.delivery import claim, drain, pump, queue
from gateway.delivery.queue import Claimed, Settlement
from gateway.models import Delivery
from gateway.transports import Outcome, Result
from tests.gateway import outbox
from tests.gateway.sink import Sink
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("mail", "socket_enabled")
State = Delivery.State
SLOW = psycopg.errors.QueryCanceled("canceling statement due to statement timeout")
BROKEN = psycopg.errors.DataCorrupted("missing chunk number 0")
LARGE = b"x" * (pump.SMALL_OCTETS + 1)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(pump, "SETTLE_AGAIN_SECONDS", 0.01)
    monkeypatch.setattr(pump, "PROMOTE_SECONDS", 0.0)
    settings.DELIVERY_LEASE_SECONDS, settings.DELIVERY_ATTEMPT_SECONDS = 5, 2


def fail_reads(monkeypatch: pytest.MonkeyPatch, *errors: psycopg.Error) -> list[int]:
    """Let the first reads of bodies fail; returns how many each was for, as they come."""
    real, failures, sizes = queue.read_octets, iter(errors), []

    def read(claimed: Collection[Claimed]) -> dict[UUID, bytes]:
        sizes.append(len(claimed))
        for failure in failures:
            raise failure
        return real(claimed)

    monkeypatch.setattr(queue, "read_octets", read)
    return sizes


def crashes(delivery: Delivery) -> int:
    delivery.refresh_from_db()
    return delivery.crashes


# --- reading bodies ---------------------------------------------------------


@pytest.mark.parametrize("error", [SLOW, BROKEN])
def test_bodies_that_cannot_be_read_together_are_read_one_by_one(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, error: psycopg.Error
) -> None:
    sizes = fail_reads(monkeypatch, error)
    hop = outbox.add_hop(sink.port)
    deliveries = [outbox.put(hop)[0] for _ in range(3)]
    drain()
    assert outbox.states(deliveries) == [State.DELIVERED] * 3
    assert sizes == [3, 1, 1, 1]


@pytest.mark.parametrize("error", [SLOW, psycopg.OperationalError("gone")])
def test_body_that_could_not_be_read_is_tried_again_and_no_crash(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, error: psycopg.Error
) -> None:
    fail_reads(monkeypatch, error)
    [delivery] = outbox.put(outbox.add_hop(sink.port), octets=LARGE)
    drain()
    assert outbox.state(delivery) == State.DELIVERED
    assert crashes(delivery) == 0
    assert [each.outcome for each in outbox.attempts(delivery)] == ["delivered"]


def test_body_that_is_broken_counts_towards_quarantine(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_reads(monkeypatch, BROKEN)
    [delivery] = outbox.put(outbox.add_hop(sink.port), octets=LARGE)
    drain()
    assert crashes(delivery) == 1


def test_single_bodies_are_read_as_patiently_as_they_were_stored(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, patience = queue.read_octets, []

    def read(claimed: Collection[Claimed]) -> dict[UUID, bytes]:
        patience.extend(queue.run("SHOW statement_timeout", ())[0])
        return real(claimed)

    monkeypatch.setattr(queue, "read_octets", read)
    outbox.put(outbox.add_hop(sink.port), octets=LARGE)
    drain()
    assert patience == ["30s"]


# --- settling ---------------------------------------------------------------


def test_row_that_is_locked_keeps_no_other_from_being_settled(sink: Sink) -> None:
    hop = outbox.add_hop(sink.port)
    deliveries = [outbox.put(hop)[0] for _ in range(5)]
    with ThreadPoolExecutor(1) as pool, psycopg.connect(**connection_parameters()) as other:

        def lock_the_first(_server: object) -> str:
            if len(sink.received) == 1:
                lock(other, sink.received[0].trace["X-Delivery-ID"])
            return "250 2.0.0 taken"

        sink.script.at_data = lock_the_first
        done = pool.submit(drain)
        wait_until(lambda: outbox.states(deliveries).count(State.DELIVERED) == 4, seconds=4)
        assert outbox.states(deliveries).count(State.SENDING) == 1
        other.rollback()
        done.result()
    assert outbox.states(deliveries) == [State.DELIVERED] * 5
    assert len(sink.received) == 5


@pytest.mark.parametrize("write", ["settle", "give_back"])
def test_locked_row_is_left_to_be_written_later(write: str) -> None:
    [delivery] = outbox.put(kind="inbox")
    [claimed] = claim(1)
    delivered = Settlement(claimed, Outcome(Result.DELIVERED, "250"), State.DELIVERED, timedelta())
    wanted = [delivered] if write == "settle" else [claimed]
    threads = DatabaseThreads(1)
    with psycopg.connect(**connection_parameters()) as other:
        lock(other, delivery.id)
        assert not threads.submit(getattr(queue, write), wanted).result()
        assert queue.still_claimed([claimed]) == {delivery.id}
    assert set(threads.submit(getattr(queue, write), wanted).result()) == {delivery.id}
    assert queue.still_claimed([claimed]) == set()
    threads.close()


def lock(other: psycopg.Connection[Any], delivery_id: UUID | str) -> None:
    other.execute("SELECT FROM gateway_delivery WHERE id = %s FOR UPDATE", [delivery_id])


def test_batch_that_takes_too_long_is_settled_in_smaller_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, sizes = queue.settle, []

    def settle(settlements: list[Settlement]) -> dict[UUID, str]:
        sizes.append(len(settlements))
        if len(settlements) > 2:
            raise SLOW
        return real(settlements)

    monkeypatch.setattr(queue, "settle", settle)
    deliveries = [outbox.put(kind="inbox")[0] for _ in range(8)]
    drain()
    assert outbox.states(deliveries) == [State.DELIVERED] * 8
    assert max(sizes) > 2


# --- outcomes ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome(Result.DEFERRED, "The worker was stopped.", is_at_once=True), State.DEFERRED),
        (Outcome(Result.CRASHED, "An internal error."), State.DEFERRED),
        (Outcome(Result.DEFERRED, "450 later"), State.FAILED),
        (Outcome(Result.FAILED, "550 no"), State.FAILED),
        (Outcome(Result.DELIVERED, "250 ok"), State.DELIVERED),
    ],
)
def test_old_mail_is_given_up_only_for_what_its_hop_said(outcome: Outcome, expected: str) -> None:
    outbox.put(kind="inbox", received_at=timezone.now() - timedelta(days=6))
    [claimed] = claim(1)
    assert queue.judge(claimed, outcome, spread=0.5)[0] == expected
