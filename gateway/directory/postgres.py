"""Reads on a connection: batched on the event loop for a gateway, by themselves for a page.

One statement sees one moment. Look-ups that arrive together share it.
"""

from collections.abc import Sequence

import psycopg
from django.db import DatabaseError
from msgspec import ValidationError
from psycopg.abc import Buffer
from psycopg.adapt import Loader

from gateway.batching import Batcher
from gateway.database import once_more, raw
from gateway.directory.reading import MOST_FORWARDS, Answer, rounds
from gateway.link import Link, Question
from gateway.pending import Pending
from gateway.routing.address import Address
from gateway.routing.facts import Facts, LookupFailed

DEADLINE_SECONDS = 5.0
LARGEST_BATCH = 400
# Two are best where the database is near. The others serve where it is far away: so many that one
# is free every 5 ms (batching.SPARE_AFTER_SECONDS) although each is away for 90.
NEAR_LINKS = 2
SPARE_LINKS = 18
LOOKUP_LINKS = NEAR_LINKS + SPARE_LINKS


class PostgresDirectory:
    """The Directory of a running gateway: batched reads, one in flight on each of its links."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._near = links[:NEAR_LINKS]
        self._has_failed = False
        self._batcher: Batcher[Link, Sequence[Address], Facts] = Batcher(
            self._read_together,
            links=self._near,
            spare=links[NEAR_LINKS:],
            prepare=Link.open,
            largest=LARGEST_BATCH,
            deadline_seconds=DEADLINE_SECONDS,
            late=self._late,
        )

    @property
    def is_in_doubt(self) -> bool:
        """Whether the database may be away: the last read failed, or no connection is left.

        Costs nothing; an answer to any question, one about nobody too, ends the doubt.
        """
        return self._has_failed or not any(link.is_open for link in self._near)

    def facts(self, recipients: Sequence[Address]) -> Pending[Facts]:
        """See Directory. Facts of a batch are shared: they may hold more than was asked for."""
        return self._batcher.submit(recipients)

    def _late(self) -> LookupFailed:
        self._has_failed = True
        return LookupFailed("the directory did not answer in time")

    async def _read_together(
        self, link: Link, asked: Sequence[Sequence[Address]]
    ) -> Sequence[Facts | Exception]:
        """One Facts for many questions, each of which gets it.

        A row that cannot be read, or by a newer version alone, fails only what it answers, and
        forwards of one that are too many to follow are left unread for that one.
        """
        try:
            facts = await _read_on(link, [each for addresses in asked for each in addresses])
        except psycopg.Error as error:
            self._has_failed = True
            raise LookupFailed(str(error)) from error
        except (ValidationError, ValueError) as error:
            if len(asked) == 1:
                return [LookupFailed(f"a row says what this version cannot read: {error}")]
            return await self._read_halves(link, asked)
        self._has_failed = False
        if facts.unread and len(asked) > 1:
            return await self._read_halves(link, asked)
        return [facts] * len(asked)

    async def _read_halves(
        self, link: Link, asked: Sequence[Sequence[Address]]
    ) -> Sequence[Facts | Exception]:
        middle = len(asked) // 2
        halves = asked[:middle], asked[middle:]
        return [each for half in halves for each in await self._read_together(link, half)]


async def _read_on(link: Link, recipients: Sequence[Address]) -> Facts:
    """Raises psycopg.Error."""
    reading = rounds(recipients, most_forwards=MOST_FORWARDS + len(recipients))
    question = next(reading)
    try:
        while True:
            (answer,) = await link.ask_again(question)
            question = reading.send(answer)
    except StopIteration as done:
        facts: Facts = done.value
        return facts


def read_facts(recipients: Sequence[Address]) -> Facts:
    """The facts for these recipients with exact rates, read now on this thread's connection.

    Cost: see `rounds`. Raises LookupFailed.
    """
    try:
        return once_more(lambda: _read(recipients))
    except (psycopg.Error, DatabaseError) as error:
        raise LookupFailed(str(error)) from error


def _read(recipients: Sequence[Address]) -> Facts:
    reading = rounds(recipients, is_exact=True)
    question = next(reading)
    try:
        while True:
            question = reading.send(_ask(question))
    except StopIteration as done:
        facts: Facts = done.value
        return facts


def _ask(question: Question) -> Answer:
    """The same rows as gateway.link's, on this thread's connection."""
    cursor = psycopg.RawCursor(raw())
    for name in ("text", "varchar", "json", "uuid"):
        cursor.adapters.register_loader(name, _AsOctets)
    return cursor.execute(question.statement.text, question.parameters, prepare=True).fetchall()


class _AsOctets(Loader):
    def load(self, data: Buffer) -> bytes:
        return bytes(data)
