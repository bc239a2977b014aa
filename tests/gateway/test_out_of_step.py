"""A next hop whose replies do not fit the commands: only a reply to the content says delivered."""

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from gateway.routing.facts import Hop as Place
from gateway.transports import Envelope, Outcome, Result
from gateway.transports.connection import converse
from gateway.transports.conversation import Conversation
from gateway.transports.reply import BadReply
from gateway.transports.smtp import SmtpTransport
from tests.gateway.hop import Hop, listening

pytestmark = pytest.mark.usefixtures("socket_enabled")

CONTENT = b"Subject: x\r\n\r\nbody\r\n"
BOX, OTHER = "box@store.example", "other@store.example"


@pytest.fixture(params=[True, False], ids=["pipelined", "stepwise"])
def hop(request: pytest.FixtureRequest) -> Iterator[Hop]:
    with listening(Hop(is_pipelined=request.param)) as running:
        yield running


def send(hop: Hop, *recipients: str, times: int = 1) -> list[Outcome]:
    """The outcomes of the last of so many messages over one transport."""
    envelopes = [
        Envelope(UUID(int=number), "ann@sender.example", each, "bob@hosted.example")
        for number, each in enumerate(recipients or (BOX,))
    ]

    async def talk() -> list[Outcome]:
        transport = SmtpTransport(place(hop), hostname="gateway.example")
        async with asyncio.timeout(5):
            for _ in range(times):
                outcomes = await transport.send(envelopes, CONTENT)
        await transport.close()
        return outcomes

    return asyncio.run(talk())


def place(hop: Hop) -> Place:
    return Place(1, "smtp", "127.0.0.1", hop.port, "none")


@pytest.mark.parametrize(
    "said",
    [
        {"recipients": {BOX: "252 2.1.5 cannot VRFY user, but will accept"}},
        {"recipients": {BOX: "251 2.1.5 will forward"}},
        {"mail": "251 2.1.0 fine"},
    ],
)
def test_any_positive_word_to_mail_and_rcpt_lets_the_content_go(
    hop: Hop, said: dict[str, Any]
) -> None:
    vars(hop).update(said)
    assert [each.result for each in send(hop)] == [Result.DELIVERED]
    assert [taken for taken, _ in hop.contents] == [[BOX]]


@pytest.mark.parametrize(
    "said",
    [
        {"data": "250 2.0.0 fine"},
        {"data": "334 go on"},
        {"mail": "250 2.1.0 ok\r\n250 2.1.0 surplus"},
        {"recipients": {BOX: "250 2.1.5 ok\r\n250 2.1.5 surplus"}},
        {"mail": "354 go on"},
        {"recipients": {BOX: "354 go on"}},
    ],
)
def test_what_was_not_sent_is_not_delivered_and_the_connection_is_given_up(
    hop: Hop, said: dict[str, Any]
) -> None:
    vars(hop).update(said)
    [outcome] = send(hop, times=2)
    assert (outcome.result, outcome.is_unreachable) == (Result.DEFERRED, False)
    assert hop.connections == 2


def test_content_answered_by_no_verdict_is_deferred_and_the_connection_is_given_up(
    hop: Hop,
) -> None:
    hop.finals = lambda taken: ["354 go on"] * len(taken)
    assert [each.result for each in send(hop, times=2)] == [Result.DEFERRED]
    assert hop.connections == 2


def test_refusal_stands_where_the_rest_fell_out_of_step(hop: Hop) -> None:
    hop.recipients = {OTHER: "550 5.1.1 no such user"}
    hop.data = "250 2.0.0 fine"
    box, other = send(hop, BOX, OTHER)
    assert (box.result, box.reply) == (Result.DEFERRED, "DATA was answered 250 2.0.0 fine")
    assert (other.result, other.reply) == (Result.FAILED, "550 5.1.1 no such user")


def test_replies_that_nothing_asked_for_are_not_kept(hop: Hop) -> None:
    async def flooded() -> Conversation:
        conversation = await converse(place(hop), hostname="g.example", connect_seconds=5)
        conversation.data_received(b"250 ok\r\n" * 1000)
        with pytest.raises(BadReply):
            await conversation.reply()
        return conversation

    assert not asyncio.run(flooded()).is_open


def test_reply_that_was_asked_for_is_heard_before_a_flood(hop: Hop) -> None:
    async def flooded() -> int:
        conversation = await converse(place(hop), hostname="g.example", connect_seconds=5)
        conversation.write([b"NOOP\r\n"], replies=1)
        conversation.data_received(b"250 ok\r\n" * 1000)
        return (await conversation.reply()).code

    assert asyncio.run(flooded()) == 250
