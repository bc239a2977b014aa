"""Who waits for a result is called the moment it is there, and once."""

import asyncio

import pytest

from gateway.pending import Pending


def test_listener_is_called_at_once_when_the_result_comes():
    heard: list[int] = []
    pending: Pending[int] = Pending()
    pending.listen(lambda settled: heard.append(settled.result()))

    pending.resolve(1)
    pending.resolve(2)
    pending.fail(ValueError("late"))

    assert heard == [1]


def test_listener_of_a_settled_result_is_called_now():
    heard: list[int] = []
    pending: Pending[int] = Pending()
    pending.resolve(1)

    pending.listen(lambda settled: heard.append(settled.result()))

    assert heard == [1]


@pytest.mark.parametrize(
    ("settled_with", "outcome"),
    [(2, "answer 2"), (KeyError("x"), "mended"), (ValueError("x"), ValueError)],
)
def test_chain_answers_mends_or_passes_the_error_on(settled_with: object, outcome: object):
    pending: Pending[object] = Pending()
    following = pending.then(
        lambda result: f"answer {result}",
        lambda error: "mended" if isinstance(error, KeyError) else None,
    )

    if isinstance(settled_with, Exception):
        pending.fail(settled_with)
    else:
        pending.resolve(settled_with)

    if isinstance(outcome, type):
        with pytest.raises(outcome):
            following.result()
    else:
        assert following.result() == outcome


def test_what_an_answer_raises_becomes_the_error():
    pending: Pending[int] = Pending()
    following = pending.then(lambda number: 1 // number, lambda _: None)

    pending.resolve(0)

    with pytest.raises(ZeroDivisionError):
        following.result()


@pytest.mark.enable_socket  # an event loop wakes itself through one
def test_result_can_be_awaited_before_and_after_it_came():
    async def run() -> tuple[int, int]:
        pending: Pending[int] = Pending()
        asyncio.get_running_loop().call_soon(pending.resolve, 7)
        return await pending, await pending

    assert asyncio.run(run()) == (7, 7)


def test_chain_waits_for_an_answer_that_comes_later():
    first: Pending[int] = Pending()
    second: Pending[str] = Pending()
    following = first.then(lambda _: second, lambda _: None)

    first.resolve(1)
    assert not following.is_settled
    second.resolve("late")

    assert following.result() == "late"
