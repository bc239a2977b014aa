"""The data plane's own connections: persistent, without a pool, one for each use at a time.

The gateway's belong to its event loop (link.py), the workers' to a fixed number of threads
(DatabaseThreads). SQL by hand stands where rows move in batches: directory/statements.py,
message_rows.py, counters.py, refusals.py, retention.py, delivery/queue.py and
delivery/outages.py.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, local
from typing import Any, TypeVar

import psycopg
from django.db import OperationalError, connection

CONNECT_TIMEOUT_SECONDS = 2
STATEMENT_TIMEOUT_MS = 5000
# A look-up's plan is always the same: by index. Planning it anew took five times as long as running
# it, and a plan made while a table was small must not scan it when it is large.
SESSION_SETTINGS = {
    "statement_timeout": STATEMENT_TIMEOUT_MS,
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    # Days (of return paths, of bodies) are the same for every process.
    "timezone": "UTC",
}

# What says that the server, or a connection to it, is gone.
AWAY = (psycopg.OperationalError, psycopg.InterfaceError)

SESSION_OPTIONS = " ".join(f"-c {name}={value}" for name, value in SESSION_SETTINGS.items())

Result = TypeVar("Result")


def raw() -> "psycopg.Connection[Any]":
    """This thread's psycopg connection, opened when needed. Raises psycopg.OperationalError."""
    try:
        connection.ensure_connection()
    except OperationalError as error:
        raise psycopg.OperationalError(str(error)) from error
    opened: psycopg.Connection[Any] = connection.connection
    if getattr(_here, "is_limited", False) and opened.prepare_threshold is None:
        opened.execute("; ".join(f"SET {name} = {value}" for name, value in _here.settings.items()))
    opened.prepare_threshold = 0  # Django turns statements that stay planned off; here they pay
    return opened


def run(statement: str, parameters: Any, *, binary: bool = False) -> list[tuple[Any, ...]]:
    """Rows of a prepared statement on this thread's connection. Raises psycopg.Error."""
    cursor = psycopg.Cursor(raw())
    return cursor.execute(statement, parameters, prepare=True, binary=binary).fetchall()


_here = local()


def _limit(changes: dict[str, Any]) -> None:
    """Statements of this thread keep their plans, and end in time: a server that hangs holds up
    nothing else.
    """
    _here.is_limited = True
    _here.settings = SESSION_SETTINGS | changes


class DatabaseThreads(ThreadPoolExecutor):
    """A fixed number of threads, each with a connection of its own, closed with them.

    Its sessions have SESSION_SETTINGS, and `settings` beside them.
    """

    def __init__(self, size: int, **settings: Any) -> None:
        super().__init__(
            size, thread_name_prefix="database", initializer=_limit, initargs=(settings,)
        )
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


def connection_parameters() -> dict[str, Any]:
    """How Django connects, without what only its own cursors need."""
    parameters = connection.get_connection_params()
    for name in ("context", "cursor_factory", "prepare_threshold"):
        parameters.pop(name, None)
    options = f"{parameters.get('options', '')} {SESSION_OPTIONS}".strip()
    return parameters | {"options": options, "connect_timeout": CONNECT_TIMEOUT_SECONDS}


def seconds_to_connect(parameters: dict[str, Any]) -> int:
    """How long connecting may take: of several hosts, one after the other is tried."""
    hosts = str(parameters.get("host") or "").split(",")
    return CONNECT_TIMEOUT_SECONDS * len(hosts) + 1


def once_more(work: Callable[[], Result]) -> Result:
    """Run idempotent work; when the connection turns out to be dead, once more on a fresh one."""
    try:
        return work()
    except AWAY:
        connection.close()
        return work()
