"""Next hops that cannot be reached: one row each, so that no worker tries all that waits for them.

While a row's time lasts, nothing is claimed for its lane; then one delivery is, and what comes of
it lengthens the outage or ends it. What waits longer than a message may live is given up here.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from gateway.database import run
from gateway.delivery.queue import LANE, PENDING
from gateway.routing import retry

FIRST = timedelta(seconds=10)
LONGEST = timedelta(seconds=300)
GIVEN_UP_AT_ONCE = 5000
FORGOTTEN_AFTER = timedelta(days=1)

# What two workers report of the same moment counts once.
_REPORT = """
INSERT INTO gateway_outage AS o (lane, since, failures, until, place, reply)
SELECT lane, now(), 1, now() + %(first)s::interval * (0.9 + 0.2 * random()), place, reply
FROM unnest(%(lanes)s::text[], %(places)s::text[], %(replies)s::text[]) AS n(lane, place, reply)
ON CONFLICT (lane) DO UPDATE SET
    failures = o.failures + 1,
    until = now() + (0.9 + 0.2 * random())
        * least(%(first)s::interval * power(2, least(o.failures, 20)), %(longest)s::interval),
    place = excluded.place,
    reply = excluded.reply
WHERE o.until <= now() OR o.place <> excluded.place
RETURNING lane
"""
_END = "DELETE FROM gateway_outage WHERE lane = ANY(%(lanes)s) RETURNING lane"
# Nobody tried the hop for long, so nothing waits for it any more.
_FORGET = "DELETE FROM gateway_outage WHERE until < now() - %(after)s::interval RETURNING lane"
_GIVE_UP = f"""
UPDATE gateway_delivery d
SET state = 'failed', settled_at = now(), last_reply = old.reply, fence = fence + 1
FROM (
    SELECT waiting.id, o.reply FROM gateway_outage o CROSS JOIN LATERAL (
        SELECT id FROM gateway_delivery
        WHERE {PENDING} AND {LANE} = o.lane
            AND coalesce(tried_since, created_at) <= now() - %(lifetime)s::interval
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    ) waiting
) old
WHERE d.id = old.id
RETURNING d.id
"""  # noqa: S608 - made of constants


@dataclass(frozen=True, slots=True)
class News:
    """What a lane has found: its hop at a place is out, for a reason (None: it is not any more)."""

    lane: str
    place: str
    reason: str | None


def report(news: Collection[News]) -> None:
    """Leave lanes alone that are out, longer each time, and open the others again."""
    if out := [each for each in news if each.reason is not None]:
        run(
            _REPORT,
            {
                "lanes": [each.lane for each in out],
                "places": [each.place for each in out],
                "replies": [each.reason or "" for each in out],
                "first": FIRST,
                "longest": LONGEST,
            },
        )
    if back := [each.lane for each in news if each.reason is None]:
        run(_END, {"lanes": back})


def give_up() -> int:
    """Fail what waited its lifetime for a hop that is out, as a try would have; how many."""
    parameters = {"lifetime": retry.LIFETIME, "limit": GIVEN_UP_AT_ONCE}
    total = 0
    while count := len(run(_GIVE_UP, parameters)):
        total += count
    run(_FORGET, {"after": FORGOTTEN_AFTER})
    return total
