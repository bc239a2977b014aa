"""The queue's statements: claim what is due, read octets, settle what came of it.

The database's clock decides. Attempts are counted before the work; each claim raises the fence,
and only who holds the newest one may settle. A lease that ran out is a crash of its worker; after
three the delivery is quarantined and not sent again by itself. The first may be the fault of any
that the worker had; from then on it is noted which are begun, and those that waited do not count.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings

from gateway.database import run
from gateway.models import Delivery
from gateway.pieces import joined, latest
from gateway.routing import retry
from gateway.routing.facts import Hop
from gateway.transports import Outcome, Result

CRASHES_ALLOWED = 3
# What is claimed at once for a lane that nothing is known about yet.
ROOM = 16
PROMOTED_AT_ONCE = 1000
INTERRUPTED = "The worker ended before the outcome was known."

# A lane is what deliveries wait for together: a kind of transport and its next hop. Within one,
# tenants take turns. Pending deliveries are found by lane, tenant and time in an index of their own
# (migration 0007), deferred ones by time; so a claim costs the same whatever else waits: it steps
# from lane to lane, over those that are busy or out, and reads of a tenant what it takes.
LANE = "(kind || ':' || coalesce(hop_id, 0)::text)"
_TENANT = "coalesce(tenant_id, 0)"
PENDING = "state = 'pending'"

LANES = f"""
WITH RECURSIVE lane AS (
    (SELECT {LANE} AS name FROM gateway_delivery WHERE {PENDING} ORDER BY {LANE} LIMIT 1)
    UNION ALL
    SELECT (
        SELECT {LANE} FROM gateway_delivery WHERE {PENDING} AND {LANE} > lane.name
        ORDER BY {LANE} LIMIT 1
    ) FROM lane WHERE lane.name IS NOT NULL
)
"""  # noqa: S608 - made of constants

# The tenants of one lane that have something pending, from the one after the last that was served
# to the last, and on from the first.
_TENANTS = f"""
WITH RECURSIVE tenant(id, is_round, has_turn) AS (
    SELECT turn.after::bigint, false, false
    UNION ALL
    SELECT n.id, tenant.is_round OR n.is_first, true FROM tenant CROSS JOIN LATERAL (
        (SELECT {_TENANT} AS id, false AS is_first FROM gateway_delivery
            WHERE {PENDING} AND {LANE} = turn.name AND {_TENANT} > tenant.id
            ORDER BY {_TENANT} LIMIT 1)
        UNION ALL
        (SELECT {_TENANT}, true FROM gateway_delivery
            WHERE {PENDING} AND {LANE} = turn.name AND NOT tenant.is_round
            ORDER BY {_TENANT} LIMIT 1)
        LIMIT 1
    ) n
    WHERE NOT (tenant.is_round OR n.is_first) OR n.id <= turn.after
)
"""  # noqa: S608 - made of constants

# A hop that has another address by now is not the one that was out.
_OUTAGE = """LEFT JOIN gateway_outage o ON o.lane = lane.name
    LEFT JOIN tenants_nexthop oh
        ON o.lane IS NOT NULL AND oh.id = split_part(lane.name, ':', 2)::bigint"""
_IS_OUT = """(o.lane IS NOT NULL AND o.until > now()
        AND o.place = coalesce(oh.host || ':' || oh.port, o.place))"""

_PROMOTE = """
UPDATE gateway_delivery SET state = 'pending' WHERE id IN (
    SELECT id FROM gateway_delivery WHERE state = 'deferred' AND next_attempt_at <= now()
    ORDER BY next_attempt_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
RETURNING id
"""

_CLAIM = f"""
{LANES}, turn AS MATERIALIZED (
    SELECT lane.name, coalesce(k.after, -1) AS after, o.lane IS NOT NULL AS is_out,
        CASE WHEN o.lane IS NULL THEN coalesce(k.room, %(room)s) ELSE 1 END AS room
    FROM lane
    LEFT JOIN unnest(%(lanes)s::text[], %(rooms)s::int[], %(afters)s::bigint[])
        AS k(lane, room, after) ON k.lane = lane.name
    {_OUTAGE}
    WHERE lane.name IS NOT NULL AND coalesce(k.room, %(room)s) > 0 AND NOT {_IS_OUT}
    ORDER BY random()
), due AS (
    SELECT d.id, turn.is_out FROM turn CROSS JOIN LATERAL (
        {_TENANTS}
        SELECT d.id FROM tenant CROSS JOIN LATERAL (
            SELECT id FROM gateway_delivery
            WHERE {PENDING} AND {LANE} = turn.name AND {_TENANT} = tenant.id
                AND next_attempt_at <= now()
            ORDER BY next_attempt_at LIMIT turn.room FOR UPDATE SKIP LOCKED
        ) d
        WHERE tenant.has_turn
        LIMIT turn.room
    ) d
    LIMIT %(limit)s
), lapsed AS (
    SELECT id, attempts_made, lease_until, crashes,
        (crashes = 0 OR begun_fence = fence) IS TRUE AS is_crash
    FROM gateway_delivery
    WHERE state = 'sending' AND lease_until < now()
    ORDER BY lease_until LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), lost AS (
    INSERT INTO gateway_attempt
        (delivery_id, number, started_at, finished_at, outcome, remote, reply)
    SELECT id, attempts_made, lease_until - %(lease)s, now(), 'crashed', '', %(interrupted)s
    FROM lapsed
), taken AS (
    SELECT id, false AS is_lapsed, 0 AS crash, false AS is_poison, is_out FROM due
    UNION ALL
    SELECT id, true, is_crash::int, is_crash AND crashes + 1 >= %(allowed)s, false FROM lapsed
), claimed AS (
    UPDATE gateway_delivery d SET
        state = CASE WHEN is_poison THEN 'quarantined' ELSE 'sending' END,
        last_reply = CASE WHEN is_lapsed THEN %(interrupted)s ELSE last_reply END,
        crashes = d.crashes + crash,
        attempts_made = d.attempts_made + CASE WHEN is_poison THEN 0 ELSE 1 END,
        fence = d.fence + 1,
        lease_until = CASE WHEN is_poison THEN NULL ELSE now() + %(lease)s END
    FROM taken WHERE d.id = taken.id
    RETURNING d.*, is_out
)
SELECT d.id, d.fence, d.kind, d.attempts_made, now(), d.created_at,
    coalesce(d.tried_since, d.created_at), d.recipient, r.recipient,
    m.sender, d.rewrites_sender, d.null_sender, m.smtputf8, m.queue_id, m.body_id,
    m.body_expires_on, m.size_octets, d.mark, m.dsn, d.dsn, d.tenant_id, d.crashes, d.is_out,
    d.hop_id,
    h.protocol, h.host, h.port, h.tls
FROM claimed d
JOIN gateway_message m ON m.id = d.message_id
JOIN gateway_routingrecord r ON r.id = d.record_id
LEFT JOIN tenants_nexthop h ON h.id = d.hop_id
WHERE d.state = 'sending'
ORDER BY d.next_attempt_at, d.id
"""  # noqa: S608 - made of constants

_SETTLE = """
WITH outcome AS (
    SELECT * FROM unnest(
        %(ids)s::uuid[], %(fences)s::bigint[], %(numbers)s::int[], %(results)s::text[],
        %(states)s::text[], %(delays)s::interval[], %(remotes)s::text[], %(replies)s::text[],
        %(started)s::interval[], %(finished)s::interval[]
    ) AS o(id, fence, number, result, state, delay, remote, reply, started, finished)
), held AS (
    SELECT d.id FROM gateway_delivery d JOIN outcome o ON o.id = d.id AND o.fence = d.fence
    WHERE d.state = 'sending' ORDER BY d.id FOR UPDATE OF d SKIP LOCKED
), settled AS (
    UPDATE gateway_delivery d SET
        state = CASE
            WHEN o.result = 'crashed' AND d.crashes + 1 >= %(allowed)s THEN 'quarantined'
            ELSE o.state END,
        crashes = d.crashes + (o.result = 'crashed')::int,
        last_reply = o.reply,
        next_attempt_at = CASE WHEN o.state = 'deferred' THEN now() + o.delay
            ELSE d.next_attempt_at END,
        settled_at = CASE WHEN o.state IN ('delivered', 'failed') THEN now() END,
        lease_until = NULL
    FROM held JOIN outcome o ON o.id = held.id
    WHERE d.id = held.id
    RETURNING d.id, d.state
), written AS (
    INSERT INTO gateway_attempt
        (delivery_id, number, started_at, finished_at, outcome, remote, reply)
    SELECT o.id, o.number, now() - o.started, now() - o.finished, o.result, o.remote, o.reply
    FROM outcome o JOIN settled USING (id)
)
SELECT id, state FROM settled
"""

_STILL_CLAIMED = """
SELECT d.id FROM gateway_delivery d
JOIN unnest(%s::uuid[], %s::bigint[]) AS o(id, fence) ON o.id = d.id AND o.fence = d.fence
WHERE d.state = 'sending'
"""

_GIVE_BACK = f"""
WITH held AS ({_STILL_CLAIMED} ORDER BY d.id FOR UPDATE OF d SKIP LOCKED)
UPDATE gateway_delivery d
SET state = 'deferred', attempts_made = d.attempts_made - 1, lease_until = NULL
FROM held WHERE d.id = held.id
RETURNING d.id
"""  # noqa: S608 - made of constants

_NOTE_BEGUN = """
UPDATE gateway_delivery d SET begun_fence = d.fence
FROM unnest(%s::uuid[], %s::bigint[]) AS o(id, fence)
WHERE d.id = o.id AND d.fence = o.fence AND d.state = 'sending'
RETURNING d.id
"""

_BODIES = "SELECT id, expires_on, number, octets FROM gateway_body WHERE id = ANY(%s)"
_BODIES_OF_DAYS = f"{_BODIES} AND expires_on = ANY(%s)"  # reads their days' partitions alone

_DUE = f"""
{LANES}
SELECT EXISTS (
    SELECT FROM lane CROSS JOIN LATERAL (
        SELECT FROM gateway_delivery WHERE {PENDING} AND {LANE} = lane.name LIMIT 1
    ) d
    {_OUTAGE}
    WHERE NOT {_IS_OUT}
)
OR EXISTS (
    SELECT FROM gateway_delivery WHERE state = 'deferred' AND next_attempt_at <= now()
)
OR EXISTS (SELECT FROM gateway_delivery WHERE state = 'sending' AND lease_until < now())
"""  # noqa: S608 - made of constants


def lane_of(kind: str, hop_id: int | None) -> str:
    """The name of a lane, as LANE makes it in the database."""
    return f"{kind}:{hop_id or 0}"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that this worker may send, until its lease is over.

    With `is_out` it tries a next hop that could not be reached before. `tried_since` is when it was
    made, or when staff last let it go on: from then on its lifetime counts.
    """

    id: UUID
    fence: int
    kind: str
    attempt: int
    claimed_at: datetime
    created_at: datetime
    tried_since: datetime
    recipient: str
    original_recipient: str
    sender: str
    rewrites_sender: bool
    null_sender: bool
    smtputf8: bool
    queue_id: str
    body_id: UUID
    body_expires_on: date
    size_octets: int
    mark: str
    message_dsn: str
    recipient_dsn: str
    tenant_id: int | None
    crashes: int
    is_out: bool
    hop_id: int | None
    hop: Hop | None

    @property
    def lane(self) -> str:
        """What it waits for together with others."""
        return lane_of(self.kind, self.hop_id)


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of one claimed delivery, and how many seconds ago the try began and ended."""

    claimed: Claimed
    outcome: Outcome
    state: str
    delay: timedelta
    began_ago: timedelta = timedelta()
    ended_ago: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be claimed for one lane: at most `room`, from the tenant after `after` on."""

    lane: str
    room: int
    after: int = -1


def claim(limit: int, *, turns: Collection[Turn] = (), promotes: bool = True) -> list[Claimed]:
    """Take up to `limit` deliveries that are due, and as many whose lease ran out.

    Lanes without a turn have ROOM. Deliveries that crashed too often are quarantined and not among
    the result. `promotes` looks first for deferred ones whose time has come.
    """
    if promotes:
        run(_PROMOTE, {"limit": PROMOTED_AT_ONCE})
    parameters: dict[str, Any] = {
        "lanes": [turn.lane for turn in turns],
        "rooms": [turn.room for turn in turns],
        "afters": [turn.after for turn in turns],
        "room": ROOM,
        "limit": limit,
        "lease": timedelta(seconds=settings.DELIVERY_LEASE_SECONDS),
        "allowed": CRASHES_ALLOWED,
        "interrupted": INTERRUPTED,
    }
    return [_claimed(row) for row in run(_CLAIM, parameters)]


def _claimed(row: tuple[Any, ...]) -> Claimed:
    hop_id, protocol, *place = row[-5:]
    hop = Hop(hop_id, protocol, *place) if protocol is not None else None
    values = (*row[:-4], hop)
    return Claimed(*values)


def read_octets(claimed: Collection[Claimed]) -> dict[UUID, bytes]:
    """The stored octets by body, each read once, in one query; a missing one is left out."""
    days = {each.body_id: each.body_expires_on for each in claimed}
    found = joined(run(_BODIES_OF_DAYS, (list(days), list(set(days.values()))), binary=True))
    bodies = {key[0]: found[key] for key in days.items() if key in found}
    moved = [body_id for body_id in days if body_id not in bodies]
    if moved:  # purge moved them to a later day since the claim
        bodies |= latest(run(_BODIES, (moved,), binary=True))
    return bodies


def judge(claimed: Claimed, outcome: Outcome, *, spread: float) -> tuple[str, timedelta]:
    """The state that follows from an outcome, and how long to wait where that is deferred.

    Mail is given up for what its hop said, however old, and not for what befell its worker: a crash
    is counted by `settle`. `spread` in 0..1 is the jitter.
    """
    if outcome.result is Result.DELIVERED:
        return Delivery.State.DELIVERED, timedelta()
    if outcome.result is Result.FAILED:
        return Delivery.State.FAILED, timedelta()
    if outcome.is_at_once:
        return Delivery.State.DEFERRED, timedelta()
    is_over = retry.is_given_up(claimed.claimed_at - claimed.tried_since)
    if is_over and outcome.result is not Result.CRASHED:
        return Delivery.State.FAILED, timedelta()
    first = timedelta(seconds=settings.RETRY_FIRST_SECONDS)
    return Delivery.State.DEFERRED, retry.delay(claimed.attempt, first=first, spread=spread)


def note_begun(claimed: Collection[Claimed]) -> None:
    """Say that these are tried from now on: should the worker end meanwhile, it counts as a crash.

    For those that a worker has ended with before; others count without it.
    """
    run(_NOTE_BEGUN, _fenced(claimed))


def settle(settlements: Collection[Settlement]) -> dict[UUID, str]:
    """Write outcomes and attempts in one statement and return the new states by delivery.

    Nothing is written for a delivery that is not in the result: it had been claimed by somebody
    else meanwhile, an operator decided about it, or somebody's lock on it is not waited for
    (`still_claimed` tells).
    """
    return dict(run(_SETTLE, _columns(settlements) | {"allowed": CRASHES_ALLOWED}))


def _columns(settlements: Collection[Settlement]) -> dict[str, Any]:
    return {
        "ids": [each.claimed.id for each in settlements],
        "fences": [each.claimed.fence for each in settlements],
        "numbers": [each.claimed.attempt for each in settlements],
        "results": [each.outcome.result.value for each in settlements],
        "states": [str(each.state) for each in settlements],
        "delays": [each.delay for each in settlements],
        "remotes": [each.outcome.remote[:300] for each in settlements],
        "replies": [each.outcome.reply for each in settlements],
        "started": [each.began_ago for each in settlements],
        "finished": [each.ended_ago for each in settlements],
    }


def give_back(claimed: Collection[Claimed]) -> set[UUID]:
    """Return deliveries that were claimed and not tried: they are due as before.

    The result lacks those that `settle` would leave out.
    """
    return {row[0] for row in run(_GIVE_BACK, _fenced(claimed))}


def still_claimed(claimed: Collection[Claimed]) -> set[UUID]:
    """Which of these deliveries are still to be settled by who claimed them."""
    return {row[0] for row in run(_STILL_CLAIMED, _fenced(claimed))}


def _fenced(claimed: Collection[Claimed]) -> tuple[list[UUID], list[int]]:
    return [each.id for each in claimed], [each.fence for each in claimed]


def is_anything_due() -> bool:
    """Whether a drain would find something to do now."""
    return bool(run(_DUE, ())[0][0])


def jitter() -> float:
    """A spread for `judge`, so that what failed together is not tried together again."""
    return random.random()  # noqa: S311 - nothing is secret about it
