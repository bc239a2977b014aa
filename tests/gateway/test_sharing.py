"""Deliveries that share a transaction or a connection, each with an outcome of its own."""

from collections.abc import Iterator

import pytest
from pytest_django import Settings

from gateway.delivery import claim, drain
from gateway.delivery.fair import FairQueue
from gateway.delivery.routes import RECIPIENTS_TOGETHER, parcels
from gateway.models import Delivery
from tests.gateway import outbox
from tests.gateway.hop import DROP, Hop, listening
from tests.gateway.sink import Sink

pytestmark = pytest.mark.usefixtures("mail", "socket_enabled")
State = Delivery.State
THREE = ("a@store.example", "b@store.example", "c@store.example")


@pytest.fixture(params=[True, False], ids=["pipelined", "in turn"])
def hop(request: pytest.FixtureRequest) -> Iterator[Hop]:
    with listening(Hop(is_pipelined=request.param)) as opened:
        yield opened


@pytest.fixture(params=[True, False], ids=["pipelined", "in turn"])
def lmtp(request: pytest.FixtureRequest) -> Iterator[Hop]:
    with listening(Hop(is_lmtp=True, is_pipelined=request.param)) as opened:
        yield opened


def test_recipients_of_one_message_share_a_transaction(hop: Hop) -> None:
    deliveries = outbox.put(outbox.add_hop(hop.port), recipients=THREE)
    drain()
    assert outbox.states(deliveries) == [State.DELIVERED] * 3
    [(taken, content)] = hop.contents
    assert sorted(taken) == sorted(THREE)
    for delivery in deliveries:
        assert f"X-Delivery-ID: {delivery.id}\r\n".encode() in content
        assert [each.number for each in outbox.attempts(delivery)] == [1]
    assert hop.groups == [5 if hop.is_pipelined else 1]


def test_recipients_of_different_addresses_do_not_learn_of_each_other(hop: Hop) -> None:
    row = outbox.add_hop(hop.port)
    [one], [two] = outbox.put(row), outbox.put(row, original="other@hosted.example")
    Delivery.objects.filter(pk=two.pk).update(message=one.message)
    drain()
    assert len(hop.contents) == 2
    for _, content in hop.contents:
        assert content.count(b"Delivered-To:") == content.count(b"X-Delivery-ID:") == 1


def test_each_recipient_keeps_its_own_outcome(hop: Hop) -> None:
    hop.recipients = {THREE[0]: "550 5.1.1 gone", THREE[1]: "452 4.2.2 full"}
    deliveries = outbox.put(outbox.add_hop(hop.port), recipients=THREE)
    drain()
    assert outbox.states(deliveries) == [State.FAILED, State.DEFERRED, State.DELIVERED]
    assert [taken for taken, _ in hop.contents] == [[THREE[2]]]
    assert deliveries[0].last_reply == "550 5.1.1 gone"


def test_one_recipient_too_many_goes_in_the_next_transaction(hop: Hop) -> None:
    hop.recipients = {THREE[2]: "452 4.5.3 too many recipients"}
    deliveries = outbox.put(outbox.add_hop(hop.port), recipients=THREE)

    def finals(taken: list[str]) -> list[str]:
        hop.recipients = {}
        return ["250 2.0.0 taken"] * len(taken)

    hop.finals = finals
    drain()
    drain()
    assert outbox.states(deliveries) == [State.DELIVERED] * 3
    assert [len(taken) for taken, _ in hop.contents] == [2, 1]


@pytest.mark.parametrize("refused", [THREE, THREE[:1]])
def test_connection_goes_on_after_a_refusal(hop: Hop, refused: tuple[str, ...]) -> None:
    hop.recipients = dict.fromkeys(refused, "550 5.1.1 gone")
    row = outbox.add_hop(hop.port)
    first = outbox.put(row, recipients=THREE)
    second = outbox.put(row)
    drain()
    assert outbox.states(first).count(State.FAILED) == len(refused)
    assert outbox.states(second) == [State.DELIVERED]
    assert hop.connections == 1


