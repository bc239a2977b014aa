"""What `manage.py check --deploy` refuses: the try-out's own means, in production."""

from django.conf import settings
from django.core.checks import CheckMessage, Error


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
