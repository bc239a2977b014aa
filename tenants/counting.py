"""How far the panel counts: a number above 10,000 says nothing more, and would take seconds."""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Func, IntegerField, QuerySet

COUNTED = 10_000
DOMAINS_NAMED = 1000  # ids in a question, in the place of how they are found


def capped_count(rows: QuerySet[Any]) -> Func:
    """How many rows a subquery has, at most one more than COUNTED, as a column."""
    few = ArraySubquery(rows.order_by().values("pk")[: COUNTED + 1])
    return Func(few, function="cardinality", output_field=IntegerField())


def print_capped(count: int, most: int = COUNTED) -> str:
    """A count that went no further than one beyond `most`."""
    return f"{most:,}+" if count > most else f"{count:,}"