def test_refused_sender_counts_for_all(hop: Hop) -> None:
    hop.mail = "550 5.7.1 not from you"
    deliveries = outbox.put(outbox.add_hop(hop.port), recipients=THREE)
    drain()
    assert outbox.states(deliveries) == [State.FAILED] * 3
    assert {each.last_reply for each in deliveries} == {"550 5.7.1 not from you"}


def test_dropped_before_the_content_those_answered_are_settled_others_tried_again(
    hop: Hop,
) -> None:
    hop.recipients = {THREE[0]: "550 5.1.1 gone"}
    hop.data = DROP
    deliveries = outbox.put(outbox.add_hop(hop.port), recipients=THREE)
    drain()
    assert outbox.states(deliveries) == [State.FAILED, State.DEFERRED, State.DEFERRED]
    hop.data = "354 go on"
    outbox.make_due(*(each.id for each in deliveries[1:]))
    drain()
    assert outbox.states(deliveries) == [State.FAILED, State.DELIVERED, State.DELIVERED]
    assert [sorted(taken) for taken, _ in hop.contents] == [list(THREE[1:])]


def test_lmtp_answers_for_each_recipient(lmtp: Hop) -> None:
    lmtp.finals = lambda taken: [
        {THREE[0]: "250 stored", THREE[1]: "452 4.2.2 full", THREE[2]: "550 5.7.1 no"}[each]
        for each in taken
    ]
    deliveries = outbox.put(outbox.add_hop(lmtp.port, protocol="lmtp"), recipients=THREE)
    drain()
    assert outbox.states(deliveries) == [State.DELIVERED, State.DEFERRED, State.FAILED]
    assert len(lmtp.contents) == 1


def test_lmtp_that_drops_amid_its_replies_repeats_nobody_who_was_answered(lmtp: Hop) -> None:
    lmtp.finals = lambda _taken: ["250 stored", DROP]
    deliveries = outbox.put(outbox.add_hop(lmtp.port, protocol="lmtp"), recipients=THREE)
    drain()
    assert sorted(outbox.states(deliveries)) == [State.DEFERRED] * 2 + [State.DELIVERED]
    lmtp.finals = lambda taken: ["250 stored"] * len(taken)
    outbox.make_due(*(each.id for each in deliveries))
    drain()
    assert outbox.states(deliveries) == [State.DELIVERED] * 3
    first, second = (taken for taken, _ in lmtp.contents)
    assert sorted([first[0], *second]) == sorted(THREE)


def test_silence_amid_lmtp_replies_repeats_nobody_who_was_answered(
    lmtp: Hop, settings: Settings
) -> None:
    settings.DELIVERY_ATTEMPT_SECONDS = 0.3
    lmtp.finals = lambda _taken: ["250 stored"]
    deliveries = outbox.put(outbox.add_hop(lmtp.port, protocol="lmtp"), recipients=THREE)
    drain()
    assert sorted(outbox.states(deliveries)) == [State.DEFERRED] * 2 + [State.DELIVERED]


def test_many_recipients_go_in_several_transactions() -> None:
    names = tuple(f"r{number}@store.example" for number in range(RECIPIENTS_TOGETHER + 1))
    outbox.put(outbox.add_hop(25), recipients=names)
    sizes = [len(parcel) for parcel in parcels(claim(200))]
    assert sum(sizes) <= len(names)
    assert max(sizes) <= RECIPIENTS_TOGETHER


def test_worn_connection_is_closed_before_the_hop_tires(
    sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.delivery.server.MESSAGES_PER_CONNECTION", 2)
    row = outbox.add_hop(sink.port)
    row_of_one = [outbox.put(row)[0] for _ in range(6)]
    drain()
    assert outbox.states(row_of_one) == [State.DELIVERED] * 6
    assert sink.connections >= 3


def test_owners_take_turns_in_the_order_in_which_they_came() -> None:
    queue: FairQueue[str] = FairQueue()
    for owner, item in [(1, "a"), (1, "b"), (1, "c"), (2, "x"), (3, "y"), (2, "z")]:
        queue.put(owner, item)
    assert "".join(queue.take() for _ in range(6)) == "axybzc"
    assert not queue
