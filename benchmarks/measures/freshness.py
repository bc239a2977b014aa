"""Whether an edit holds at the very next command: two gateways, and an alias that is toggled."""

import json
import subprocess
import sys
from typing import cast

from benchmarks.case import Sample, Task
from benchmarks.database import PROJECT
from benchmarks.peers import Peer, Twins

BOUND_SECONDS = 300


def freshness(peer: Peer, task: Task) -> Sample:
    """Times run from the commit to the second gateway's reply; `stale` replies were wrong."""
    twins = cast("Twins", peer)
    assert twins.database is not None
    numbers = (twins.port, twins.second_port, task.plan.toggles)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.toggling", *map(str, numbers)],
        env=dict(twins.database.environment()),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=PROJECT,
        timeout=BOUND_SECONDS,
    )
    told = json.loads(done.stdout)
    return Sample(told["p50_ms"], told["p99_ms"], accepted=told["asked"], stale=told["stale"])
