"""What `manage.py check` refuses: settings that do not go together, of which each alone is right.

With `--deploy` also the try-out's own means, which are not for production, and with `--database
default` what a commit, and so a 250, outlives.
"""

from collections.abc import Collection

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info
from django.db import connection

# Beyond its one attempt, a claimed delivery waits for its turn and for the outcome to be written.
LEASE_MARGIN_SECONDS = 30


def require_long_lease(**_options: object) -> list[CheckMessage]:
    """An error where a delivery could be taken by another worker while the first still sends it."""
    lease, attempt = settings.DELIVERY_LEASE_SECONDS, settings.DELIVERY_ATTEMPT_SECONDS
    least = attempt + LEASE_MARGIN_SECONDS
    if lease >= least:
        return []
    return [
        Error(
            f"DELIVERY_LEASE_SECONDS ({lease}) ends too soon after DELIVERY_ATTEMPT_SECONDS "
            f"({attempt}): what a worker is still sending would be sent again by another.",
            hint=f"Set DELIVERY_LEASE_SECONDS to {least} or more, or shorten the attempt.",
            id="mailrouting.E003",
        )
    ]


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
