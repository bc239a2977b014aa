"""Refused recipients: counted always, recorded as samples, so that an attacker cannot write rows
at wire speed.

The gateway notes each refusal in memory; twice a second the notes become one small transaction.
A count that could not be written stays and is written with the next.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg

from gateway.incoming import Envelope, Recipient, Refusal
from gateway.link import Link, Question, Statement, as_json
from gateway.message_rows import CLOCK, INSERT_RECORDS, record_row

log = logging.getLogger(__name__)

FLUSH_SECONDS = 0.5
# Records a minute for one domain and reason; every refusal beyond is only counted.
SAMPLES_PER_MINUTE = 60
# Records a flush: writing more at once would keep the event loop from its clients.
SAMPLES_PER_FLUSH = 100
# Foreign domains are a stranger's choice: they share one name, so that they cannot fill the table.
FOREIGN = ""

COUNT = Statement(
    "count_refusals",
    """
INSERT INTO gateway_refusalcount (domain_name, reason, minute, count)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bigint[])
ON CONFLICT (domain_name, reason, minute) DO UPDATE
SET count = gateway_refusalcount.count + excluded.count
""",
)
RECORD = Statement("record_refusals", f"WITH {CLOCK} {INSERT_RECORDS.format(records='$1')}")

Key = tuple[str, str, datetime]


class RefusalLog:
    """Notes of one gateway process, written by `run` until it is cancelled."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._counts: Counter[Key] = Counter()
        self._samples: list[Refusal] = []
        self._sampled: Counter[Key] = Counter()

    def note(self, envelope: Envelope, recipient: Recipient) -> None:
        """Count one refusal, and keep it as a record while the minute's samples last."""
        now = datetime.now(UTC)
        decision = recipient.decision
        hosted = decision.domain_id is not None
        domain = recipient.key.rpartition("@")[2] if hosted else FOREIGN
        key = (domain, decision.reply.reason, now.replace(second=0, microsecond=0))
        self._counts[key] += 1
        has_room = len(self._samples) < SAMPLES_PER_FLUSH
        if has_room and self._sampled[key] < SAMPLES_PER_MINUTE:
            self._sampled[key] += 1
            self._samples.append(Refusal(envelope, recipient, now))

    async def run(self) -> None:
        """Write notes as they come, and the last ones when cancelled."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self.flush()
        finally:
            await self.flush()

    async def flush(self) -> None:
        """Write what has been noted; on failure it stays for the next time.

        Counted twice is only what was under way when the database went: its answer was lost.
        """
        if not self._counts:
            return
        counts, self._counts = self._counts, Counter()
        samples, self._samples = self._samples, []
        is_done = False
        try:
            await self._link.ask(*_questions(counts, samples))
            is_done = True
        except psycopg.DataError as error:
            log.warning("samples of refusals cannot be recorded: %s", error)
            samples = []
        except psycopg.Error as error:
            log.warning("refusals are not written yet: %s", error)
        finally:
            if not is_done:
                self._counts.update(counts)
                self._samples = (samples + self._samples)[:SAMPLES_PER_FLUSH]
        self._forget_old_minutes()

    def _forget_old_minutes(self) -> None:
        horizon = datetime.now(UTC) - timedelta(minutes=2)
        for key in [key for key in self._sampled if key[2] < horizon]:
            del self._sampled[key]


def _questions(counts: Counter[Key], samples: Sequence[Refusal]) -> list[Question]:
    """One transaction: what was counted, and what of it is recorded."""
    keys = sorted(counts)
    named = (
        [domain for domain, _, _ in keys],
        [reason for _, reason, _ in keys],
        [minute.isoformat() for _, _, minute in keys],
        [str(counts[key]) for key in keys],
    )
    rows = [
        record_row(refusal.envelope, refusal.recipient) | {"at": refusal.at.isoformat()}
        for refusal in samples
    ]
    return [Question(COUNT, named), Question(RECORD, (as_json(rows),))]
