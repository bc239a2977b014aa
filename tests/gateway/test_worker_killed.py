"""A worker that is killed loses nothing: at most one duplicate, which carries the same id."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.db.models.functions import Now

from gateway import headroom
from gateway.delivery import drain
from gateway.models import Delivery
from tenants import lock
from tenants.models import Domain
from tests.gateway import outbox, worker
from tests.gateway.sink import Sink
from tests.waiting import wait_until
from tests.world import make_domain, make_tenant

pytestmark = pytest.mark.usefixtures("mail", "socket_enabled")
State = Delivery.State


def test_killed_before_the_reply_is_delivered_again_with_the_same_id(
    sink: Sink, tmp_path: Path
) -> None:
    sink.script.hangs = True
    [delivery] = outbox.put(outbox.add_hop(sink.port))
    with worker.draining(tmp_path) as running:
        assert sink.got_message.wait(20)
        running.kill()
    assert outbox.state(delivery) == State.SENDING
    assert delivery.attempts_made == 1
    sink.script.hangs = False
    sink.go_on.set()

    assert drain() == 0  # the lease still holds
    outbox.let_lease_end(delivery.id)
    assert drain() == 1

    assert outbox.state(delivery) == State.DELIVERED
    assert [each.outcome for each in outbox.attempts(delivery)] == ["crashed", "delivered"]
    ids = [each.trace["X-Delivery-ID"] for each in sink.received]
    assert ids == [str(delivery.id)] * 2
    assert sink.received[0].content == sink.received[1].content == outbox.CONTENT


def test_killed_between_the_reply_and_settling_others_are_not_repeated(
    sink: Sink, tmp_path: Path
) -> None:
    hop = outbox.add_hop(sink.port)
    done = outbox.put(hop)
    drain()
    [delivery] = outbox.put(hop)
    sink.got_message.clear()
    sink.script.hangs = True
    with worker.draining(tmp_path) as running:
        assert sink.got_message.wait(20)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE gateway_attempt IN SHARE ROW EXCLUSIVE MODE")
            sink.go_on.set()
            wait_until(_is_somebody_waiting)
            running.kill()
    # PostgreSQL may still commit what the dead worker had asked for; then nothing is repeated.
    Delivery.objects.filter(pk=delivery.pk, state=State.SENDING).update(lease_until=Now())
    drain()
    assert outbox.states([*done, delivery]) == [State.DELIVERED] * 2
    first, *others = [each.trace["X-Delivery-ID"] for each in sink.received]
    assert first == str(done[0].id)
    assert others in ([str(delivery.id)], [str(delivery.id)] * 2)


def _is_somebody_waiting() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
        return bool(cursor.fetchone()[0])


def test_celery_worker_delivers_though_many_domains_wait_for_silent_name_servers(
    sink: Sink, tmp_path: Path, silent_resolver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DNS_RESOLVERS", silent_resolver)
    tenant = make_tenant()
    domains = [make_domain(tenant) for _ in range(2 * headroom.THREADS)]
    with worker.celery_worker(tmp_path):
        wait_until((tmp_path / "broker" / "queue").exists)
        worker.ring(tmp_path, "tenants.tasks.reconcile_dns")
        wait_until(lambda: _checks_under_way() == headroom.DNS_CHECKS)
        [delivery] = outbox.put(outbox.add_hop(sink.port))
        worker.ring(tmp_path, "gateway.tasks.deliver")
        wait_until(lambda: outbox.state(delivery) == State.DELIVERED, seconds=10)
        assert _checks_under_way() == headroom.DNS_CHECKS
    assert len(sink.received) == 1
    Domain.objects.filter(pk__in=[domain.pk for domain in domains]).delete()


@pytest.fixture
def silent_resolver() -> Iterator[str]:
    """Takes questions and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{nobody.getsockname()[1]}"


def _checks_under_way() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
            "WHERE datname = current_database() AND locktype = 'advisory' AND classid = %s",
            [lock.DNS_CHECK],
        )
        return int(cursor.fetchone()[0])
