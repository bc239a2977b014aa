"""Rows out of a live database: only the wanted columns, read-only, as texts, a batch at a time.

A URL names it: postgresql://…, mysql://… (MariaDB too) or sqlite:///path.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from pymysql.cursors import SSCursor

from tenants.moving_in.dump.reader import Row, Schema

AT_ONCE = 5_000
CONNECT_SECONDS = 10
READ_SECONDS = 60  # of silence, since other jobs wait behind this one
NO_ADDRESS = (
    "This address of a database cannot be read: write postgresql://user:password@host/name, and "
    "%40, %2F and %25 for @, / and % in the password."
)


# A server that went away without a word is given up, too.
_PATIENCE: Mapping[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": READ_SECONDS * 1000,
    "keepalives_idle": READ_SECONDS // 2,
}
_STATEMENTS_END = sql.SQL("SET statement_timeout = {}").format(f"{READ_SECONDS}s")


class Unreachable(ValueError):
    """The database could not be read; the message says why, without any password."""


def read_database(url: str, schema: Schema) -> Iterator[tuple[str, Row]]:
    """Each row of a wanted table, as `tenants.moving_in.dump.read_rows` gives them.

    Tables that are not there have no rows. Raises Unreachable.
    """
    require_address(url)
    yield from _READERS[_kind(url)](url, schema)


def require_address(url: str) -> None:
    """Raises Unreachable where the URL names no database that can be asked. Nobody is asked."""
    if _kind(url) not in _READERS:
        raise Unreachable("Name the database as postgresql://…, mysql://… or sqlite:///path.")
    _port(url)
    if _READERS[_kind(url)] is _postgres:
        _require_words(url)


def without_password(url: str) -> str:
    """The database as it may be shown and kept."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = f":{_port(url)}" if _port(url) else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def _kind(url: str) -> str:
    return urlsplit(url).scheme.partition("+")[0]


def _port(url: str) -> int | None:
    try:
        return urlsplit(url).port
    except ValueError:
        raise Unreachable("The port of the database is no number.") from None


def _require_words(url: str) -> None:
    """libpq's own words would repeat what it could not read: the password."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise Unreachable(NO_ADDRESS) from None


def _postgres(url: str, schema: Schema) -> Iterator[tuple[str, Row]]:
    try:
        with psycopg.connect(url, **_PATIENCE) as connection:
            connection.read_only = True
            connection.execute(_STATEMENTS_END)
            for table, wanted in schema.items():
                yield from _postgres_table(connection, table, wanted)
    except psycopg.Error as error:
        raise Unreachable(f"The database answered: {_first_line(error)}.") from None


def _postgres_table(
    connection: psycopg.Connection, table: str, wanted: Sequence[str]
) -> Iterator[tuple[str, Row]]:
    there = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0",
        [f'"{table}"'],
    )
    names = {name for (name,) in there}
    if not names:
        return
    columns = [
        sql.SQL("{}::text").format(sql.Identifier(name)) if name in names else sql.SQL("NULL")
        for name in wanted
    ]
    statement = sql.SQL("SELECT {} FROM {}").format(
        sql.SQL(", ").join(columns), sql.Identifier(table)
    )
    with connection.cursor(name="moving_in") as cursor:
        cursor.itersize = AT_ONCE
        for row in cursor.execute(statement):
            yield table, row


def _sqlite(url: str, schema: Schema) -> Iterator[tuple[str, Row]]:
    path = Path(unquote(urlsplit(url).path))
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            for table, wanted in schema.items():
                found = connection.execute("SELECT name FROM pragma_table_info(?)", [table])
                yield from _fetched(connection.cursor(), table, wanted, {name for (name,) in found})
    except (sqlite3.Error, ValueError) as error:
        raise Unreachable(f"SQLite answered about {path}: {_first_line(error)}.") from None


def _mysql(url: str, schema: Schema) -> Iterator[tuple[str, Row]]:
    try:
        with closing(pymysql.connect(**_mysql_parameters(url), cursorclass=SSCursor)) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SET SESSION TRANSACTION READ ONLY")
            for table, wanted in schema.items():
                names = _mysql_columns(connection, table)
                with connection.cursor() as cursor:
                    yield from _fetched(cursor, table, wanted, names)
    except pymysql.MySQLError as error:
        raise Unreachable(f"The database answered: {_first_line(error)}.") from None


def _mysql_columns(connection: pymysql.Connection, table: str) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name FROM information_schema.columns "
            "WHERE table_schema = DATABASE() AND table_name = %s",
            [table],
        )
        return {name for (name,) in cursor.fetchall()}


def _mysql_parameters(url: str) -> Mapping[str, Any]:
    parts = urlsplit(url)
    return {
        "host": parts.hostname or "127.0.0.1",
        "port": _port(url) or 3306,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "database": unquote(parts.path.lstrip("/")),
        "charset": "utf8mb4",
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
    }


def _fetched(
    cursor: Any, table: str, wanted: Sequence[str], names: set[str]
) -> Iterator[tuple[str, Row]]:
    """The rows of one table; its name and columns are ours, in the schema of a product."""
    if not names:
        return
    columns = ", ".join(name if name in names else "NULL" for name in wanted)
    cursor.execute(f"SELECT {columns} FROM {table}")  # noqa: S608 - constants of ours
    while rows := cursor.fetchmany(AT_ONCE):
        for row in rows:
            yield table, tuple(map(_text, row))


def _text(value: object) -> str | None:
    if value is None:
        return None
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _first_line(error: Exception) -> str:
    told = str(error.args[-1]) if error.args else type(error).__name__
    return told.splitlines()[0].rstrip(".")


_READERS = {
    "postgresql": _postgres,
    "postgres": _postgres,
    "mysql": _mysql,
    "mariadb": _mysql,
    "sqlite": _sqlite,
}
