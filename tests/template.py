"""One migrated database a run; each worker's test database begins as a copy of it.

The worker that needs it first makes it, while the others that need it wait: a run without a test
that asks for a database makes none. It lies beside the test databases on the run's server.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import sql

MADE = "template.made"


def name_in(folder: Path) -> str:
    """The template's name, of the run whose folder this is alone."""
    return f"test_template_{folder.name.rpartition('-')[2]}"


def copied(folder: Path) -> None:
    """Let the test database that is made next be a copy of the run's template."""
    with _alone(folder / "template.lock"):
        made = folder / MADE
        if not made.exists():
            _make(name_in(folder))
            made.touch()
    connection.settings_dict["TEST"]["TEMPLATE"] = name_in(folder)


def drop(folder: Path, url: str) -> None:
    """Take it from a server that outlives the run; nothing happens where none was made."""
    if not (folder / MADE).exists():
        return
    statement = sql.SQL("DROP DATABASE {}").format(sql.Identifier(name_in(folder)))
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(statement)


def _make(name: str) -> None:
    """Migrate a database of this name, and leave it without a connection, as who copies needs."""
    with _changed(connection.settings_dict["TEST"], NAME=name):
        former = connection.settings_dict["NAME"]
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    connection.close()
    connection.settings_dict["NAME"] = settings.DATABASES["default"]["NAME"] = former


@contextmanager
def _changed(values: dict[str, Any], **changes: Any) -> Iterator[None]:
    former = {name: values[name] for name in changes}
    values.update(changes)
    try:
        yield
    finally:
        values.update(former)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Inside `with`, no other process is, whatever becomes of this one."""
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
