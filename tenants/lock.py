"""Locks on what is no row: each number stands here once, so that no two mean different things.

They are PostgreSQL's advisory locks: known to every process at the database, gone with the session
that holds them.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

TENANT = 7041  # one tenant's routing; changes wait for it until their transaction ends
DNS_CHECK = 7042  # one domain's check
PURGE = 7043
TRAFFIC = 7051  # counts over time
ALARMS = 7052  # what is found in trouble
ADDRESS_USE = 7061  # one reader of when addresses got mail
CONCERNS = 7062  # one look at all addresses


@contextmanager
def alone(what: int, key: int = 0) -> Iterator[bool]:
    """Whether this is the only session at it; never waits, and holds beyond transactions."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", [what, key])
        is_alone = bool(cursor.fetchone()[0])
    try:
        yield is_alone
    finally:
        if is_alone:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", [what, key])
