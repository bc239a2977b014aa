"""A stored inbox as it is read: one body, and each recipient's own trace on top of it."""

import pytest

from gateway import retention
from gateway.delivery import drain
from gateway.models import Body, Delivery, RoutingRecord
from gateway.transports import inbox
from tests.gateway import outbox
from tests.gateway.test_retention import YESTERDAY, no_partitions

__all__ = ["no_partitions"]  # a fixture

pytestmark = pytest.mark.usefixtures("mail")
CONTENT = b"Received: from x\r\nDelivered-To: older@x.example\r\n\r\n.\r\nraw \xe9\r\n"


def trace(delivery: Delivery, recipient: str) -> bytes:
    return f"Delivered-To: {recipient}\r\nX-Delivery-ID: {delivery.pk}\r\n".encode()


def test_each_recipient_reads_the_address_that_was_written_to_above_the_same_octets() -> None:
    first, second = outbox.put(kind="inbox", octets=CONTENT, recipients=("", ""))
    typed = "Bücher+Détail@hosted.example"
    RoutingRecord.objects.filter(pk=second.record_id).update(recipient=typed)
    drain()
    first, second = (Delivery.objects.get(pk=each.pk) for each in (first, second))
    assert inbox.read(first) == trace(first, "bob@hosted.example") + CONTENT
    assert inbox.read(second) == trace(second, typed) + CONTENT
    assert [bytes(body.octets) for body in Body.objects.all()] == [CONTENT]


def test_what_was_found_of_a_message_stands_on_top() -> None:
    [delivery] = outbox.put(kind="inbox", octets=CONTENT, mark="X-Spam: Yes\r\n")
    drain()
    read = inbox.read(Delivery.objects.get(pk=delivery.pk))
    assert b"X-Spam: Yes\r\n" in (read or b"").removesuffix(CONTENT)


def test_reading_takes_one_query_with_the_delivery_in_hand(django_assert_num_queries) -> None:
    [delivery] = outbox.put(kind="inbox")
    delivery = Delivery.objects.select_related("record", "message").get(pk=delivery.pk)
    with django_assert_num_queries(1):
        assert inbox.read(delivery)


def test_octets_that_moved_to_a_later_day_are_read() -> None:
    [delivery] = outbox.put(kind="inbox", octets=CONTENT, expires_on=YESTERDAY)
    in_hand = Delivery.objects.select_related("message").get(pk=delivery.pk)
    retention.purge()
    assert in_hand.message.body_expires_on == YESTERDAY
    read = inbox.read(in_hand)
    assert read is not None
    assert read.endswith(CONTENT)


def test_nothing_is_read_once_retention_is_over() -> None:
    [delivery] = outbox.put(kind="inbox", expires_on=YESTERDAY)
    drain()
    retention.purge()
    assert inbox.read(Delivery.objects.get(pk=delivery.pk)) is None
