"""The queue by destination: what is not settled, by lane, with the oldest and the last error.

Exact, it reads each open delivery once, by the partial indexes of the open states: 0.4 to 1.5 s at
a million of them, where a delivered one costs nothing. What takes longer than EXACT_MS is counted
only so far, and says so: pending ones lane by lane, others among those that are due first. A count
is kept for some seconds.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from psycopg.errors import QueryCanceled

from gateway.database import run
from gateway.delivery.queue import LANE, LANES, PENDING, lane_of
from gateway.models import Delivery, Outage
from tenants.models import NextHop

KEPT_SECONDS = 15
EXACT_MS = 150
MOST = 10_000  # of one lane's pending ones
MOST_OF_STATE = 100_000  # of all others in one state, whatever their lane
_KEY = "queue-by-destination"
State = Delivery.State
OPEN = (State.PENDING, State.DEFERRED, State.SENDING, State.HELD, State.QUARANTINED)

# One branch a state: each has an index of its own that holds no other row.
_COUNT = " UNION ALL ".join(
    "SELECT kind, hop_id, state, count(*), min(created_at), max(next_attempt_at) "  # noqa: S608
    f"FROM gateway_delivery WHERE state = '{state}' GROUP BY 1, 2, 3"
    for state in OPEN
)
_PENDING_BY_LANE = f"""
{LANES}
SELECT split_part(lane.name, ':', 1), nullif(split_part(lane.name, ':', 2), '0')::bigint,
    'pending', counted.*
FROM lane CROSS JOIN LATERAL (
    SELECT count(*), min(created_at), max(next_attempt_at) FROM (
        SELECT created_at, next_attempt_at FROM gateway_delivery
        WHERE {PENDING} AND {LANE} = lane.name LIMIT %(most)s + 1
    ) few
) counted
WHERE lane.name IS NOT NULL
"""  # noqa: S608 - made of constants
_OTHERS = " UNION ALL ".join(
    "(SELECT kind, hop_id, state, count(*), min(created_at), max(next_attempt_at) FROM ("  # noqa: S608
    "SELECT kind, hop_id, state, created_at, next_attempt_at FROM gateway_delivery "
    f"WHERE state = '{state}' ORDER BY {order} LIMIT %(most_of_state)s + 1) few GROUP BY 1, 2, 3)"
    for state, order in (
        (State.DEFERRED, "next_attempt_at"),
        (State.SENDING, "lease_until"),
        (State.HELD, "id"),
        (State.QUARANTINED, "id"),
    )
)
# Whoever is deferred longest was mostly deferred last; found by the index of deferred ones.
_LAST_ERROR = """
SELECT DISTINCT ON (l.kind, l.hop) l.kind, l.hop, d.last_reply
FROM unnest(%(kinds)s::text[], %(hops)s::bigint[], %(times)s::timestamptz[]) AS l(kind, hop, at)
JOIN gateway_delivery d ON d.state = 'deferred' AND d.next_attempt_at = l.at
    AND d.kind = l.kind AND d.hop_id IS NOT DISTINCT FROM l.hop
"""

Lane = tuple[str, int | None]
Rows = list[tuple[Any, ...]]


@dataclass(slots=True)
class Destination:
    """What waits for one lane together; `hop` is None for the smarthost, inboxes and discard."""

    kind: str
    hop_id: int | None
    hop: NextHop | None = None
    counts: dict[str, int] = field(default_factory=dict)
    capped: set[str] = field(default_factory=set)  # states with more than was counted
    oldest: datetime | None = None
    last_error: str = ""
    outage: Outage | None = None

    @property
    def lane(self) -> str:
        """Its name."""
        return lane_of(self.kind, self.hop_id)

    @property
    def total(self) -> int:
        """All that is not settled."""
        return sum(self.counts.values())

    @property
    def name(self) -> str:
        """The next hop as an operator knows it."""
        if self.hop is not None:
            return self.hop.name
        if self.hop_id is not None:
            return f"next hop {self.hop_id}, deleted"
        return "smarthost" if self.kind == "forward" else self.kind


@dataclass(frozen=True, slots=True)
class Backlog:
    """All destinations that something waits for, the fullest first, as they were at a time."""

    at: datetime
    destinations: Sequence[Destination]


def read(*, is_fresh: bool = False) -> Backlog:
    """The queue by destination, counted at most KEPT_SECONDS ago; now where it is to be fresh."""
    kept: Backlog | None = None if is_fresh else cache.get(_KEY)
    if kept is None:
        kept = Backlog(timezone.now(), _count())
        cache.set(_KEY, kept, KEPT_SECONDS)
    return kept


def _exact() -> Rows | None:
    """Every open delivery, counted; None where that takes too long."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(EXACT_MS)])
            cursor.execute(_COUNT)
            rows: Rows = cursor.fetchall()
            cursor.execute("SET LOCAL statement_timeout = DEFAULT")
            return rows
    except OperationalError as error:
        if not isinstance(error.__cause__, QueryCanceled):
            raise
        return None


def _bounded() -> Rows:
    """As many as are counted, and one more where there are more."""
    limits = {"most": MOST, "most_of_state": MOST_OF_STATE}
    return [*run(_PENDING_BY_LANE, limits), *run(_OTHERS, limits)]


def _cut_states(rows: Rows) -> set[str]:
    """The states, but for pending, of which there are more than were looked at."""
    seen: Counter[str] = Counter()
    for _, _, state, count, *_ in rows:
        seen[state] += count
    return {state for state, count in seen.items() if count > MOST_OF_STATE} - {State.PENDING}


def _count() -> list[Destination]:
    lanes: dict[Lane, Destination] = {}
    deferred: dict[Lane, datetime] = {}
    exact = _exact()
    rows = _bounded() if exact is None else exact
    cut = _cut_states(rows) if exact is None else set()
    for kind, hop_id, state, count, oldest, latest in rows:
        lane = lanes.setdefault((kind, hop_id), Destination(kind, hop_id))
        most = MOST if state == State.PENDING else MOST_OF_STATE
        is_over = exact is None and count > most
        lane.counts[state] = most if is_over else count
        if is_over or state in cut:
            lane.capped.add(state)
        lane.oldest = min(filter(None, (lane.oldest, oldest)))
        if state == State.DEFERRED:
            deferred[kind, hop_id] = latest
    _name(lanes)
    _add_errors(lanes, deferred)
    return sorted(lanes.values(), key=lambda lane: -lane.total)


def _name(lanes: dict[Lane, Destination]) -> None:
    """Next hops and outages; an outage without anything that waits is a destination, too."""
    for outage in Outage.objects.all():
        kind, _, number = outage.lane.partition(":")
        lane = kind, int(number) or None
        lanes.setdefault(lane, Destination(*lane)).outage = outage
    hops = NextHop.objects.in_bulk([hop_id for _, hop_id in lanes if hop_id])
    for each in lanes.values():
        each.hop = hops.get(each.hop_id) if each.hop_id else None


def _add_errors(lanes: dict[Lane, Destination], deferred: dict[Lane, datetime]) -> None:
    parameters = {
        "kinds": [kind for kind, _ in deferred],
        "hops": [hop_id for _, hop_id in deferred],
        "times": list(deferred.values()),
    }
    for kind, hop_id, reply in run(_LAST_ERROR, parameters):
        lanes[kind, hop_id].last_error = reply
    for lane in lanes.values():
        if lane.outage is not None:
            lane.last_error = lane.outage.reply
