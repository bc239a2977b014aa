"""One figure: the load generator against a running peer, and what the peer then stored.

A figure counts only if every reply was right and every message answered 250 is in the
server's store; otherwise the benchmark ends there.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass

from benchmarks.database import PROJECT
from benchmarks.load import GRACE_SECONDS, Order, Result
from benchmarks.peers import Peer
from benchmarks.plan import Plan


class WrongAnswerError(Exception):
    """A server answered wrongly or lost mail, so its speed means nothing."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one peer; `per_second` counts decisions or durable messages."""

    peer: str
    aliases: int
    mode: str
    connections: int
    repeat: int
    per_second: float
    p50_ms: float
    p99_ms: float
    accepted: int
    load_cpu_share: float


def measure(
    peer: Peer, plan: Plan, *, aliases: int, mode: str, connections: int, repeat: int
) -> Measurement:
    """Run the load once. Raises WrongAnswerError."""
    order = Order(
        mode=mode,
        port=peer.port,
        aliases=aliases,
        connections=connections,
        warmup_seconds=plan.warmup_seconds,
        seconds=plan.seconds,
        limit=plan.limit,
        message_octets=plan.message_octets,
        seed=repeat * 1_000 + connections,
    )
    os.sync()  # what an earlier run left to be written is not this one's cost
    result = _run(order)
    what = f"{peer.name}, {mode}, connections: {connections}, aliases: {aliases:,}"
    if result.failure or result.p50_ms is None or result.p99_ms is None:
        raise WrongAnswerError(f"{what}: {result.failure or 'no reply at all'}")
    if mode == "messages":
        _check_stored(peer, result.accepted, what)
    return Measurement(
        peer=peer.name,
        aliases=aliases,
        mode=mode,
        connections=connections,
        repeat=repeat,
        per_second=result.recorded / result.recorded_seconds,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        accepted=result.accepted,
        load_cpu_share=result.cpu_share,
    )


def _run(order: Order) -> Result:
    bound = order.warmup_seconds + order.seconds + 2 * GRACE_SECONDS
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(asdict(order)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=PROJECT,
        timeout=bound,
    )
    return Result(**json.loads(done.stdout))


def _check_stored(peer: Peer, accepted: int, what: str) -> None:
    stored = peer.stored_count()
    peer.clear()
    if stored != accepted:
        raise WrongAnswerError(f"{what}: {accepted} messages got 250, {stored} are stored")
