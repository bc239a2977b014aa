"""The order of events: a database for each size, and in turn each server alone on it.

Repeats alternate between the servers, so that a machine that slows down for a while
slows all of them.
"""

from collections.abc import Sequence
from pathlib import Path

from benchmarks import database
from benchmarks.database import Database
from benchmarks.measure import Measurement, measure
from benchmarks.peers import Peer
from benchmarks.plan import Plan
from benchmarks.progress import Progress


def run(
    plan: Plan, peers: Sequence[Peer], cluster_url: str, work: Path, progress: Progress
) -> list[Measurement]:
    """All measurements of the plan. Raises PeerError and WrongAnswerError."""
    found: list[Measurement] = []
    for aliases in plan.sizes:
        progress.say(f"loading {aliases:,} aliases")
        loaded = database.load(cluster_url, aliases=aliases, work=work)
        for repeat in range(plan.repeats):
            for peer in peers:
                found += _turn(plan, peer, loaded, repeat, progress)
        database.drop(cluster_url, loaded)
    return found


def _turn(
    plan: Plan, peer: Peer, loaded: Database, repeat: int, progress: Progress
) -> list[Measurement]:
    """One server's turn: start it, measure every mode and number of connections, stop it."""
    found = []
    peer.start(loaded)
    try:
        for mode in plan.modes:
            for connections in plan.connections:
                progress.step(f"{loaded.aliases:,} aliases, {peer.name}, {mode}, {connections}")
                found.append(
                    measure(
                        peer,
                        plan,
                        aliases=loaded.aliases,
                        mode=mode,
                        connections=connections,
                        repeat=repeat,
                    )
                )
    finally:
        peer.stop()
    return found
