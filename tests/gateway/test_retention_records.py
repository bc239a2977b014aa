"""What is left of accepted mail after its body, and of counters: how long it stays, and what never
leaves."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone
from pytest_django import Settings

from gateway import retention
from gateway.delivery import fail
from gateway.models import Attempt, Counter, Delivery, Intervention, Message, RoutingRecord
from tests.gateway import outbox
from tests.gateway.stage import ACTOR, Stage
from tests.gateway.test_retention import TODAY, YESTERDAY, has_body, no_partitions

__all__ = ["no_partitions"]  # a fixture

pytestmark = pytest.mark.usefixtures("mail")
State = Delivery.State


def put_old(
    days: int, *, state: str = State.DELIVERED, settled_days: int | None = None, **fields: Any
) -> Delivery:
    """A message received so many days ago, with one attempt, its body due since yesterday."""
    at = timezone.now() - timedelta(days=days)
    settled_at = None
    if state in (State.DELIVERED, State.FAILED):
        settled_at = timezone.now() - timedelta(days=days if settled_days is None else settled_days)
    [delivery] = outbox.put(
        kind="inbox",
        received_at=at,
        state=state,
        settled_at=settled_at,
        **({"expires_on": YESTERDAY} | fields),
    )
    Attempt.objects.create(delivery=delivery, number=1, started_at=at, finished_at=at)
    return delivery


def rows_of(delivery: Delivery) -> tuple[int, ...]:
    """How many rows of message, record, delivery and attempts are left."""
    return (
        Message.objects.filter(pk=delivery.message_id).count(),
        RoutingRecord.objects.filter(pk=delivery.record_id).count(),
        Delivery.objects.filter(pk=delivery.pk).count(),
        Attempt.objects.filter(delivery=delivery.pk).count(),
    )


@pytest.mark.parametrize("state", [State.DELIVERED, State.FAILED])
def test_settled_mail_leaves_with_all_its_records(state: str, settings: Settings) -> None:
    settings.RECORD_RETENTION_DAYS = 10
    old, young = put_old(11, state=state), put_old(9, state=state)
    purged = retention.purge()
    assert purged is not None
    assert purged.messages_removed == 1
    assert rows_of(old) == (0, 0, 0, 0)
    assert rows_of(young) == (1, 1, 1, 1)


def test_records_never_leave_before_their_body(settings: Settings) -> None:
    settings.RECORD_RETENTION_DAYS = 10
    delivery = put_old(300, expires_on=TODAY + timedelta(days=65))
    retention.purge()
    assert rows_of(delivery)[:3] == (1, 1, 1)
    assert has_body(delivery)


@pytest.mark.parametrize(
    "state", [State.PENDING, State.DEFERRED, State.SENDING, State.HELD, State.QUARANTINED]
)
def test_records_of_what_still_waits_stay(state: str, settings: Settings) -> None:
    settings.RECORD_RETENTION_DAYS = 10
    delivery = put_old(300, state=state)
    retention.purge()
    assert rows_of(delivery)[:3] == (1, 1, 1)
    assert outbox.state(delivery) == state


def test_records_stay_as_long_after_a_late_delivery(settings: Settings) -> None:
    settings.RECORD_RETENTION_DAYS = 10
    late, over = put_old(300, settled_days=9), put_old(300, settled_days=11)
    retention.purge()
    assert (rows_of(late)[0], rows_of(over)[0]) == (1, 0)


def test_one_recipient_that_waits_keeps_the_whole_message(settings: Settings) -> None:
    settings.RECORD_RETENTION_DAYS = 10
    at = timezone.now() - timedelta(days=300)
    both = outbox.put(
        kind="inbox",
        received_at=at,
        expires_on=YESTERDAY,
        recipients=("a@x.example", "b@x.example"),
    )
    Delivery.objects.filter(pk=both[0].pk).update(state=State.DELIVERED, settled_at=at)
    retention.purge()
    assert [rows_of(delivery)[:3] for delivery in both] == [(1, 1, 1)] * 2


def test_what_operators_did_to_a_delivery_leaves_with_it_and_not_otherwise(
    settings: Settings,
) -> None:
    settings.RECORD_RETENTION_DAYS = 10
    delivery = put_old(11, state=State.DEFERRED)
    assert fail([delivery.pk], actor=ACTOR, reason="gone") == 1
    Delivery.objects.filter(pk=delivery.pk).update(settled_at=timezone.now() - timedelta(days=11))
    other = put_old(9, state=State.DEFERRED)
    assert fail([other.pk], actor=ACTOR, reason="stays") == 1
    retention.purge()
    assert rows_of(delivery) == (0, 0, 0, 0)
    [left] = Intervention.objects.filter(delivery__in=[delivery.pk, other.pk])
    assert left.reason == "stays"
    with pytest.raises(DatabaseError, match="Cannot update or delete"):
        left.delete()


def test_records_leave_in_bounded_batches(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.RECORD_RETENTION_DAYS = 10
    monkeypatch.setattr(retention, "MESSAGES_AT_ONCE", 2)
    deliveries = [put_old(11) for _ in range(5)]
    purged = retention.purge()
    assert purged is not None
    assert purged.messages_removed == 5
    assert [rows_of(delivery) for delivery in deliveries] == [(0, 0, 0, 0)] * 5


def test_every_table_that_hangs_on_a_message_is_known() -> None:
    """A new one has to leave with it too, or the purge breaks off at its reference."""
    found = {Message}
    while (
        new := {
            relation.related_model for model in found for relation in model._meta.related_objects
        }
        - found
    ):
        found |= new
    assert {model._meta.model_name for model in found} == {
        "message", "routingrecord", "delivery", "attempt", "intervention",
    }  # fmt: skip


# --- counters ------------------------------------------------------------------


def test_counters_leave_with_what_they_count_for() -> None:
    stage = Stage()
    alias = stage.alias("x")
    kept = [
        f"rate:address:{alias.pk}",
        f"rate:tenant:{stage.tenant.pk}",
        f"stored:tenant:{stage.tenant.pk}",
    ]
    gone = ["rate:address:999999999", "rate:tenant:999999999", "stored:tenant:999999999"]
    Counter.objects.bulk_create(Counter(key=key) for key in [*kept, *gone])
    retention.purge()
    left = Counter.objects.filter(key__in=[*kept, *gone]).values_list("key", flat=True)
    assert set(left) == set(kept)


def test_counter_in_use_waits_for_an_idle_hour() -> None:
    minute = int(timezone.now().timestamp()) // 60
    keys = ["rate:address:999999998", "rate:address:999999997"]
    for key, idle_minutes in zip(keys, (59, 62), strict=True):
        Counter.objects.update_or_create(key=key, defaults={"minute": minute - idle_minutes})
    retention.purge()
    assert list(Counter.objects.filter(key__in=keys).values_list("key", flat=True)) == keys[:1]
