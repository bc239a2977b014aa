"""The transaction behind 250: what is answered queued is stored, whatever shares its batch."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from hashlib import sha256

import psycopg
import pytest
from django.db import connection
from msgspec.structs import replace

from gateway import intake
from gateway.counters import Memory
from gateway.ids import queue_id, uuid7
from gateway.incoming import Envelope, Incoming, Recipient
from gateway.intake import LARGE_OCTETS, Lane, StoreFailed
from gateway.link import COMMIT, Link, Question, Row
from gateway.models import Body, Counter, Delivery, Message, RoutingRecord
from gateway.pieces import PIECE_OCTETS, TOAST_TUPLE_TARGET, octets_of
from gateway.routing import replies
from gateway.routing.address import Address
from gateway.routing.decision import Decision, Destination, Step, Take
from gateway.routing.replies import Reply
from gateway.spool import Spool
from tests.gateway.stage import Stage

pytestmark = pytest.mark.usefixtures("database", "socket_enabled")


def incoming(*takes: Take) -> Incoming:
    """A message to one stored inbox that charges these counters."""
    identifier, address = uuid7(), Address.parse("hello@intake.example")
    decision = Decision(
        reply=replies.ACCEPTED,
        strategy="alias",
        rule=f"alias {address.key}",
        trace=(),
        destinations=(Destination("inbox"),),
        takes=takes,
    )
    return Incoming(
        id=identifier,
        envelope=Envelope(queue_id(identifier), "", None, "client.example", "ESMTP"),
        recipients=(Recipient(str(address), address.key, decision),),
        octets=b"Subject: x\r\n\r\nx\r\n",
        message_id="<x@intake.example>",
        digest=sha256(identifier.bytes).digest(),
    )


def stored(message: Incoming) -> bytes | None:
    return octets_of(Message.objects.get(pk=message.id))


def rate(limit: int, name: str = "") -> Take:
    return Take(f"rate:test:{name or uuid7()}", limit, replies.RATE_EXCEEDED)


def store(batch: Sequence[Incoming], link: Link | None = None) -> Sequence[Reply | Exception]:
    async def run() -> Sequence[Reply | Exception]:
        used = link or Link()
        try:
            return await intake._store(Lane(used, Memory()), batch)
        finally:
            used.close()

    return asyncio.run(run())


def is_stored(message: Incoming) -> bool:
    found = Message.objects.filter(pk=message.id).exists()
    assert Body.objects.filter(id=message.id).exists() is found
    assert Delivery.objects.filter(message_id=message.id).exists() is found
    return found


def test_nul_in_a_stranger_s_words_fails_nobody_s_message(caplog: pytest.LogCaptureFixture):
    """No text of PostgreSQL holds one, and what fails in a batch fails all of it."""
    hostile = incoming()
    [recipient] = hostile.recipients
    trace = (Step("DKIM", "neutral", "a=x\0\0y \\\0 \\u0000"),)
    decision = replace(recipient.decision, trace=trace)
    hostile = replace(hostile, recipients=(replace(recipient, decision=decision),))

    answers = store([hostile, incoming()])

    assert [str(answer)[:9] for answer in answers] == ["250 2.0.0"] * 2
    record = RoutingRecord.objects.get(message_id=hostile.id)
    assert record.trace == [["DKIM", "neutral", "a=xy \\ \\u0000"]]
    assert not caplog.records


def test_message_that_counts_nothing_is_stored_beside_a_refused_one():
    refused, free = incoming(rate(0)), incoming()

    answers = store([refused, free])

    assert answers == [replies.RATE_EXCEEDED, replies.queued(free.envelope.queue_id)]
    assert not is_stored(refused)
    assert is_stored(free)


def test_messages_over_a_limit_are_refused_in_order_of_arrival():
    take = rate(2)
    batch = [incoming(take) for _ in range(4)]

    answers = store(batch)

    assert [answer.code for answer in answers if isinstance(answer, Reply)] == [250, 250, 450, 450]
    assert [is_stored(message) for message in batch] == [True, True, False, False]
    assert sum(Counter.objects.get(key=take.counter).counts) == 2


def test_one_bad_message_does_not_keep_its_batch_from_being_stored():
    good = incoming(rate(5))
    bad = replace(incoming(), message_id="x" * 2000)

    answers = store([good, bad])

    assert answers[0] == replies.queued(good.envelope.queue_id)
    assert isinstance(answers[1], StoreFailed)
    assert (is_stored(good), is_stored(bad)) == (True, False)


class LosesItsAnswer(Link):
    """A link whose first commit is durable, but whose answer never arrives."""

    is_lost = False

    async def ask(self, *questions: Question) -> list[list[Row]]:
        rows = await super().ask(*questions)
        if COMMIT in questions and not self.is_lost:
            self.is_lost = True
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return rows


def test_commit_whose_answer_was_lost_is_recognised_and_charged_once():
    take = rate(1)
    message = incoming(take)

    answers = store([message], LosesItsAnswer())

    assert answers == [replies.queued(message.envelope.queue_id)]
    assert sum(Counter.objects.get(key=take.counter).counts) == 1


class Dead(Link):
    """A link to a server that is gone."""

    tries = 0

    async def ask(self, *_questions: Question) -> list[list[Row]]:
        self.tries += 1
        raise psycopg.OperationalError("connection refused")


def test_database_that_is_gone_is_not_asked_for_every_message_of_a_batch():
    link = Dead()

    answers = store([incoming() for _ in range(50)], link)

    assert all(isinstance(answer, StoreFailed) for answer in answers)
    assert link.tries <= 3


def test_large_and_small_messages_are_both_stored(stage: Stage):
    large = replace(incoming(), octets=b"x" * 2_000_000)

    async def run() -> list[Reply]:
        links = [Link(), Link()]
        lanes = intake.Intake(small=links[0], large=links[1:])
        try:
            return await asyncio.gather(lanes.store(large), lanes.store(incoming()))
        finally:
            for link in links:
                link.close()

    assert [reply.code for reply in asyncio.run(run())] == [250, 250]
    assert stored(large) == large.octets


def test_large_message_is_stored_with_its_octets_kept_until_its_day():
    take = rate(1)
    large = replace(incoming(take), octets=b"x" * 2_000_000)

    assert store([large]) == [replies.queued(large.envelope.queue_id)]

    assert is_stored(large)
    assert stored(large) == large.octets
    [day] = set(Body.objects.filter(id=large.id).values_list("expires_on", flat=True))
    assert day == Message.objects.get(pk=large.id).body_expires_on
    assert sum(Counter.objects.get(key=take.counter).counts) == 1


@pytest.mark.parametrize(
    "size", [1, PIECE_OCTETS, PIECE_OCTETS + 1, 3 * PIECE_OCTETS, LARGE_OCTETS + 1]
)
def test_octets_are_cut_into_rows_of_a_page_and_put_together_again(size: int):
    message = replace(incoming(), octets=bytes(at % 251 for at in range(size)))

    assert store([message]) == [replies.queued(message.envelope.queue_id)]

    assert stored(message) == message.octets
    assert toasted(message) == 0
    rows = Body.objects.filter(id=message.id)
    assert rows.count() == -(-size // PIECE_OCTETS)


def toasted(message: Incoming) -> int:
    """How many of a message's rows are cut up by PostgreSQL once more."""
    kept = "coalesce(pg_column_toast_chunk_id(octets) IS NOT NULL, false)"
    with connection.cursor() as cursor:
        statement = f"SELECT count(*) FILTER (WHERE {kept}) FROM gateway_body WHERE id = %s"
        cursor.execute(statement, [message.id])
        return cursor.fetchone()[0]


