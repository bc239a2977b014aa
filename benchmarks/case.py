"""What one case of a benchmark is, and what measuring it gives; benchmarks/cases.py lists them."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers import Peer
from benchmarks.plan import Plan
from benchmarks.population import Population


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run of one server gave; a field is None where the case does not measure it.

    `per_second` counts what the case's title says, the times are those to the reply.
    """

    p50_ms: float
    p99_ms: float
    per_second: float | None = None
    accepted: int = 0
    deferred: int | None = None  # messages that were answered 4xx and sent again
    load_cpu_share: float | None = None  # of one core, of the load generator
    memory_mib: float | None = None  # of all processes of the server, or of its largest one
    stale: int | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What a running server is measured with."""

    plan: Plan
    people: Population
    connections: int
    repeat: int

    @property
    def seed(self) -> int:
        """Differs between repeats, so that no server is asked in the same order twice."""
        return self.repeat * 1_000 + self.connections


# Raises WrongAnswerError where the server answered wrongly or lost something.
Measure = Callable[[Peer, Task], Sample]


class WrongAnswerError(Exception):
    """A server answered wrongly or lost mail, so its speed means nothing."""


@dataclass(frozen=True, slots=True)
class Case:
    """Rows of one table: one surrounding, some numbers of connections, the servers to compare."""

    name: str
    setting: str  # the surroundings in a reader's words
    people: Population
    connections: tuple[int, ...]
    peers: tuple[str, ...]  # by which peers/catalogue.py knows them
    measure: Measure
    is_repeated: bool = True


@dataclass(frozen=True, slots=True)
class Measurement:
    """A sample and where it belongs."""

    peer: str
    case: str
    setting: str
    connections: int
    repeat: int
    sample: Sample
