"""The one clock of the control plane: the database's, by which the gateway judges what is over.

Web servers, workers and beat may be hours off, and off from each other. Within a query the same
clock is Now().
"""

from datetime import datetime

from django.db import connection


def database_now() -> datetime:
    """What the database's clock says at this moment, aware. One query."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
