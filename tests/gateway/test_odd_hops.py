"""What a next hop says may be anything: it never costs other deliveries theirs."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from gateway.delivery import drain, pump, queue
from gateway.delivery.queue import Settlement
from gateway.delivery.server import Server
from gateway.models import Delivery
from tests.gateway import outbox
from tests.gateway.sink import Sink, running
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("mail", "socket_enabled")
State = Delivery.State


@pytest.fixture
def rude_port() -> Iterator[int]:
    """Refuses whoever connects, in Latin-1 and with a NUL."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            with client:
                client.sendall("554 5.7.1 Accès\0refusé\r\n".encode("latin-1"))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join(10)


def test_words_in_another_charset_are_kept_as_far_as_they_can_be(
    sink: Sink, rude_port: int
) -> None:
    [refused] = outbox.put(outbox.add_hop(rude_port))
    [other] = outbox.put(outbox.add_hop(sink.port))
    drain()
    assert outbox.state(refused) == State.DEFERRED
    assert "5.7.1 Acc?s?refus?" in refused.last_reply
    assert outbox.state(other) == State.DELIVERED
    assert len(sink.received) == 1


def test_words_that_cannot_be_stored_are_replaced_and_nothing_is_sent_again(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = queue.settle

    def settle(settlements: list[Settlement]) -> dict[UUID, str]:
        for each in settlements:
            each.outcome.reply.encode("ascii")
        return real(settlements)

    monkeypatch.setattr(queue, "settle", settle)
    monkeypatch.setattr(pump, "SETTLE_AGAIN_SECONDS", 0.01)
    sink.script.content = "250 2.0.0 reçu"
    deliveries = [outbox.put(outbox.add_hop(sink.port))[0] for _ in range(2)]
    drain()
    assert outbox.states(deliveries) == [State.DELIVERED] * 2
    assert len(sink.received) == 2


SIZE = pump.SMALL_OCTETS + 1


def test_few_large_octets_are_in_memory_at_once(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "LARGE_OCTETS", 2 * SIZE)
    real, under_way, most = Server._send, 0, 0

    async def send(server, job):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        try:
            return await real(server, job)
        finally:
            under_way -= 1

    monkeypatch.setattr(Server, "_send", send)
    hops = [outbox.add_hop(sink.port) for _ in range(6)]
    deliveries = [outbox.put(hop, octets=b"x" * SIZE)[0] for hop in hops]
    drain()
    assert outbox.states(deliveries) == [State.DELIVERED] * 6
    assert most == 2


def test_hop_that_falls_silent_leaves_room_for_large_mail_to_others(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "LARGE_OCTETS", 8 * SIZE)
    silent = outbox.add_hop(sink.port)
    deliveries = [outbox.put(silent, octets=b"x" * SIZE)[0] for _ in range(22)]

    def fall_silent(_server: object) -> str:
        sink.script.hangs = len(sink.received) >= 11  # by now over ten connections
        return "250 2.0.0 taken"

    sink.script.at_data = fall_silent
    with running(Sink()) as other, ThreadPoolExecutor(1) as pool:
        done = pool.submit(drain)
        wait_until(lambda: len(sink.received) >= 15)
        [delivery] = outbox.put(outbox.add_hop(other.port), octets=b"x" * SIZE)
        try:
            wait_until(lambda: outbox.state(delivery) == State.DELIVERED, seconds=5)
        finally:
            sink.script.hangs = False
            sink.go_on.set()
            done.result()
    assert outbox.states(deliveries) == [State.DELIVERED] * 22
