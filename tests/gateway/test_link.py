"""A connection of the event loop: what one exchange may hold, and what a session is like."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import psycopg
import pytest
from django.db import connection

from gateway.link import BEGIN, COMMIT, Link, Question, Statement

pytestmark = pytest.mark.usefixtures("database", "socket_enabled")
Result = TypeVar("Result")
ECHO = Statement("echo", "SELECT $1::text")
COPY = "COPY pg_temp.pieces FROM STDIN"


def on_a_link(work: Callable[[Link], Awaitable[Result]]) -> Result:
    async def run() -> Result:
        link = Link()
        try:
            return await work(link)
        finally:
            link.close()

    return asyncio.run(run())


def test_a_statement_may_stand_twice_in_the_first_exchange():
    rows = on_a_link(lambda link: link.ask(Question(ECHO, ("a",)), Question(ECHO, ("b",))))

    assert rows == [[(b"a",)], [(b"b",)]]


def test_days_are_those_of_utc_whatever_the_database_is_set_to():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        name = cursor.fetchone()[0]
        cursor.execute(f"ALTER DATABASE \"{name}\" SET timezone = 'Pacific/Honolulu'")
        try:
            rows = on_a_link(lambda link: link.ask(Question(Statement("zone", "SHOW timezone"))))
        finally:
            cursor.execute(f'ALTER DATABASE "{name}" RESET timezone')

    assert rows == [[(b"UTC",)]]


async def pieces(*texts: str, error: Exception | None = None) -> AsyncIterator[bytes]:
    for text in texts:
        yield text.encode()
    if error is not None:
        raise error


async def copied(link: Link, *tries: AsyncIterator[bytes]) -> list[object]:
    """What each try came to, and how many rows there are in the end."""
    make = "CREATE TEMP TABLE pieces (number int)"
    await link.ask(Question(Statement("make", make)))
    said: list[object] = []
    for each in tries:
        try:
            with link.transaction():
                await link.ask(BEGIN)
                await link.copy(COPY, each)
                await link.ask(COMMIT)
        except psycopg.Error as error:
            said.append(type(error))
    rows = await link.ask(Question(Statement("count", "SELECT count(*) FROM pg_temp.pieces")))
    return [*said, rows]


def test_what_is_streamed_is_stored_whole_or_not_at_all_and_the_link_goes_on():
    said = on_a_link(
        lambda link: copied(
            link,
            pieces("1\n", "not a number\n"),
            pieces("2\n", error=psycopg.DataError("cannot be read back")),
            pieces("3\n", "4", "\n", *["5\n"] * 100_000),
        )
    )

    assert said == [psycopg.errors.InvalidTextRepresentation, psycopg.DataError, [[(b"100002",)]]]
