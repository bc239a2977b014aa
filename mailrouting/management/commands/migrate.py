"""Django's migrate, which waits only shortly for a table that running gateways use.

Afterwards the groups behind the roles hold what the roles may do, new tables included.

A statement that waits for its lock holds up whoever comes after it: every look-up and every
message. So it gives up soon, nothing of that migration has happened, and it is run again.
"""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError, connection, connections
from psycopg.errors import LockNotAvailable

from mailrouting.staff import establish_roles

LOCK_TIMEOUT_MS = 2000


class Command(migrate.Command):
    def handle(self, *arguments: Any, **options: Any) -> None:
        with connections[options["database"]].cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
            try:
                super().handle(*arguments, **options)
            except OperationalError as error:
                if not isinstance(error.__cause__, LockNotAvailable):
                    raise
                raise CommandError(
                    "A table was in use for too long, nothing of this migration has happened: "
                    "run it again, best when there is little mail."
                ) from None
            finally:
                if not connections[options["database"]].needs_rollback:
                    cursor.execute("RESET lock_timeout")
            is_dry = options["plan"] or options["check_unapplied"]
            if not is_dry and "auth_group" in connection.introspection.table_names(cursor):
                establish_roles()
