"""The list of all cases: what is measured, on which rows, and which servers take part.

A new case is an entry here, its table's in benchmarks/kinds.py and, where it promises
something, one in benchmarks/floors.py.
"""

from collections.abc import Iterator

from benchmarks.case import Case
from benchmarks.measures.authenticated import authenticated
from benchmarks.measures.crowd import crowd
from benchmarks.measures.end_to_end import end_to_end
from benchmarks.measures.freshness import freshness
from benchmarks.measures.idle import idle
from benchmarks.measures.load import load
from benchmarks.plan import Plan
from benchmarks.population import Population

COMPARED = ("ours", "postfix", "exim", "haraka", "postfix-relaying")
YARDSTICK = ("ours", "postfix")
# Other ways to run a peer, where they may gain or lose most: with many connections.
CLUSTERED = ("haraka-cluster",)
VARIANTS = ("postfix-proxymap", *CLUSTERED)
BUSY = (16, 64)


def cases(plan: Plan) -> list[Case]:
    """Those that the plan asks for; cases of one server on one database follow each other."""
    found = [
        *_rows(plan),
        *_senders(plan),
        *_away(plan),
        *_domains(plan),
        *_special(plan),
        *_end_to_end(plan),
        *_authenticated(plan),
    ]
    return [case for case in found if case.connections and case.name in (plan.only or (case.name,))]


def aliases(number: int) -> str:
    """How a row is headed whose database holds so many aliases."""
    return f"{number:,} aliases"


def domains(number: int) -> str:
    return f"{number:,} domains"


def away(milliseconds: int) -> str:
    return f"{milliseconds} ms away"


def waiting(number: int) -> str:
    return f"{number:,} deliveries wait for a dead hop" if number else "empty queue"


def _rows(plan: Plan) -> Iterator[Case]:
    """Decisions and messages by number of aliases; all peers at the largest."""
    rcpt, messages = load("rcpt"), load("messages")
    busy = _chosen(plan, BUSY)
    for number in plan.sizes:
        people, setting = Population(number), aliases(number)
        peers = COMPARED if number == plan.many else YARDSTICK
        yield Case("rcpt", setting, people, plan.connections, peers, rcpt)
        yield Case("messages", setting, people, plan.connections, peers, messages)
        if number == plan.many:
            yield Case("rcpt", setting, people, busy, VARIANTS, rcpt)
            yield Case("messages", setting, people, busy, VARIANTS, messages)


def _senders(plan: Plan) -> Iterator[Case]:
    """Other ways to send, at the largest number of aliases."""
    people, setting, busy = Population(plan.many), aliases(plan.many), _chosen(plan, BUSY)
    for mode in ("pipelined", "reconnecting"):
        yield Case(mode, setting, people, busy, (*COMPARED, *CLUSTERED), load(mode))
    large = load("messages", octets=plan.large_octets)
    yield Case("large", setting, people, _chosen(plan, (16,)), COMPARED, large)


def _away(plan: Plan) -> Iterator[Case]:
    people, busy = Population(plan.many), _chosen(plan, BUSY)
    for milliseconds in (1, 80):
        peers = (f"ours-{milliseconds}ms",)
        yield Case("away", away(milliseconds), people, busy, peers, load("rcpt"))


def _domains(plan: Plan) -> Iterator[Case]:
    for number in plan.domain_sizes:
        people = Population(plan.domain_aliases, number)
        yield Case("domains", domains(number), people, _chosen(plan, BUSY), ("ours",), load("rcpt"))


def _special(plan: Plan) -> Iterator[Case]:
    """What is not a rate: memory and freshness."""
    people, setting = Population(plan.many), aliases(plan.many)
    idlers, crowded = (plan.idle_connections,), (plan.crowd_connections,)
    yield Case("idle", setting, people, idlers, COMPARED, idle, is_repeated=False)
    yield Case("crowd", setting, people, crowded, ("ours",), crowd, is_repeated=False)
    yield Case("freshness", setting, people, (2,), ("ours-twice",), freshness, is_repeated=False)


def _end_to_end(plan: Plan) -> Iterator[Case]:
    """Without and with deliveries that wait for another hop."""
    ours, both = ("ours-delivering",), ("ours-delivering", "postfix-delivering")
    for number, peers in ((0, both), (plan.backlog, ours)):
        people = Population(plan.many, waiting=number)
        yield Case("end-to-end", waiting(number), people, _chosen(plan, (16,)), peers, end_to_end)


def _authenticated(plan: Plan) -> Iterator[Case]:
    """SPF, DKIM and DMARC on, with answers from a local name server; on few aliases."""
    people, busy = Population(plan.few), _chosen(plan, BUSY)
    peers = ("ours-authenticating", "postfix-filtering")
    yield Case("authenticated", aliases(plan.few), people, busy, peers, authenticated)


def _chosen(plan: Plan, connections: tuple[int, ...]) -> tuple[int, ...]:
    """Those of a case that the plan asks for."""
    return tuple(number for number in connections if number in plan.connections)
