"""Databases of other products, as real servers hold them."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from django.db import connection

from tests.tenants.moving_in.dumps import MODOBOA, rows
from tests.tenants.moving_in.installations import MODOBOA_ROWS


@pytest.fixture
def postgres_url(db: None) -> Iterator[str]:
    """A schema of the test's own in the test database, named by a URL."""
    tables = rows(MODOBOA, MODOBOA_ROWS)
    given: dict[str, Any] = connection.get_connection_params()
    where = {name: given[name] for name in ("host", "port", "user", "password") if given.get(name)}
    with psycopg.connect(dbname=given["dbname"], autocommit=True, **where) as own:
        own.execute("DROP SCHEMA IF EXISTS old_mail CASCADE")
        own.execute("CREATE SCHEMA old_mail")
        own.execute("SET search_path = old_mail")
        for table, columns in MODOBOA.items():
            names = ", ".join(f"{name} text" for name in columns.split())
            own.execute(f"CREATE TABLE {table} ({names})")
            marks = ", ".join(["%s"] * len(columns.split()))
            for row in tables[table]:
                own.execute(f"INSERT INTO {table} VALUES ({marks})", row)
        query = {**where, "options": "-csearch_path=old_mail"}
        pairs = "&".join(f"{name}={quote(str(value))}" for name, value in query.items())
        yield f"postgresql:///{given['dbname']}?{pairs}"
        own.execute("DROP SCHEMA old_mail CASCADE")
