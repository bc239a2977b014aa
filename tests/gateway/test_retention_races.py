"""A purge beside those who still need octets: retries, and mail that comes in at midnight."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from gateway import retention
from gateway.delivery import drain, retry_now
from gateway.models import Delivery
from tests.gateway import outbox
from tests.gateway.stage import ACTOR
from tests.gateway.test_retention import (
    TODAY,
    YESTERDAY,
    has_body,
    make_partition,
    no_partitions,
)
from tests.waiting import wait_until

__all__ = ["no_partitions"]  # a fixture

pytestmark = pytest.mark.usefixtures("mail")
State = Delivery.State


@pytest.fixture(params=["own partition", "default partition"])
def failed(request: pytest.FixtureRequest) -> Delivery:
    """A delivery that failed, its body due since yesterday."""
    if request.param == "own partition":
        make_partition(YESTERDAY)
    [delivery] = outbox.put(kind="inbox", expires_on=YESTERDAY, state=State.FAILED)
    return delivery


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], object]], Future[object]]]:
    """Runs something on a connection of its own."""

    def run(work: Callable[[], object]) -> object:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        yield lambda work: pool.submit(run, work)


def retry(delivery: Delivery) -> int:
    return retry_now([delivery.pk], actor=ACTOR)


def is_somebody_waiting() -> bool:
    """Whether another session waits for what this one has locked."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks "
            "WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid))"
        )
        return bool(cursor.fetchone()[0])


def test_retry_that_is_not_committed_yet_keeps_its_octets(failed: Delivery, beside) -> None:
    with transaction.atomic():
        assert retry(failed) == 1
        beside(retention.purge).result(20)
    assert has_body(failed)
    assert failed.message.purged_at is None


def test_retry_between_two_steps_of_a_purge_keeps_its_octets(
    failed: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = retention._extend

    def extend_then_retry(*arguments: object) -> int:
        count = real(*arguments)  # type: ignore[arg-type]
        assert retry(failed) == 1
        return count

    monkeypatch.setattr(retention, "_extend", extend_then_retry)
    retention.purge()
    assert has_body(failed)
    monkeypatch.undo()
    retention.purge()
    assert failed.message.body_expires_on == YESTERDAY
    assert has_body(failed)
    assert failed.message.body_expires_on > TODAY
    drain()
    assert outbox.state(failed) == State.DELIVERED


def test_retry_beside_the_lock_of_a_purge_keeps_its_octets(
    failed: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a purge chose to release may have been retried before it got the message's lock."""
    monkeypatch.setattr(retention, "_LOCK_DUE", "SELECT id FROM gateway_message")
    assert retry(failed) == 1
    with transaction.atomic(), connection.cursor() as cursor:
        assert retention._release(cursor, TODAY) == 0
    assert has_body(failed)
    assert failed.message.purged_at is None


def test_retry_waits_for_a_purge_and_finds_the_octets_gone(failed: Delivery, beside) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        assert retention._release(cursor, TODAY) == 1
        retried = beside(lambda: retry(failed))
        wait_until(is_somebody_waiting)
    assert retried.result(20) == 0
    assert outbox.state(failed) == State.FAILED


def test_message_committed_while_its_day_is_dropped_keeps_its_octets(beside) -> None:
    """Without a day of retention, a message that comes in at midnight is due at once."""
    make_partition(YESTERDAY)
    with transaction.atomic():
        [delivery] = outbox.put(kind="inbox", expires_on=YESTERDAY)
        dropped = beside(lambda: retention._drop_partition(YESTERDAY))
        wait_until(is_somebody_waiting)
    assert dropped.result(20) is False
    assert has_body(delivery)


def test_days_are_dropped_again_once_nothing_of_them_is_needed() -> None:
    make_partition(YESTERDAY)
    [delivery] = outbox.put(kind="inbox", expires_on=YESTERDAY)
    assert not retention._drop_partition(YESTERDAY)
    drain()
    retention.purge()
    assert not has_body(delivery)
    assert YESTERDAY not in retention._days()
