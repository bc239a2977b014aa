"""Live databases give the same rows as their dumps, and are never written to."""

import sqlite3
from pathlib import Path

import psycopg
import pytest

from tenants.moving_in.reading import read_live, read_path
from tenants.moving_in.sources import PRODUCTS
from tenants.moving_in.sources.databases import Unreachable, read_database, without_password
from tests.tenants.moving_in.dumps import MODOBOA, rows
from tests.tenants.moving_in.installations import MODOBOA_ROWS
from tests.tenants.moving_in.test_plan import read

TABLES = rows(MODOBOA, MODOBOA_ROWS)


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    path = tmp_path / "modoboa.db"
    database = sqlite3.connect(path)
    for table, columns in MODOBOA.items():
        database.execute(f"CREATE TABLE {table} ({', '.join(columns.split())})")
        marks = ", ".join("?" * len(columns.split()))
        database.executemany(f"INSERT INTO {table} VALUES ({marks})", TABLES[table])
    database.commit()
    database.close()
    return path


def test_sqlite_gives_what_its_dump_gives(sqlite_file: Path) -> None:
    assert read_path("modoboa", str(sqlite_file)) == read("modoboa")


def test_sqlite_is_opened_for_reading_alone(sqlite_file: Path) -> None:
    sqlite_file.chmod(0o400)
    sqlite_file.parent.chmod(0o500)
    assert read_live("modoboa", f"sqlite://{sqlite_file}").domains
    assert [path.name for path in sqlite_file.parent.iterdir()] == ["modoboa.db"]


def test_postgres_gives_what_its_dump_gives(postgres_url: str, socket_enabled: None) -> None:
    assert read_live("modoboa", postgres_url) == read("modoboa")


def test_postgres_is_asked_in_a_transaction_that_cannot_write(
    postgres_url: str, socket_enabled: None
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as own:
        own.execute(
            "ALTER TABLE admin_domain RENAME TO kept; "
            "CREATE FUNCTION wrote() RETURNS text LANGUAGE sql VOLATILE AS "
            "$$ DELETE FROM kept RETURNING 'x' $$; "
            "CREATE VIEW admin_domain AS SELECT wrote() AS name"
        )
    with pytest.raises(Unreachable, match="read-only transaction"):
        list(read_database(postgres_url, PRODUCTS["modoboa"].schema))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://jo:secret@127.0.0.1:1/mail", "Can't connect"),
        ("mysql://jo:secret@127.0.0.1:x/mail", "port"),
        ("postgresql://jo:secret@127.0.0.1:1/mail", "refused"),
        ("postgresql://jo:secret%zz@127.0.0.1:1/mail", "%25 for"),
        ("sqlite:////nowhere/mail.db", "unable to open"),
        ("ftp://jo:secret@host/mail", "Name the database"),
    ],
)
def test_an_unreachable_database_is_told_without_its_password(
    url: str, sentence: str, socket_enabled: None
) -> None:
    with pytest.raises(Unreachable, match=sentence) as raised:
        list(read_database(url, PRODUCTS["mailcow"].schema))
    assert "secret" not in str(raised.value)


def test_without_password_keeps_where_it_is() -> None:
    url = "postgresql://jo:se%40cret@db.example:5433/mail?sslmode=require"
    assert without_password(url) == "postgresql://db.example:5433/mail"
