"""The data plane's own connections: one per executor thread, persistent, without a pool.

SQL by hand is allowed in directory.py and intake.py; both get their cursor here.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import psycopg
from django.db import OperationalError, connection, connections

CONNECT_TIMEOUT_SECONDS = 2
STATEMENT_TIMEOUT_MS = 5000
# A look-up's plan is always the same: by index. Planning it anew took five times as long as running
# it, and a plan made while a table was small must not scan it when it is large.
SESSION_SETTINGS = {
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
}

Result = TypeVar("Result")


def dedicate() -> None:
    """Give every connection that this process opens the data plane's time limits.

    Called once, before the first connection.
    """
    options = connections.settings["default"].setdefault("OPTIONS", {})
    options["connect_timeout"] = CONNECT_TIMEOUT_SECONDS
    options["options"] = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())


def raw() -> "psycopg.Connection[Any]":
    """This thread's psycopg connection, opened when needed. Raises psycopg.OperationalError."""
    try:
        connection.ensure_connection()
    except OperationalError as error:
        raise psycopg.OperationalError(str(error)) from error
    opened: psycopg.Connection[Any] = connection.connection
    opened.prepare_threshold = 0  # Django turns statements that stay planned off; here they pay
    return opened


class DatabaseThreads(ThreadPoolExecutor):
    """A fixed number of threads, each with a connection of its own, closed with them."""

    def __init__(self, size: int) -> None:
        super().__init__(size, thread_name_prefix="database")
        self._size = size

    def close(self) -> None:
        """Wait for running work, close every thread's connection, end the threads."""
        barrier = Barrier(self._size)  # holds each thread until all are here

        def leave() -> None:
            barrier.wait()
            connection.close()

        for done in [self.submit(leave) for _ in range(self._size)]:
            done.result()
        self.shutdown()


def once_more(work: Callable[[], Result]) -> Result:
    """Run idempotent work; when the connection turns out to be dead, once more on a fresh one."""
    try:
        return work()
    except (psycopg.OperationalError, psycopg.InterfaceError):
        connection.close()
        return work()
