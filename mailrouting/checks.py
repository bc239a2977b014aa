"""What `manage.py check` refuses: settings that do not go together, of which each alone is right.

With `--deploy` also the try-out's own means, which are not for production.
"""

from django.conf import settings
from django.core.checks import CheckMessage, Error

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
