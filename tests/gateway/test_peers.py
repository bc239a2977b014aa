"""Deliveries to servers that others wrote."""

import pytest

from gateway.delivery import drain
from gateway.models import Delivery
from tests.gateway import outbox, peers
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("mail", "socket_enabled")
State = Delivery.State
CONTENT = b"Received: from x\r\nSubject: x\r\n\r\n.dot\r\n..\r\n" + b"long line " * 99 + b"end\r\n"


@pytest.mark.needs("postfix")
def test_postfix_sink_gets_the_stored_octets() -> None:
    with peers.smtp_sink() as (port, folder):
        hop = outbox.add_hop(port)
        deliveries = [outbox.put(hop, octets=CONTENT)[0] for _ in range(20)]
        drain()
        wait_until(lambda: len(list(folder.iterdir())) == 20)
        assert outbox.states(deliveries) == [State.DELIVERED] * 20
        for path in folder.iterdir():  # the sink writes lines with LF alone, and headers of its own
            assert (
                path.read_bytes().rstrip(b"\n").endswith(CONTENT.replace(b"\r\n", b"\n").rstrip())
            )


@pytest.mark.needs("dovecot")
def test_dovecot_stores_each_recipient_and_writes_one_return_path() -> None:
    with peers.dovecot() as (port, folder):
        hop = outbox.add_hop(port, protocol="lmtp")
        names = ("ann@store.example", "bob@store.example")
        deliveries = outbox.put(hop, octets=CONTENT, recipients=names)
        drain()
        assert [each.last_reply for each in deliveries if outbox.state(each) != "delivered"] == []
        for delivery, name in zip(deliveries, names, strict=True):
            [path] = (folder / name / "new").iterdir()
            stored = path.read_bytes()
            assert stored.endswith(CONTENT.replace(b"\r\n", b"\n"))
            assert stored.count(b"Return-Path: <ann@sender.example>") == 1
            assert f"X-Delivery-ID: {delivery.id}".encode() in stored
