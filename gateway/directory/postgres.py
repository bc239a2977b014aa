"""Reads on a connection: batched on the event loop for a gateway, by themselves for a page.

One statement sees one moment. Look-ups that arrive together share it.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import DatabaseError

from gateway.batching import Batcher
from gateway.database import LoopLink, once_more, raw
from gateway.directory.reading import rounds
from gateway.routing.address import Address
from gateway.routing.facts import Facts, LookupFailed

DEADLINE_SECONDS = 5.0
LARGEST_BATCH = 400


class PostgresDirectory:
    """The Directory of a running gateway: batched reads, one in flight on each link."""

    def __init__(self, links: Sequence[LoopLink]) -> None:
        self._batcher: Batcher[LoopLink, Sequence[Address], Facts] = Batcher(
            _read_together, links=links, largest=LARGEST_BATCH
        )

    def facts(self, recipients: Sequence[Address]) -> "asyncio.Future[Facts]":
        """See Directory. Facts of a batch are shared: they may hold more than was asked for."""
        future = self._batcher.submit(recipients)
        deadline = asyncio.get_running_loop().call_later(DEADLINE_SECONDS, _give_up, future)
        future.add_done_callback(lambda _: deadline.cancel())
        return future


def _give_up(future: "asyncio.Future[Facts]") -> None:
    if not future.done():
        future.set_exception(LookupFailed("the directory did not answer in time"))


async def _read_together(
    link: LoopLink, asked: Sequence[Sequence[Address]]
) -> Sequence[Facts | Exception]:
    """One Facts for many questions, each of which gets it."""
    recipients = [address for addresses in asked for address in addresses]

    async def read(opened: "psycopg.AsyncConnection[Any]") -> Facts:
        reading = rounds(recipients)
        question = next(reading)
        while True:
            cursor = psycopg.AsyncCursor(opened)
            await cursor.execute(*question, prepare=True)
            try:
                question = reading.send(await cursor.fetchall())
            except StopIteration as done:
                facts: Facts = done.value
                return facts

    try:
        return [await link.use_again(read)] * len(asked)
    except psycopg.Error as error:
        raise LookupFailed(str(error)) from error


def read_facts(recipients: Sequence[Address]) -> Facts:
    """The facts for these recipients, read now on this thread's connection.

    Cost: see `rounds`. Raises LookupFailed.
    """
    try:
        return once_more(lambda: _read(recipients))
    except (psycopg.Error, DatabaseError) as error:
        raise LookupFailed(str(error)) from error


def _read(recipients: Sequence[Address]) -> Facts:
    reading = rounds(recipients)
    question = next(reading)
    while True:
        rows = psycopg.Cursor(raw()).execute(*question, prepare=True).fetchall()
        try:
            question = reading.send(rows)
        except StopIteration as done:
            facts: Facts = done.value
            return facts
