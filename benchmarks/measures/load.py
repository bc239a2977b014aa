"""The load generator against a running server, and what the server then stored.

A figure counts only if every reply was right and every message answered 250 is in the
server's store; otherwise the benchmark ends there.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict

from benchmarks.case import Measure, Sample, Task, WrongAnswerError
from benchmarks.database import PROJECT
from benchmarks.load import GRACE_SECONDS, RCPT_MODES, Order, Result
from benchmarks.peers import Peer


def load(mode: str, *, octets: int = 0) -> Measure:
    """Measure a mode of the load generator, with messages of another size than the plan's."""

    def measure(peer: Peer, task: Task) -> Sample:
        result = run(order(mode, peer, task, octets=octets))
        if mode not in RCPT_MODES:
            check_stored(peer, result.accepted)
        return sample(result)

    return measure


def order(mode: str, peer: Peer, task: Task, *, octets: int = 0) -> Order:
    plan = task.plan
    return Order(
        mode=mode,
        port=peer.port,
        aliases=task.people.aliases,
        domains=task.people.domains,
        connections=task.connections,
        warmup_seconds=plan.warmup_seconds,
        seconds=plan.seconds,
        limit=plan.limit,
        message_octets=octets or plan.message_octets,
        seed=task.seed,
    )


def run(order: Order) -> Result:
    """Run the load generator once. Raises WrongAnswerError."""
    os.sync()  # what an earlier run left to be written is not this one's cost
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=json.dumps(asdict(order)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=PROJECT,
        timeout=order.warmup_seconds + order.seconds + 2 * GRACE_SECONDS,
    )
    result = Result(**json.loads(done.stdout))
    if result.failure or not result.recorded:
        raise WrongAnswerError(result.failure or "no reply at all")
    return result


def sample(result: Result) -> Sample:
    assert result.p50_ms is not None
    assert result.p99_ms is not None
    return Sample(
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        per_second=result.recorded / result.recorded_seconds,
        accepted=result.accepted,
        load_cpu_share=result.cpu_share,
    )


def check_stored(peer: Peer, accepted: int, *, is_exact: bool = True) -> None:
    """Compare what got 250 with what lies in the server's store, and throw that away.

    More may lie there only where the load sends again what was answered 4xx.
    """
    stored = peer.stored_count()
    peer.clear()
    if stored < accepted or (is_exact and stored > accepted):
        raise WrongAnswerError(f"{accepted} messages got 250, {stored} are stored")
