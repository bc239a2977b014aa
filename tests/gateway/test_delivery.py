"""Claim, send, settle against real next hops and the real queue."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
import structlog
from django.db import connection
from django.utils import timezone
from prometheus_client import REGISTRY
from pytest_django import Settings

from gateway.database import connection_parameters
from gateway.delivery import claim, drain, is_anything_due, queue, settle
from gateway.delivery.queue import Settlement, Turn
from gateway.models import Delivery
from gateway.transports import Outcome, Result
from tests.gateway import outbox
from tests.gateway.sink import Sink, close_after_reply, drop, free_port

pytestmark = pytest.mark.usefixtures("mail", "socket_enabled")
State = Delivery.State


def settled(claimed: queue.Claimed, outcome: Outcome) -> Settlement:
    new_state, delay = queue.judge(claimed, outcome, spread=0.5)
    return Settlement(claimed, outcome, new_state, delay)


DELIVERED = Outcome(Result.DELIVERED, "250 ok")


def test_stored_octets_arrive_below_the_trace_unchanged(sink: Sink) -> None:
    content = b"Subject: x\r\n\r\n.\r\n..\r\n.a\r\n" + b"\xff" * 2000 + b"\r\n\r\nend\r\n"
    [delivery] = outbox.put(outbox.add_hop(sink.port), octets=content)
    assert drain() == 1
    [received] = sink.received
    assert received.content == content
    trace = received.trace
    assert trace.pop("X-Loop-Guard")
    assert trace == {"Delivered-To": "bob@hosted.example", "X-Delivery-ID": str(delivery.id)}
    assert (received.sender, received.recipients) == ("ann@sender.example", ("box@store.example",))
    assert outbox.state(delivery) == State.DELIVERED
    assert delivery.last_reply == "250 2.0.0 taken"
    [attempt] = outbox.attempts(delivery)
    assert attempt.outcome == "delivered"
    assert attempt.remote == f"127.0.0.1[127.0.0.1]:{sink.port}"
    assert delivery.created_at <= attempt.started_at <= attempt.finished_at


def test_large_body_is_read_when_it_is_sent_and_arrives_whole(sink: Sink) -> None:
    content = b"Subject: large\r\n\r\n" + (b"x" * 998 + b"\r\n") * 3000
    outbox.put(outbox.add_hop(sink.port), octets=content)
    drain()
    assert sink.received[0].content == content


def test_one_refused_recipient_neither_stops_nor_repeats_another(sink: Sink) -> None:
    sink.script.recipients = {
        "no@store.example": "550 5.1.1 nobody here",
        "later@store.example": "452 4.2.2 full",
    }
    names = ("no@store.example", "later@store.example", "yes@store.example")
    deliveries = outbox.put(outbox.add_hop(sink.port), recipients=names)
    drain()
    assert outbox.states(deliveries) == [State.FAILED, State.DEFERRED, State.DELIVERED]
    assert [each.last_reply for each in deliveries][:2] == [
        "550 5.1.1 nobody here",
        "452 4.2.2 full",
    ]
    assert [each.recipients for each in sink.received] == [("yes@store.example",)]
    sink.script.recipients = {}
    outbox.make_due(deliveries[1].id)
    drain()
    assert outbox.states(deliveries) == [State.FAILED, State.DELIVERED, State.DELIVERED]
    assert len(sink.received) == 2


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("554 5.7.1 spam", State.FAILED),
        ("451 4.3.0 not now", State.DEFERRED),
        ("421 4.3.2 closing", State.DEFERRED),
    ],
)
def test_reply_to_the_content_decides(sink: Sink, reply: str, expected: str) -> None:
    sink.script.at_data = lambda _server: reply
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    drain()
    assert (outbox.state(delivery), delivery.last_reply) == (expected, reply)


def test_connection_lost_after_content_is_deferred(sink: Sink) -> None:
    sink.script.at_data = drop
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    drain()
    assert outbox.state(delivery) == State.DEFERRED
    assert delivery.last_reply


def test_connection_refused_is_deferred_and_others_of_the_hop_are_not_tried() -> None:
    hop = outbox.add_hop(free_port())
    deliveries = [outbox.put(hop)[0] for _ in range(3)]
    drain()
    assert outbox.states(deliveries) == [State.DEFERRED] * 3
    replies = sorted(each.last_reply for each in deliveries)
    assert "Error connecting" in replies[0]
    assert replies[1].startswith("Not tried, since the next hop was unreachable")


def test_unreachable_hop_does_not_hold_up_another(sink: Sink) -> None:
    outbox.put(outbox.add_hop(free_port()))
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    drain()
    assert outbox.state(delivery) == State.DELIVERED


def test_silent_hop_is_given_up_at_the_deadline(sink: Sink, settings: Settings) -> None:
    settings.DELIVERY_ATTEMPT_SECONDS = 0.3
    sink.script.hangs = True
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    drain()
    assert outbox.state(delivery) == State.DEFERRED
    assert delivery.last_reply == "No end within 0.3 seconds."


def test_connection_is_shared_by_deliveries_to_one_hop(sink: Sink) -> None:
    hop = outbox.add_hop(sink.port)
    for _ in range(30):
        outbox.put(hop)
    assert drain() == 30
    assert len(sink.received) == 30
    assert sink.connections < 30


def test_hop_that_closed_an_idle_connection_is_asked_again(sink: Sink) -> None:
    sink.script.at_data = close_after_reply
    hop = outbox.add_hop(sink.port)
    deliveries = [outbox.put(hop)[0] for _ in range(3)]
    drain()
    assert len(sink.received) == 3
    assert outbox.states(deliveries) == [State.DELIVERED] * 3


def test_deferred_waits_longer_each_time(sink: Sink) -> None:
    sink.script.recipients = {"box@store.example": "450 4.2.0 later"}
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    waits = []
    for _ in range(3):
        outbox.make_due(delivery.id)
        before = timezone.now()
        drain()
        delivery.refresh_from_db()
        waits.append((delivery.next_attempt_at - before).total_seconds() / 300)
    assert waits == pytest.approx([1, 2, 4], rel=0.12)
    assert [each.number for each in outbox.attempts(delivery)] == [1, 2, 3]


def test_deferred_is_given_up_after_five_days(sink: Sink) -> None:
    sink.script.recipients = {"box@store.example": "450 4.2.0 later"}
    [delivery] = outbox.put(
        outbox.add_hop(sink.port), received_at=timezone.now() - timedelta(days=5)
    )
    drain()
    assert outbox.state(delivery) == State.FAILED
    assert delivery.last_reply == "450 4.2.0 later"
    assert delivery.settled_at is not None


def test_changed_next_hop_counts_for_the_retry(sink: Sink) -> None:
    hop = outbox.add_hop(free_port())
    [delivery] = outbox.put(hop)
    drain()
    assert outbox.state(delivery) == State.DEFERRED
    hop.port = sink.port
    hop.save()
    outbox.make_due(delivery.id)
    drain()
    assert outbox.state(delivery) == State.DELIVERED


def test_inbox_and_discard_are_settled_without_a_hop() -> None:
    deliveries = outbox.put(kind="inbox") + outbox.put(kind="discard")
    drain()
    assert outbox.states(deliveries) == [State.DELIVERED] * 2


def test_unknown_kind_waits_for_a_version_that_knows_it() -> None:
    [delivery] = outbox.put(kind="carrier pigeon")
    drain()
    assert outbox.state(delivery) == State.DEFERRED
    assert "carrier pigeon" in delivery.last_reply


def test_deleted_next_hop_is_named(sink: Sink) -> None:
    hop = outbox.add_hop(sink.port)
    [delivery] = outbox.put(hop)
    hop.delete()
    drain()
    assert outbox.state(delivery) == State.DEFERRED
    assert "was deleted" in delivery.last_reply


def test_missing_octets_fail_visibly(sink: Sink) -> None:
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM gateway_body")
    drain()
    assert outbox.state(delivery) == State.FAILED
    assert "no longer stored" in delivery.last_reply
    assert not sink.received


# --- claims, leases, fences -------------------------------------------------


def test_claim_counts_the_attempt_before_the_work_and_takes_what_is_due() -> None:
    hop = outbox.add_hop(25)
    [due] = outbox.put(hop)
    outbox.put(hop, next_attempt_at=timezone.now() + timedelta(minutes=1))
    outbox.put(hop, state=State.HELD)
    [claimed] = claim(10)
    assert claimed.id == due.id
    due.refresh_from_db()
    assert (due.state, due.attempts_made, due.fence) == (State.SENDING, 1, 1)
    assert claim(10) == []


def test_claim_leaves_busy_lanes_alone() -> None:
    busy, free = outbox.add_hop(25), outbox.add_hop(26)
    outbox.put(busy)
    [delivery] = outbox.put(free)
    assert [each.id for each in claim(10, turns=[Turn(f"mailbox:{busy.pk}", room=0)])] == [
        delivery.id
    ]


def test_stale_worker_settles_nothing() -> None:
    [delivery] = outbox.put(outbox.add_hop(25))
    [stale] = claim(1)
    outbox.let_lease_end(delivery.id)
    [current] = claim(1)
    assert current.fence == stale.fence + 1
    assert settle([settled(stale, Outcome(Result.FAILED, "550 no"))]) == {}
    assert outbox.state(delivery) == State.SENDING
    assert settle([settled(current, DELIVERED)]) == {delivery.id: State.DELIVERED}
    assert settle([settled(current, DELIVERED)]) == {}
    outcomes = [each.outcome for each in outbox.attempts(delivery)]
    assert outcomes == ["crashed", "delivered"]


def test_three_crashes_are_quarantined_and_not_sent_again() -> None:
    [delivery] = outbox.put(outbox.add_hop(25))
    for _ in range(3):
        [claimed] = claim(1)
        queue.note_begun([claimed])
        outbox.let_lease_end(delivery.id)
        assert is_anything_due()
    assert claim(1) == []
    delivery.refresh_from_db()
    assert (delivery.state, delivery.crashes) == (State.QUARANTINED, 3)
    assert delivery.last_reply == queue.INTERRUPTED
    assert len(outbox.attempts(delivery)) == 3
    assert not is_anything_due()


def test_what_only_waits_in_workers_that_end_is_never_quarantined() -> None:
    [delivery] = outbox.put(outbox.add_hop(25))
    for _ in range(5):
        assert len(claim(1)) == 1
        outbox.let_lease_end(delivery.id)
    assert len(claim(1)) == 1
    delivery.refresh_from_db()
    assert (delivery.state, delivery.crashes) == (State.SENDING, 1)


@pytest.mark.parametrize(("crashes", "is_noted"), [(0, None), (1, True)])
def test_what_a_worker_ended_with_before_is_noted_when_it_is_begun(
    sink: Sink, crashes: int, is_noted: bool | None
) -> None:
    [delivery] = outbox.put(outbox.add_hop(sink.port), crashes=crashes)
    noted = []

    def look(_server: object) -> str:
        with psycopg.connect(**connection_parameters()) as other:
            noted.extend(other.execute("SELECT begun_fence = fence FROM gateway_delivery"))
        return "250 2.0.0 taken"

    sink.script.at_data = look
    drain()
    assert noted == [(is_noted,)]
    assert outbox.state(delivery) == State.DELIVERED


def test_error_inside_the_worker_counts_towards_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_arguments: object) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr("gateway.delivery.server.envelope", explode)
    [delivery] = outbox.put(kind="inbox")
    for _ in range(3):
        outbox.make_due(delivery.id)
        drain()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.crashes) == (State.QUARANTINED, 3)


def test_two_drains_never_send_the_same_delivery(sink: Sink) -> None:
    hop = outbox.add_hop(sink.port)
    deliveries = [outbox.put(hop)[0] for _ in range(60)]
    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(drain) for _ in range(2)]
        tried = [each.result() for each in done]
    assert sum(tried) == 60
    ids = [each.trace["X-Delivery-ID"] for each in sink.received]
    assert sorted(ids) == sorted(str(each.id) for each in deliveries)


def test_drain_claims_nothing_after_its_budget(sink: Sink) -> None:
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    assert drain(budget_seconds=0) == 0
    assert outbox.state(delivery) == State.PENDING


def test_what_cannot_begin_within_its_lease_is_given_back(sink: Sink, settings: Settings) -> None:
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    [claimed] = claim(1)
    queue.give_back([claimed])
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts_made) == (State.DEFERRED, 0)
    drain()
    assert outbox.state(delivery) == State.DELIVERED


# --- what is told -----------------------------------------------------------


def test_each_try_is_one_line_and_one_count(sink: Sink) -> None:
    labels = {"kind": "mailbox", "outcome": "delivered"}
    before = REGISTRY.get_sample_value("mailrouting_deliveries_total", labels) or 0
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    with structlog.testing.capture_logs() as lines:
        drain()
    [line] = lines
    assert line["event"] == "delivery"
    assert line["queue_id"] == delivery.message.queue_id
    assert (line["recipient"], line["outcome"]) == ("box@store.example", "delivered")
    assert line["reply"] == "250 2.0.0 taken"
    after = REGISTRY.get_sample_value("mailrouting_deliveries_total", labels)
    assert after == before + 1


def test_queue_is_counted_by_state_when_it_is_asked_for() -> None:
    outbox.put(kind="inbox")
    outbox.put(kind="inbox", state=State.HELD)
    outbox.put(kind="inbox", state=State.DELIVERED)
    counts = [
        REGISTRY.get_sample_value("mailrouting_queue", {"state": each})
        for each in ("pending", "held", "quarantined", "delivered")
    ]
    assert counts == [1, 1, 0, None]


def test_outcome_outlives_a_database_that_is_away_for_a_moment(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = queue.settle, iter([psycopg.OperationalError("gone")])

    def settle_after_failure(settlements: list[Settlement]) -> dict[UUID, str]:
        for failure in failures:
            raise failure
        return real(settlements)

    monkeypatch.setattr(queue, "settle", settle_after_failure)
    monkeypatch.setattr("gateway.delivery.pump.SETTLE_AGAIN_SECONDS", 0.01)
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    drain()
    assert outbox.state(delivery) == State.DELIVERED
    assert len(sink.received) == 1


def test_nothing_more_is_sent_while_outcomes_cannot_be_written(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """What was sent and not written is sent again if the worker is killed meanwhile."""
    settings.DELIVERY_CONNECTIONS_PER_HOP = 2
    real, sent = queue.settle, []

    def settle_after_failures(settlements: list[Settlement]) -> dict[UUID, str]:
        if len(sent) < 20:
            sent.append(len(sink.received))
            raise psycopg.OperationalError("gone")
        return real(settlements)

    monkeypatch.setattr(queue, "settle", settle_after_failures)
    monkeypatch.setattr("gateway.delivery.pump.SETTLE_AGAIN_SECONDS", 0.02)
    hop = outbox.add_hop(sink.port)
    deliveries = [delivery for _ in range(30) for delivery in outbox.put(hop)]
    drain()
    assert sent[-1] <= sent[0] + 2  # what was under way
    assert len(sink.received) == 30
    assert {outbox.state(each) for each in deliveries} == {State.DELIVERED}
