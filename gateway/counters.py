"""The counters' rows: locked, charged in order of arrival, and written back.

Rows are locked in the order of their keys, so that two batches never wait for each other in turn,
and held until the commit: limits are exact over all processes that charge.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
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
MOST_REMEMBERED = 20_000
# How often a counter that another process has charged is asked for before it is trusted again.
ASK_TIMES = 16

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
# Fails where a counter is not as it is remembered: $1 keys, $2 minutes, $3 totals, $4 this minute.
# Within a minute a rate's total only grows, so that minute and total tell one state of it.
CHECK = Statement(
    "check_counters",
    """
WITH locked AS MATERIALIZED (
    SELECT key, minute, total, full_since FROM gateway_counter
    WHERE key = ANY($1::text[]) ORDER BY key COLLATE "C" FOR UPDATE
)
SELECT 1 / (count(*) = cardinality($1::text[])
    AND floor(extract(epoch FROM clock_timestamp()) / 60) = $4::bigint)::int
FROM locked JOIN unnest($1::text[], $2::bigint[], $3::bigint[]) AS known(key, minute, total)
    USING (key, minute, total)
WHERE locked.full_since IS NULL
""",
)
Changed = psycopg.errors.DivisionByZero  # what CHECK fails with
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


async def lock_counters(link: Link, keys: Sequence[str], *, is_begun: bool = False) -> Ledger:
    """Hold these counters, in the transaction that is begun or in a new one."""
    lock = Question(LOCK, (keys,))
    *_, rows = await link.ask(*([] if is_begun else [BEGIN]), lock)
    if len(rows) < len(keys):
        _, rows = await link.ask(Question(MAKE, (keys,)), lock)
    locked = [_decode_counter(row or b"") for (row,) in rows]
    tallies = {
        row.key: Tally(RollingHour.of(row.minute, row.counts), row.total, row.full_since)
        for row in locked
    }
    return Ledger(tallies, now=locked[-1].now)


class Memory:
    """Counters as this process left them, for charging them without asking first.

    What is remembered is checked under lock in the transaction that charges, so it may be wrong but
    never does harm. Counters that others charge as well are asked for until they are quiet again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tallies: dict[str, Tally] = {}
        self._asked_for: dict[str, int] = {}  # how often yet, before it is remembered again
        self._epoch = 0.0  # the database's time at zero of the clock, in seconds

    def ledger(self, keys: Sequence[str]) -> Ledger | None:
        """The counters at this moment; None unless all of them are remembered."""
        tallies = {key: self._tallies[key] for key in keys if key in self._tallies}
        if len(tallies) < len(keys):
            return None
        return Ledger(tallies, now=datetime.fromtimestamp(self._epoch + self._clock(), UTC))

    def check(self, keys: Sequence[str], ledger: Ledger) -> Question:
        """What makes a transaction fail with Changed where the memory is wrong."""
        tallies = [self._tallies[key] for key in keys]
        minutes = [str(tally.window.minute) for tally in tallies]
        totals = [str(tally.total) for tally in tallies]
        return Question(CHECK, (keys, minutes, totals, str(ledger.minute)))

    def learn(self, ledger: Ledger) -> None:
        """Remember what a locked ledger left, but what others have just changed."""
        self._epoch = ledger.now.timestamp() - self._clock()
        if len(self._tallies) > MOST_REMEMBERED:
            self._tallies.clear()
            self._asked_for.clear()
        for key, tally in ledger.changed.items():
            asked = self._asked_for.pop(key, 0)
            if asked > 0:
                self._asked_for[key] = asked - 1
            else:
                self.keep(key, tally)

    def keep(self, key: str, tally: Tally) -> None:
        if tally.full_since is None:
            self._tallies[key] = tally
        else:
            self._tallies.pop(key, None)

    def forget(self, keys: Iterable[str], *, ask_times: int = 0) -> None:
        """Ask for these again, at least so often."""
        for key in keys:
            self._tallies.pop(key, None)
            if ask_times:
                self._asked_for[key] = ask_times


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
    with link.transaction():
        keys = sorted({take.counter for takes in batch for take in takes})
        return await _admit(link, batch, await lock_counters(link, keys))


async def _admit(
    link: Link, batch: Sequence[Sequence[Take]], ledger: Ledger
) -> list[Reply | Exception | None]:
    """Write what the locked counters let through, and end the transaction."""
    answers: list[Reply | Exception | None] = [ledger.admit(takes, octets=0) for takes in batch]
    changed = [counter_row(key, tally) for key, tally in ledger.changed.items()]
    write = [Question(WRITE, (as_json(changed),)), COMMIT] if changed else [ROLLBACK]
    await link.ask(*write)
    return answers
