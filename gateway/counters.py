"""The counters' rows: locked, charged in order of arrival, and written back.

Rows are locked in the order of their keys, so that two batches never wait for each other in turn,
and held until the commit: limits are exact over all processes that charge.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from msgspec import Struct
from msgspec.json import Decoder

from gateway.batching import Batcher
from gateway.link import BEGIN, COMMIT, ROLLBACK, Link, Question, Statement, as_json
from gateway.pending import Pending
from gateway.routing.admission import Ledger, Tally
from gateway.routing.decision import Take
from gateway.routing.replies import Reply
from gateway.routing.window import RollingHour

LARGEST_BATCH = 100

# The clock is read after the last lock: what waited counts in the minute in which it goes on.
LOCK = Statement(
    "lock_counters",
    """
WITH locked AS MATERIALIZED (
    SELECT key, minute, counts, total, full_since FROM gateway_counter
    WHERE key = ANY($1::text[]) ORDER BY key COLLATE "C" FOR UPDATE
)
SELECT json_build_array(clock_timestamp(), key, minute, counts, total, full_since) FROM locked
""",
)
MAKE = Statement(
    "make_counters",
    """
INSERT INTO gateway_counter (key, minute, counts, total)
SELECT key, 0, '{}', 0 FROM unnest($1::text[]) AS key ORDER BY key COLLATE "C"
ON CONFLICT (key) DO NOTHING
""",
)
# Intake writes counters with what they count, in one statement.
WRITE_BACK = """
UPDATE gateway_counter c
SET minute = v.minute, counts = v.counts, total = v.total, full_since = v.full_since
FROM json_to_recordset({counters}::json)
    AS v(key text, minute bigint, counts int[], total bigint, full_since timestamptz)
WHERE c.key = v.key
"""
WRITE = Statement("write_counters", WRITE_BACK.format(counters="$1"))


class CounterRow(Struct, array_like=True):
    """What LOCK returns of a counter, with the time after the last lock."""

    now: datetime
    key: str
    minute: int
    counts: tuple[int, ...]
    total: int
    full_since: datetime | None


_decode_counter = Decoder(CounterRow).decode


async def lock_counters(link: Link, keys: Sequence[str]) -> Ledger:
    """Begin a transaction that holds these counters."""
    lock = Question(LOCK, (keys,))
    _, rows = await link.ask(BEGIN, lock)
    if len(rows) < len(keys):
        _, rows = await link.ask(Question(MAKE, (keys,)), lock)
    locked = [_decode_counter(row or b"") for (row,) in rows]
    tallies = {
        row.key: Tally(RollingHour.of(row.minute, row.counts), row.total, row.full_since)
        for row in locked
    }
    return Ledger(tallies, now=locked[-1].now)


def counter_row(key: str, tally: Tally) -> dict[str, Any]:
    """A counter as WRITE_BACK takes it."""
    return {
        "key": key,
        "minute": tally.window.minute,
        "counts": tally.window.counts,
        "total": tally.total,
        "full_since": tally.full_since,
    }


class Counters:
    """Charges for messages that are stored elsewhere; those that arrive together share a commit."""

    def __init__(self, link: Link) -> None:
        self._batcher: Batcher[Link, Sequence[Take], Reply | None] = Batcher(
            _charge, links=[link], largest=LARGEST_BATCH
        )

    def charge(self, takes: Sequence[Take]) -> Pending[Reply | None]:
        """None once all of it is charged; else the reply of the first full counter, and nothing is.

        It raises psycopg.Error, after which it is not known whether it was charged.
        """
        return self._batcher.submit(takes)


async def _charge(link: Link, batch: Sequence[Sequence[Take]]) -> list[Reply | Exception | None]:
    try:
        keys = sorted({take.counter for takes in batch for take in takes})
        return await _admit(link, batch, await lock_counters(link, keys))
    except psycopg.Error:
        raise  # the link has rolled back
    except BaseException:
        link.close()
        raise


async def _admit(
    link: Link, batch: Sequence[Sequence[Take]], ledger: Ledger
) -> list[Reply | Exception | None]:
    """Write what the locked counters let through, and end the transaction."""
    answers: list[Reply | Exception | None] = [ledger.admit(takes, octets=0) for takes in batch]
    changed = [counter_row(key, tally) for key, tally in ledger.changed.items()]
    write = [Question(WRITE, (as_json(changed),)), COMMIT] if changed else [ROLLBACK]
    await link.ask(*write)
    return answers
