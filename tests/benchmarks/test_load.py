"""The load generator as a process, against a server that is right or wrong on purpose."""

import pytest

from benchmarks.case import WrongAnswerError
from benchmarks.load import Order
from benchmarks.measures.load import run
from tests.benchmarks.toy_server import Manner, running

pytestmark = pytest.mark.usefixtures("socket_enabled")


def order(mode: str, port: int, **changes: int) -> Order:
    return Order(
        mode=mode,
        port=port,
        aliases=100,
        domains=10,
        connections=3,
        warmup_seconds=0.05,
        seconds=0.2,
        limit=10_000,
        message_octets=2_000,
        seed=1,
        **changes,
    )


@pytest.mark.parametrize("mode", ["rcpt", "pipelined"])
@pytest.mark.parametrize("chunk_octets", [0, 1, 7])
def test_right_replies_make_a_figure_however_they_are_cut(mode: str, chunk_octets: int) -> None:
    with running(Manner(chunk_octets=chunk_octets)) as port:
        result = run(order(mode, port))
    assert result.recorded > 0
    assert result.accepted > 0
    assert result.p50_ms is not None
    assert result.recorded_seconds > 0


@pytest.mark.parametrize("mode", ["messages", "reconnecting"])
def test_as_many_messages_are_accepted_as_the_server_took(mode: str) -> None:
    manner = Manner()
    with running(manner) as port:
        result = run(order(mode, port))
    assert result.accepted == manner.stored > 0
    assert (manner.sessions == 3) is (mode == "messages")


@pytest.mark.parametrize("mode", ["rcpt", "pipelined"])
def test_a_stranger_who_is_let_in_ends_the_benchmark(mode: str) -> None:
    with (
        running(Manner(stranger_code=b"250")) as port,
        pytest.raises(WrongAnswerError, match="expected b'550', was answered b'250 stranger"),
    ):
        run(order(mode, port))


@pytest.mark.parametrize("mode", ["rcpt", "pipelined", "messages", "reconnecting", "crowd"])
def test_a_connection_that_is_cut_ends_the_benchmark(mode: str) -> None:
    with running(Manner(cuts_after=4)) as port, pytest.raises(WrongAnswerError, match="closed"):
        run(order(mode, port))


def test_what_is_answered_4xx_in_a_crowd_is_sent_again_and_counted() -> None:
    manner = Manner(busy_times=4)
    with running(manner) as port:
        result = run(order("crowd", port, beside=2, beside_octets=50_000))
    assert result.deferred == 4
    assert 0 < result.accepted <= manner.stored


def test_what_is_answered_4xx_elsewhere_ends_the_benchmark() -> None:
    with running(Manner(busy_times=1)) as port, pytest.raises(WrongAnswerError, match="452"):
        run(order("messages", port))
