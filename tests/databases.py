"""The test server's databases by their address, empty ones beside them, and what stands in them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString
from urllib.parse import quote, urlencode
from uuid import uuid4

import psycopg
from django.db import connection
from psycopg import sql


def url_of(name: str | None = None) -> str:
    """The test database, or another one of its server."""
    given = connection.get_connection_params() | ({"dbname": name} if name else {})
    known = ("host", "port", "user", "password", "dbname")
    parts = {each: given[each] for each in known if given.get(each)}
    return f"postgresql:///?{urlencode(parts, quote_via=quote)}"


@contextmanager
def empty_database() -> Iterator[str]:
    """The address of a database without a table, which goes afterwards."""
    name = f"restored_{uuid4().hex[:12]}"

    def administer(statement: LiteralString) -> None:
        with psycopg.connect(url_of(), autocommit=True) as session:
            session.execute(sql.SQL(statement).format(sql.Identifier(name)))

    administer("CREATE DATABASE {}")
    try:
        yield url_of(name)
    finally:
        administer("DROP DATABASE {} WITH (FORCE)")


def one(url: str, query: str, *values: Any) -> Any:
    """The first column of the first row there; None where no row is."""
    with psycopg.connect(url) as session:
        row = session.execute(query, values).fetchone()
    return row and row[0]
