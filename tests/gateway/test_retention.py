"""What leaves with its day, and what stays because it is still needed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone
from msgspec.structs import replace
from pytest_django import Settings

from gateway import retention
from gateway.delivery import drain, retry_now
from gateway.models import Attempt, Body, Counter, Delivery, Message, RefusalCount, RoutingRecord
from tenants import lock
from tenants.models import Plan, Tenant
from tests.gateway import outbox
from tests.gateway.sink import Sink
from tests.gateway.stage import ACTOR, Stage
from tests.gateway.test_intake import incoming, store

pytestmark = pytest.mark.usefixtures("mail")
State = Delivery.State
TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)


@pytest.fixture(autouse=True)
def no_partitions(mail: None) -> Iterator[None]:
    """Leave the table as the migration made it: one default partition."""
    yield
    with connection.cursor() as cursor:
        for day in retention._days():
            cursor.execute(f"DROP TABLE gateway_body_{day:%Y%m%d}")


def make_partition(day: date) -> None:
    assert retention._make_partition(day)


def has_body(delivery: Delivery) -> bool:
    delivery.message.refresh_from_db()
    message = delivery.message
    return Body.objects.filter(id=message.body_id, expires_on=message.body_expires_on).exists()


def test_partitions_are_made_for_the_retentions_in_use() -> None:
    stage = Stage(retention_days=90)
    assert stage.tenant.retention_days == 90
    retention.purge()
    days = retention._days()
    assert {TODAY + timedelta(days=ahead) for ahead in (30, 33, 90, 93)} <= days
    purged = retention.purge()
    assert purged is not None
    assert purged.partitions_made == 0


def test_first_start_has_partitions_before_the_first_purge() -> None:
    with transaction.atomic():
        call_command("bootstrap", stdout=StringIO())
        days = retention._days()
        transaction.set_rollback(True)

    assert {TODAY + timedelta(days=ahead) for ahead in (7, 10, 30, 33)} <= days


def test_body_of_a_settled_message_leaves_with_its_partition() -> None:
    make_partition(YESTERDAY)
    [delivery] = outbox.put(kind="inbox", expires_on=YESTERDAY)
    drain()
    purged = retention.purge()
    assert purged is not None
    assert (purged.partitions_dropped, purged.messages_purged) == (1, 1)
    assert not has_body(delivery)
    assert delivery.message.purged_at is not None
    assert YESTERDAY not in retention._days()


def test_bodies_are_kept_from_receipt_on_for_the_longest_retention_of_their_recipients() -> None:
    message = incoming()
    [recipient] = message.recipients
    recipients = tuple(
        replace(recipient, decision=replace(recipient.decision, retention_days=days))
        for days in (3, 5)
    )
    store([replace(message, recipients=recipients)])
    stored = Message.objects.get(pk=message.id)
    assert stored.body_expires_on == stored.received_at.date() + timedelta(days=5)
    assert Body.objects.get(pk=message.id).expires_on == stored.body_expires_on


@pytest.mark.parametrize("model", [Plan, Tenant])
def test_help_says_what_retention_counts_from(model: type[Plan | Tenant]) -> None:
    told = model._meta.get_field("retention_days").help_text
    assert "from receipt" in told
    assert "after delivery" not in told


def test_body_of_today_stays() -> None:
    [delivery] = outbox.put(kind="inbox", expires_on=TODAY)
    drain()
    retention.purge()
    assert has_body(delivery)


@pytest.mark.parametrize(
    "state", [State.PENDING, State.DEFERRED, State.SENDING, State.HELD, State.QUARANTINED]
)
@pytest.mark.parametrize("has_partition", [True, False])
def test_body_that_is_still_needed_moves_on(state: str, has_partition: bool) -> None:
    if has_partition:
        make_partition(YESTERDAY)
    [delivery] = outbox.put(outbox.add_hop(25), expires_on=YESTERDAY, state=state)
    purged = retention.purge()
    assert purged is not None
    assert (purged.bodies_kept, purged.messages_purged) == (1, 0)
    assert has_body(delivery)
    assert delivery.message.body_expires_on == TODAY + timedelta(days=retention.EXTENSION_DAYS)
    assert delivery.message.purged_at is None
    assert not Body.objects.filter(expires_on=YESTERDAY).exists()


def test_claim_made_before_the_move_still_finds_its_octets(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_partition(YESTERDAY)
    [delivery] = outbox.put(outbox.add_hop(sink.port), expires_on=YESTERDAY)
    from gateway.delivery import queue

    real = queue.claim

    def claim_then_purge(limit: int, **options: object) -> list[queue.Claimed]:
        claimed = real(limit, **options)  # type: ignore[arg-type]
        retention.purge()
        return claimed

    monkeypatch.setattr(queue, "claim", claim_then_purge)
    drain()
    assert outbox.state(delivery) == State.DELIVERED
    assert sink.received[0].content == outbox.CONTENT


def test_default_partition_is_emptied_by_rows() -> None:
    [old] = outbox.put(kind="discard", expires_on=YESTERDAY)
    [young] = outbox.put(kind="discard", expires_on=TODAY)
    drain()
    retention.purge()
    assert (has_body(old), has_body(young)) == (False, True)


def test_day_that_the_default_partition_holds_is_left_to_it() -> None:
    day = TODAY + timedelta(days=retention.DEFAULT_RETENTION_DAYS)
    outbox.put(kind="discard", expires_on=day)
    retention.purge()
    days = retention._days()
    assert day not in days
    assert day + timedelta(days=1) in days


@pytest.mark.parametrize(("limit", "is_full"), [(None, False), (701, False), (700, True)])
def test_counter_gives_back_a_message_once_per_tenant(limit: int | None, is_full: bool) -> None:
    """A storage that has no room yet is as full as before."""
    stage = Stage(stored_octets=limit)
    key = f"stored:tenant:{stage.tenant.pk}"
    Counter.objects.create(key=key, total=1000, full_since=timezone.now())
    octets = b"x" * 300
    outbox.put(
        kind="inbox",
        octets=octets,
        expires_on=YESTERDAY,
        tenant_id=stage.tenant.pk,
        recipients=("a@x.example", "b@x.example"),
    )
    drain()
    retention.purge()
    retention.purge()
    counter = Counter.objects.get(key=key)
    assert (counter.total, counter.full_since is not None) == (700, is_full)


def test_body_that_is_dropped_while_a_purge_releases_it_is_given_back_once() -> None:
    stage = Stage()
    key = f"stored:tenant:{stage.tenant.pk}"
    Counter.objects.create(key=key, total=50_000)
    [delivery] = outbox.put(
        kind="inbox",
        octets=b"x" * 20_000,
        expires_on=YESTERDAY,
        tenant_id=stage.tenant.pk,
        state=State.FAILED,
    )
    second = Body(id=delivery.message.body_id, expires_on=YESTERDAY, number=1, octets=b"y")
    second.save(force_insert=True)
    with transaction.atomic(), connection.cursor() as cursor:
        assert retention._release(cursor, TODAY) == 1
    assert retention.drop_bodies([delivery.message_id]) == 1
    assert Counter.objects.get(key=key).total == 30_000
    assert not has_body(delivery)


def test_counter_never_falls_below_zero() -> None:
    stage = Stage()
    key = f"stored:tenant:{stage.tenant.pk}"
    Counter.objects.create(key=key, total=1)
    outbox.put(kind="inbox", expires_on=YESTERDAY, tenant_id=stage.tenant.pk)
    drain()
    retention.purge()
    assert Counter.objects.get(key=key).total == 0


def test_purged_message_cannot_be_sent_again() -> None:
    [delivery] = outbox.put(kind="inbox", expires_on=YESTERDAY, state=State.FAILED)
    retention.purge()
    assert retry_now([delivery.id], actor=ACTOR) == 0


def test_old_refusals_and_attempts_are_pruned(settings: Settings) -> None:
    settings.RECORD_RETENTION_DAYS = 10
    now = timezone.now()
    for at in (now - timedelta(days=11), now - timedelta(days=9)):
        RefusalCount.objects.create(domain_name=f"{at:%d}.example", reason="unknown", minute=at)
        RoutingRecord.objects.create(
            at=at, queue_id="Q", recipient="a@b", key="a@b", accepted=False, strategy="none"
        )
        [delivery] = outbox.put(kind="discard", received_at=at)
        Attempt.objects.create(delivery=delivery, number=1, started_at=at, finished_at=at)
    retention.purge()
    assert RefusalCount.objects.filter(minute__lt=now - timedelta(days=10)).count() == 0
    assert RefusalCount.objects.count() >= 1
    assert RoutingRecord.objects.filter(accepted=False).count() == 1
    assert RoutingRecord.objects.filter(accepted=True).count() == 2
    assert Attempt.objects.count() == 1


def test_one_purge_at_a_time() -> None:
    def other() -> object:
        try:
            return retention.purge()
        finally:
            connection.close()

    with lock.alone(lock.PURGE) as is_alone, ThreadPoolExecutor(1) as pool:
        assert is_alone
        assert pool.submit(other).result(10) is None


def test_partition_that_is_in_use_is_left_for_the_next_purge(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retention, "LOCK_TIMEOUT", "50ms")
    make_partition(YESTERDAY)

    def purge() -> object:
        try:
            return retention.purge()
        finally:
            connection.close()

    with connection.cursor() as cursor, ThreadPoolExecutor(1) as pool:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT count(*) FROM gateway_body_{YESTERDAY:%Y%m%d}")
        pool.submit(purge).result(10)
        cursor.execute("COMMIT")
    assert YESTERDAY in retention._days()
    retention.purge()
    assert YESTERDAY not in retention._days()
