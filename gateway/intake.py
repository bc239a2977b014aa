"""The one transaction behind 250: counters, body, message, records and deliveries, or nothing.

Group commit: what arrives while one commit runs shares the next. Counter rows are locked in sorted
order and messages admitted in order of arrival, so limits are exact over all gateways. Ids are made
before the commit: storing the same message a second time is recognised and harmless.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import psycopg
from msgspec import Struct

from gateway.batching import Batcher
from gateway.counters import ASK_TIMES, Changed, Memory, lock_counters
from gateway.incoming import Incoming
from gateway.link import BEGIN, COMMIT, PATIENT, ROLLBACK, Link, Question
from gateway.message_rows import (
    DAY,
    DISPLACE,
    FIND,
    PLACE,
    STORE,
    days_kept,
    placing,
    store_parameters,
)
from gateway.pending import Pending
from gateway.repeats import find_first
from gateway.routing import replies
from gateway.routing.admission import Ledger
from gateway.routing.decision import Take
from gateway.routing.replies import Reply

log = logging.getLogger(__name__)

# One batch at a time: a second one would wait for the first one's counters, then fill up less.
LARGEST_BATCH = 100
LARGEST_LARGE_BATCH_OCTETS = 16 * 1024 * 1024
# Messages above this have lanes of their own, so that small ones do not wait for them, and their
# octets are streamed.
LARGE_OCTETS = 128 * 1024


class StoreFailed(Exception):
    """The message is not stored; the reply says whether for want of space."""

    def __init__(self, reply: Reply = replies.TROUBLE, *, is_for_all: bool = False) -> None:
        super().__init__(str(reply))
        self.reply = reply
        self.is_for_all = is_for_all  # the cause is not this message


class Lane(Struct):
    """A connection to store on, and what its process remembers of the counters."""

    link: Link
    memory: Memory


class Intake:
    """Stores messages for a running gateway, small and large ones in lanes of their own."""

    def __init__(self, *, small: Link, large: Sequence[Link]) -> None:
        memory = Memory()
        self._small: Batcher[Lane, Incoming, Reply] = Batcher(
            _store, links=[Lane(small, memory)], largest=LARGEST_BATCH
        )
        self._large: Batcher[Lane, Incoming, Reply] = Batcher(
            _store,
            links=[Lane(link, memory) for link in large],
            largest=LARGEST_LARGE_BATCH_OCTETS,
            weigh=_octets,
        )

    def store(self, message: Incoming) -> Pending[Reply]:
        """The answer to DATA: queued once the commit is durable, else a counter's 450.

        It fails with StoreFailed.
        """
        return (self._large if _is_large(message) else self._small).submit(message)


def _octets(message: Incoming) -> int:
    return message.size_octets


def _is_large(message: Incoming) -> bool:
    return message.size_octets > LARGE_OCTETS


async def _store(lane: Lane, batch: Sequence[Incoming]) -> Sequence[Reply | Exception]:
    """Store a batch in one commit; when that fails, each message by itself."""
    try:
        return await _commit(lane, batch)
    except psycopg.errors.UniqueViolation:
        return await _store_new(lane, batch)
    except psycopg.Error as error:
        log.warning("a batch of %d messages was not stored: %s", len(batch), error)
        return await _store_one_by_one(lane, batch)


async def _store_new(lane: Lane, batch: Sequence[Incoming]) -> Sequence[Reply | Exception]:
    """Store what of a batch was not stored before, now that the database has seen a repeat."""
    try:
        first = await find_first(lane.link, [m.receipt_key for m in batch if m.receipt_key])
        new = [message for message in batch if message.receipt_key not in first]
        stored = iter(await _commit(lane, new) if new else ())
    except psycopg.Error:
        return await _store_one_by_one(lane, batch)
    return [
        _repeat(message, first[message.receipt_key])
        if message.receipt_key in first
        else next(stored)
        for message in batch
    ]


def _repeat(message: Incoming, first_queue_id: str) -> Reply:
    log.info("message %s is a repeat of %s", message.envelope.queue_id, first_queue_id)
    return replies.repeated(first_queue_id)


async def _store_one_by_one(lane: Lane, batch: Sequence[Incoming]) -> Sequence[Reply | Exception]:
    """One bad message fails alone; a database that is gone is not asked for each of the rest."""
    answers: list[Reply | Exception] = []
    for message in batch:
        answer = await _store_alone(lane, message)
        answers.append(answer)
        if isinstance(answer, StoreFailed) and answer.is_for_all:
            answers += [StoreFailed(answer.reply)] * (len(batch) - len(answers))
            break
    return answers


async def _store_alone(lane: Lane, message: Incoming) -> Reply | Exception:
    """A commit whose answer was lost may have been durable: then there is nothing to do."""
    try:
        (found,) = await lane.link.ask(Question(FIND, (str(message.id),)))
        if found:
            return replies.queued(message.envelope.queue_id)
        key = message.receipt_key
        first = await find_first(lane.link, [key]) if key else {}
        if key in first:
            return _repeat(message, first[key])
        return (await _commit(lane, [message]))[0]
    except (psycopg.errors.DiskFull, psycopg.errors.InsufficientResources):
        return StoreFailed(replies.NO_SPACE, is_for_all=True)
    except psycopg.Error as error:
        log.warning("message %s was not stored: %s", message.envelope.queue_id, error)
        return StoreFailed(is_for_all=isinstance(error, psycopg.OperationalError))


async def _commit(lane: Lane, batch: Sequence[Incoming]) -> Sequence[Reply | Exception]:
    """Admit, store and commit; in one statement where nothing is counted.

    Raises psycopg.Error, after which nothing of it is stored.
    """
    if _is_large(batch[0]):
        return await _commit_large(lane.link, batch)
    counters = _counters(batch)
    if not counters:
        await lane.link.ask(Question(STORE, store_parameters(batch, {})))
        return _all_queued(batch)
    if await _commit_from_memory(lane, batch, counters):
        return _all_queued(batch)
    with lane.link.transaction():
        ledger = await lock_counters(lane.link, counters)
        answers = await _admit(lane.link, batch, ledger)
    lane.memory.learn(ledger)
    return answers


async def _commit_from_memory(
    lane: Lane, batch: Sequence[Incoming], counters: Sequence[str]
) -> bool:
    """Commit in one round trip where the counters are as this process left them, and not full.

    A commit that has to lock them first takes two, and holds them meanwhile.
    """
    memory = lane.memory
    ledger = memory.ledger(counters)
    if ledger is None or any(ledger.admit(_takes(m), m.size_octets) for m in batch):
        return False
    check = memory.check(counters, ledger)
    memory.forget(counters)  # until it is known what became of it
    try:
        await lane.link.ask(check, Question(STORE, store_parameters(batch, ledger.changed)))
    except Changed:
        memory.forget(counters, ask_times=ASK_TIMES)
        return False
    for key, tally in ledger.changed.items():
        memory.keep(key, tally)
    return True


def _all_queued(batch: Sequence[Incoming]) -> Sequence[Reply]:
    return [replies.queued(message.envelope.queue_id) for message in batch]


async def _commit_large(link: Link, batch: Sequence[Incoming]) -> Sequence[Reply | Exception]:
    """Commit large messages, their octets first, few of which are in memory at a time.

    They take long: the counters, which others wait for, are locked only once they are there.
    """
    with link.transaction():
        placed = await _place(link, batch)
        ledger = Ledger({}, now=datetime.now(UTC))
        if keys := _counters(batch):
            ledger = await lock_counters(link, keys, is_begun=True)
        refused = {m.id: no for m in batch if (no := ledger.admit(_takes(m), m.size_octets))}
        admitted = [message for message in batch if message.id not in refused]
        displace = [Question(DISPLACE, (str(each), placed[each])) for each in refused]
        store = Question(STORE, store_parameters(admitted, ledger.changed, placed=placed))
        await link.ask(*displace, store, COMMIT)
    return [refused.get(m.id) or replies.queued(m.envelope.queue_id) for m in batch]


async def _place(link: Link, batch: Sequence[Incoming]) -> dict[UUID, str]:
    """Begin with the octets of these messages; the days until which they stay."""
    days = [Question(DAY, (str(days_kept(message)),)) for message in batch]
    _, _, *found = await link.ask(BEGIN, PATIENT, *days)
    placed = {m.id: (day or b"").decode() for m, ((day,),) in zip(batch, found, strict=True)}
    await link.copy(PLACE, placing(batch, placed))
    return placed


async def _admit(link: Link, batch: Sequence[Incoming], ledger: Ledger) -> Sequence[Reply]:
    """Store what the locked counters let through, and end the transaction."""
    answers = [ledger.admit(_takes(message), message.size_octets) for message in batch]
    admitted = [m for m, answer in zip(batch, answers, strict=True) if answer is None]
    if admitted or ledger.changed:
        await link.ask(Question(STORE, store_parameters(admitted, ledger.changed)), COMMIT)
    else:
        await link.ask(ROLLBACK)
    return [
        answer or replies.queued(message.envelope.queue_id)
        for message, answer in zip(batch, answers, strict=True)
    ]


def _takes(message: Incoming) -> list[Take]:
    return [take for recipient in message.recipients for take in recipient.decision.takes]


def _counters(batch: Sequence[Incoming]) -> list[str]:
    """The keys that these messages are counted under, in the order in which they are locked."""
    return sorted({take.counter for message in batch for take in _takes(message)})
