"""Accepted, delivered to the sink and noted as delivered: the rate of the whole way.

The clock runs from the first command to the moment when the sink has every message and
the server knows it, so a queue that fills faster than it drains is paid for.
"""

from dataclasses import replace
from time import monotonic
from typing import cast

from benchmarks.case import Sample, Task, WrongAnswerError
from benchmarks.measures.load import order, run, sample
from benchmarks.peers import Deliverer, Peer
from benchmarks.ports import await_condition

DRAIN_SECONDS = 120


def end_to_end(peer: Peer, task: Task) -> Sample:
    """Times are those to the 250; the rate is that of the whole way."""
    server = cast("Deliverer", peer)
    before = server.received_count()
    result = run(order("messages", peer, task))

    def is_received() -> bool:
        return server.received_count() - before >= result.accepted

    is_done = await_condition(is_received, within_seconds=DRAIN_SECONDS) and await_condition(
        lambda: server.is_settled(result.accepted), within_seconds=DRAIN_SECONDS
    )
    seconds = monotonic() - result.began_at
    received = server.received_count() - before
    peer.clear()
    if not is_done or received != result.accepted:
        raise WrongAnswerError(f"{result.accepted} messages got 250, {received} were delivered")
    return replace(sample(result), per_second=result.accepted / seconds)