def test_whole_pieces_fit_what_stays_whole():
    head = 24 + 16 + 4 + 4 + 4  # of the row, its key, and the length
    assert head + PIECE_OCTETS <= TOAST_TUPLE_TARGET


def test_large_message_over_a_limit_leaves_nothing():
    take = rate(0)
    large = replace(incoming(take), octets=b"x" * 2_000_000)

    assert store([large]) == [replies.RATE_EXCEEDED]

    assert not is_stored(large)
    assert sum(Counter.objects.get(key=take.counter).counts) == 0


class Lost(Spool):
    """A file whose disk fails while it is read."""

    async def pieces(self) -> AsyncIterator[bytes]:
        yield b"x" * 1000
        raise OSError("Input/output error")


@pytest.mark.parametrize("spool", [Lost, Spool])
def test_large_message_from_a_file_is_stored_or_fails_alone(spool: type[Spool]):
    rest = b"from a file\r\n" * 100_000
    other = replace(incoming(), octets=b"y" * 200_000)

    async def run() -> Sequence[Reply | Exception]:
        link, file = Link(), spool(sha256())
        try:
            await file.write(b"cut off" + rest)
            file.skip(len(b"cut off"))
            return await intake._store(Lane(link, Memory()), [replace(large, spool=file), other])
        finally:
            file.close()
            link.close()

    large = incoming()
    said, said_of_other = asyncio.run(run())

    assert said_of_other == replies.queued(other.envelope.queue_id)
    assert is_stored(other)
    if spool is Lost:
        assert isinstance(said, StoreFailed)
        assert not is_stored(large)
    else:
        assert said == replies.queued(large.envelope.queue_id)
        assert stored(large) == large.octets + rest


def test_small_message_does_not_wait_for_a_large_one_of_its_tenant():
    """Counters that both charge are locked only once the large one's octets are there."""
    take = rate(5)
    large, small = replace(incoming(take), octets=b"x" * 2_000_000), incoming(take)
    seen: list[str] = []

    class Slow(Link):
        async def copy(self, statement: str, pieces: AsyncIterator[bytes]) -> None:
            await super().copy(statement, pieces)
            seen.extend(["placed", *map(str, await intake._store(Lane(other, Memory()), [small]))])

    other = Link()

    async def run() -> None:
        link = Slow()
        try:
            await intake._store(Lane(link, Memory()), [large])
        finally:
            link.close()
            other.close()

    asyncio.run(run())

    assert seen == ["placed", str(replies.queued(small.envelope.queue_id))]
    assert is_stored(large)
    assert is_stored(small)
