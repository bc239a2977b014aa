"""The data plane's own connections: one per executor thread, persistent, without a pool.

SQL by hand is allowed in directory.py and intake.py; both get their cursor here.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from django.db import connection, connections

CONNECT_TIMEOUT_SECONDS = 2
STATEMENT_TIMEOUT_MS = 5000

Result = TypeVar("Result")


def dedicate() -> None:
    """Give every connection that this process opens the data plane's time limits.

    Called once, before the first connection.
    """
    options = connections.settings["default"].setdefault("OPTIONS", {})
    options["connect_timeout"] = CONNECT_TIMEOUT_SECONDS
    options["options"] = f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"


def raw() -> "psycopg.Connection[Any]":
    """This thread's psycopg connection, opened when needed. Raises psycopg.OperationalError."""
    try:
        connection.ensure_connection()
    except connection.Database.OperationalError as error:
        raise psycopg.OperationalError(str(error)) from error
    opened: psycopg.Connection[Any] = connection.connection
    opened.prepare_threshold = 0  # Django turns statements that stay planned off; here they pay
    return opened


def once_more(work: Callable[[], Result]) -> Result:
    """Run idempotent work; when the connection turns out to be dead, once more on a fresh one."""
    try:
        return work()
    except (psycopg.OperationalError, psycopg.InterfaceError):
        connection.close()
        return work()
