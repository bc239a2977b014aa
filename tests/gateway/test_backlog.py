"""What waits for a hop that is slow or out delays nobody else, however much it is."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from gateway.delivery import claim, drain, give_up, is_anything_due, outages, queue, retry_now
from gateway.delivery.outages import News
from gateway.delivery.queue import Claimed, Turn
from gateway.models import Delivery, Outage
from tenants.changes import Actor
from tenants.models import NextHop
from tests.gateway import outbox
from tests.gateway.sink import Sink, free_port, running

pytestmark = pytest.mark.usefixtures("mail", "socket_enabled")
State = Delivery.State
MANY = 100_000
# Pages that a claim of a few deliveries may touch, whatever waits beside them.
PAGES_OF_A_CLAIM = 500

MULTIPLY = """
INSERT INTO gateway_delivery (id, tenant_id, record_id, message_id, hop_id, kind, recipient,
    destination, rewrites_sender, null_sender, state, attempts_made, crashes, next_attempt_at,
    fence, last_reply, created_at)
SELECT gen_random_uuid(), n %% %(tenants)s, record_id, message_id, hop_id, kind, recipient,
    destination, rewrites_sender, null_sender, state, attempts_made, crashes, next_attempt_at,
    fence, last_reply, created_at
FROM gateway_delivery d, generate_series(1, %(count)s) n WHERE d.id = %(id)s
"""


def put_many(hop: NextHop, count: int, *, tenants: int = 20, **fields: Any) -> None:
    [first] = outbox.put(hop, tenant_id=0, **fields)
    with connection.cursor() as cursor:
        cursor.execute(MULTIPLY, {"id": first.id, "count": count - 1, "tenants": tenants})


def pages_of(statement: str, parameters: dict[str, Any]) -> int:
    """How many pages of the database a statement touches."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
        plan = cursor.fetchone()[0][0]["Plan"]
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def lane(hop: NextHop) -> str:
    return f"mailbox:{hop.pk}"


def out(hop: NextHop) -> None:
    place = f"{hop.host}:{hop.port}"
    outages.report([News(lane(hop), place, "Connection refused")])


def tenants_of(claimed: list[Claimed]) -> list[int]:
    return [each.tenant_id or 0 for each in claimed]


@pytest.mark.parametrize("why", ["out", "busy", "deferred"])
def test_backlog_costs_other_deliveries_nothing(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick = outbox.add_hop(25), outbox.add_hop(26)
    later = timezone.now() + timedelta(hours=1)
    fields = {"state": State.DEFERRED, "next_attempt_at": later} if why == "deferred" else {}
    put_many(slow, MANY, **fields)
    wanted = outbox.put(quick)
    if why == "out":
        out(slow)
    turns = [Turn(lane(slow), room=0)] if why == "busy" else []
    asked: list[tuple[str, dict[str, Any]]] = []
    run = queue.run

    def note(statement: str, parameters: Any, **options: Any) -> list[tuple[Any, ...]]:
        asked.append((statement, parameters))
        return run(statement, parameters, **options)

    monkeypatch.setattr(queue, "run", note)
    assert [each.id for each in claim(200, turns=turns)] == [each.id for each in wanted]
    for statement, parameters in asked:
        assert pages_of(statement, parameters) < PAGES_OF_A_CLAIM


def test_tenants_of_a_lane_are_claimed_in_turn() -> None:
    hop = outbox.add_hop(25)
    put_many(hop, 300, tenants=1)
    for tenant in (7, 8):
        outbox.put(hop, tenant_id=tenant)
    first = claim(10, turns=[Turn(lane(hop), room=10)])
    assert set(tenants_of(first)) == {0}
    second = claim(10, turns=[Turn(lane(hop), room=10, after=0)])
    assert sorted(tenants_of(second)) == [0] * 8 + [7, 8]
    third = claim(10, turns=[Turn(lane(hop), room=10, after=8)])
    assert set(tenants_of(third)) == {0}


def test_one_claim_leaves_room_for_other_lanes() -> None:
    put_many(outbox.add_hop(25), 300)
    wanted = outbox.put(outbox.add_hop(26))
    claimed = claim(200)
    assert wanted[0].id in [each.id for each in claimed]
    assert len(claimed) == queue.ROOM + 1


# --- outages ----------------------------------------------------------------


def test_hop_that_is_out_is_left_alone_by_all_workers() -> None:
    hop = outbox.add_hop(free_port())
    put_many(hop, 200)
    drain()
    outage = Outage.objects.get()
    assert (outage.lane, outage.failures) == (lane(hop), 1)
    assert "refused" in outage.reply
    tried = Delivery.objects.filter(attempts_made__gt=0).count()
    assert tried <= queue.ROOM
    assert drain() == 0
    assert claim(200) == []
    assert not is_anything_due()
    assert Delivery.objects.filter(state=State.PENDING).count() == 200 - tried


def test_outage_lengthens_with_one_try_and_ends_with_the_first_success() -> None:
    port = free_port()
    hop = outbox.add_hop(port)
    put_many(hop, 50)
    drain()
    let_outage_pass()
    before = Delivery.objects.filter(state=State.PENDING).count()
    assert is_anything_due()
    assert drain() == 1
    outage = Outage.objects.get()
    assert outage.failures == 2
    assert (outage.until - timezone.now()).total_seconds() > 15
    assert Delivery.objects.filter(state=State.PENDING).count() == before - 1
    with running(Sink(port=port)) as hop_again:
        let_outage_pass()
        assert drain() == before - 1
        copies = sum(each.octets.count(b"X-Delivery-ID:") for each in hop_again.received)
        assert copies == before - 1
    assert not Outage.objects.exists()


def test_hop_that_moved_is_not_out_any_more(sink: Sink) -> None:
    hop = outbox.add_hop(free_port())
    [delivery] = outbox.put(hop)
    out(hop)
    assert claim(10) == []
    hop.port = sink.port
    hop.save()
    drain()
    assert outbox.state(delivery) == State.DELIVERED


def test_retry_by_an_operator_ends_the_outage(sink: Sink) -> None:
    hop = outbox.add_hop(sink.port)
    [delivery] = outbox.put(hop)
    out(hop)
    assert drain() == 0
    assert retry_now([delivery.id], actor=Actor.system("test")) == 1
    drain()
    assert outbox.state(delivery) == State.DELIVERED


def test_what_waited_its_lifetime_for_a_hop_that_is_out_fails() -> None:
    hop = outbox.add_hop(25)
    [old] = outbox.put(hop, received_at=timezone.now() - timedelta(days=5))
    [young] = outbox.put(hop)
    out(hop)
    assert give_up() == 1
    assert outbox.states([old, young]) == [State.FAILED, State.PENDING]
    assert old.last_reply == "Connection refused"


def test_silent_hop_is_out_for_all_that_wait(sink: Sink, settings: Settings) -> None:
    settings.DELIVERY_ATTEMPT_SECONDS = 0.3
    sink.script.hangs = True
    hop = outbox.add_hop(sink.port)
    for _ in range(5):
        outbox.put(hop)
    drain()
    assert Outage.objects.get().reply == "No end within 0.3 seconds."
    assert len(sink.received) == 1


def let_outage_pass() -> None:
    Outage.objects.update(until=timezone.now() - timedelta(seconds=1))
