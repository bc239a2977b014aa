"""A message that is sent again because its 250 got lost is stored once, on whatever gateway."""

import threading

import pytest
from msgspec.structs import replace
from pytest_django import Settings

from gateway import retention
from gateway.models import Message, Receipt
from gateway.routing import replies
from tests.gateway.live import LiveGateway, live_gateway
from tests.gateway.stage import Stage
from tests.gateway.test_intake import incoming, is_stored, rate, store

WITH_ID = b"Message-ID: <1@sender.example>\r\n\r\nx\r\n"
WITHOUT_ID = b"Subject: x\r\n\r\nx\r\n"


def stored(stage: Stage) -> int:
    return Message.objects.filter(records__domain=stage.domain).count()


def test_repeat_gets_the_first_queue_id_and_is_not_stored(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")

    first = gateway.send(stage.address("hello"), WITH_ID)
    again = gateway.send(stage.address("hello"), WITH_ID)

    assert first.startswith("250 2.0.0 Ok: queued as ")
    assert again == first
    assert stored(stage) == 1


@pytest.mark.parametrize(
    ("content", "recipient", "sender"),
    [
        (WITHOUT_ID, "hello", "ann@sender.example"),
        (WITH_ID + b"y\r\n", "hello", "ann@sender.example"),
        (WITH_ID, "other", "ann@sender.example"),
        (WITH_ID, "hello", ""),
    ],
    ids=["no Message-ID", "other content", "other recipient", "other sender"],
)
def test_message_that_differs_is_stored(
    gateway: LiveGateway, stage: Stage, content: bytes, recipient: str, sender: str
):
    stage.alias("hello")
    stage.alias("other")
    before = WITHOUT_ID if content == WITHOUT_ID else WITH_ID
    gateway.send(stage.address("hello"), before)

    assert gateway.send(stage.address(recipient), content, sender=sender).startswith("250")
    assert stored(stage) == 2


def test_repeat_after_the_window_is_a_new_message(
    gateway: LiveGateway, stage: Stage, settings: Settings
):
    settings.GATEWAY_REPEAT_SECONDS = 0
    stage.alias("hello")

    replied = [gateway.send(stage.address("hello"), WITH_ID) for _ in range(2)]

    assert len(set(replied)) == stored(stage) == 2


def test_refused_message_is_no_first_one(gateway: LiveGateway, stage: Stage):
    stage.alias("busy", rate_per_hour=1)
    gateway.send(stage.address("busy"))

    assert gateway.send(stage.address("busy"), WITH_ID).startswith("450")
    assert gateway.send(stage.address("busy"), WITH_ID).startswith("450")


def test_same_message_over_two_gateways_at_a_time_is_stored_once(
    gateway: LiveGateway, stage: Stage
):
    stage.alias("hello", rate_per_hour=5)
    said: list[str] = []
    with live_gateway() as other:
        threads = [
            threading.Thread(
                target=lambda g=g: said.append(g.send(stage.address("hello"), WITH_ID))
            )
            for g in (gateway, other) * 8
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert stored(stage) == 1
    assert len(set(said) - {str(replies.TROUBLE)}) == 1


@pytest.mark.usefixtures("database", "socket_enabled")
def test_repeat_leaves_its_batch_alone():
    first, mate, take = incoming(), incoming(), rate(1)
    counted = incoming(take)
    store([first])
    again = replace(incoming(), message_id=first.message_id, digest=first.digest)

    answers = store([mate, again, counted])

    assert answers == [
        replies.queued(mate.envelope.queue_id),
        replies.repeated(first.envelope.queue_id),
        replies.queued(counted.envelope.queue_id),
    ]
    assert [is_stored(each) for each in (mate, again, counted)] == [True, False, True]


@pytest.mark.usefixtures("database", "socket_enabled")
def test_same_message_twice_in_a_batch_is_stored_once():
    first = incoming()
    again = replace(incoming(), message_id=first.message_id, digest=first.digest)

    answers = store([first, again])

    assert answers[0] == replies.queued(first.envelope.queue_id)
    assert answers[1] == replies.repeated(first.envelope.queue_id)
    assert not is_stored(again)


@pytest.mark.usefixtures("mail")
def test_purge_forgets_receipts_after_their_window(settings: Settings, socket_enabled: None):
    message = incoming()
    store([message])
    retention.purge()
    assert Receipt.objects.filter(key=message.receipt_key).exists()

    settings.GATEWAY_REPEAT_SECONDS = 0
    retention.purge()
    assert not Receipt.objects.filter(key=message.receipt_key).exists()
