"""The order of events: every database is filled, then each server in turn is alone on one.

Repeats alternate between servers and databases, so that a machine that slows down for a
while slows all that is compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from benchmarks import database
from benchmarks.case import Case, Measurement, Task, WrongAnswerError
from benchmarks.database import Database
from benchmarks.peers import Peer
from benchmarks.plan import Plan
from benchmarks.population import Population
from benchmarks.progress import Progress


class Rig:
    """Measures cases on servers that it starts and stops, one at a time."""

    def __init__(self, plan: Plan, cases: Sequence[Case], peers: Mapping[str, Peer]) -> None:
        self._plan = plan
        self._peers = peers
        self._steps = _steps(cases, peers)
        self._progress = Progress(
            sum(len(case.connections) * _times(case, plan) for case, _ in self._steps)
        )

    def run(self, cluster_url: str, work: Path) -> list[Measurement]:
        """All measurements of the plan. Raises PeerError and WrongAnswerError."""
        loaded = self._load(cluster_url, work)
        found: list[Measurement] = []
        for repeat in range(self._plan.repeats):
            due = [step for step in self._steps if repeat < _times(step[0], self._plan)]
            # A turn: what one server has to do on one database.
            for (people, name), turn in groupby(due, lambda step: (step[0].people, step[1])):
                cases = [case for case, _ in turn]
                found += self._turn(self._peers[name], loaded[people], cases, repeat)
        self._progress.end()
        return found

    def _load(self, cluster_url: str, work: Path) -> dict[Population, Database]:
        """A database for each population that a case needs."""
        loaded: dict[Population, Database] = {}
        for people in dict.fromkeys(case.people for case, _ in self._steps):
            self._progress.say(f"loading {people}")
            loaded[people] = database.load(cluster_url, people, work)
        return loaded

    def _turn(
        self, peer: Peer, loaded: Database, cases: Sequence[Case], repeat: int
    ) -> Iterator[Measurement]:
        peer.start(loaded)
        try:
            for case in cases:
                for connections in case.connections:
                    yield self._measure(peer, case, connections, repeat)
        finally:
            peer.stop()

    def _measure(self, peer: Peer, case: Case, connections: int, repeat: int) -> Measurement:
        what = f"{peer.name}, {case.name}, {case.setting}, {connections} connections"
        self._progress.step(what)
        try:
            sample = case.measure(peer, Task(self._plan, case.people, connections, repeat))
        except WrongAnswerError as error:
            raise WrongAnswerError(f"{what}: {error}") from error
        return Measurement(peer.name, case.name, case.setting, connections, repeat, sample)


def _steps(cases: Sequence[Case], peers: Mapping[str, Peer]) -> list[tuple[Case, str]]:
    """Each case with each of its servers that is at hand, those of one turn beside each other."""
    populations = list(dict.fromkeys(case.people for case in cases))
    steps = [(case, name) for case in cases for name in case.peers if name in peers]
    turns = list(dict.fromkeys((case.people, name) for case, name in steps))
    turns.sort(key=lambda turn: populations.index(turn[0]))
    return sorted(steps, key=lambda step: turns.index((step[0].people, step[1])))


def _times(case: Case, plan: Plan) -> int:
    return plan.repeats if case.is_repeated else 1
