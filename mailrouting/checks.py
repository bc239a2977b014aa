"""What `manage.py check` refuses and tells of an installation as a whole.

With `--deploy` the try-out's own means, which are not for production, and with `--database
default` what a commit, and so a 250, outlives.
"""

from collections.abc import Collection

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info
from django.db import connection


def refuse_try_out(**_options: object) -> list[CheckMessage]:
    """One error for each part of the try-out that is still in use."""
    found: list[CheckMessage] = []
    if settings.EMBEDDED:
        found.append(
            Error(
                "The embedded try-out is no production installation.",
                hint="Set DATABASE_URL to a PostgreSQL of your own and unset EMBEDDED.",
                id="mailrouting.E001",
            )
        )
    if settings.BROKER_URL.startswith("filesystem://"):
        found.append(
            Error(
                "The broker in folders loses what a killed worker held.",
                hint="Set BROKER_URL to amqp://… or redis://….",
                id="mailrouting.E002",
            )
        )
    return found


def tell_durability(
    *, databases: Collection[str] | None = None, **_options: object
) -> list[CheckMessage]:
    """What becomes of stored mail when PostgreSQL's machine is lost; one query, where allowed."""
    if not databases:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
            " current_setting('synchronous_standby_names')"
        )
        fsync, commit, standbys = cursor.fetchone()
    return [judge_durability(fsync=fsync, commit=commit, standbys=standbys)]


def judge_durability(*, fsync: str, commit: str, standbys: str) -> CheckMessage:
    """An error where mail is answered 250 before it is on a disk; else which disks it is on."""
    if "off" in (fsync, commit):
        return Error(
            f"PostgreSQL commits before it has written (fsync={fsync}, synchronous_commit="
            f"{commit}): mail that was answered 250 is lost when its machine crashes.",
            hint="Set both to on, for the gateway's account too.",
            id="mailrouting.E004",
        )
    if not standbys or commit == "local":
        return Info(
            "A commit waits for no standby: a failover may lose mail that was answered 250.",
            hint="Set synchronous_standby_names where a standby is to take over.",
            id="mailrouting.I001",
        )
    return Info(
        f"A commit waits for standbys ({standbys}, synchronous_commit={commit}).",
        id="mailrouting.I002",
    )
