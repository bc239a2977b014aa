"""Rows by COPY, for loads of more than a form brings: columns and defaults come from the models.

What is loaded is not validated: only programs whose rows are right by construction come this way.
History is written by statement triggers, and a statement of very many rows costs them more than its
share: a load goes in chunks, each a transaction of its own that carries its actor.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from django.db import connection, models
from psycopg import sql

from tenants import changes
from tenants.changes import Actor

CHUNK = 10_000

Row = tuple[object, ...]


def load(
    sample: models.Model, columns: Sequence[str], rows: Iterable[Row], *, actor: Actor
) -> Iterator[int]:
    """COPY control-plane rows in chunks, each attributed to the actor; yields each chunk's size."""
    for chunk in chunks(rows, CHUNK):
        with changes.attributed(actor):
            copy_rows(sample, columns, chunk)
        yield len(chunk)


def copy_rows(sample: models.Model, columns: Sequence[str], rows: Iterable[Row]) -> None:
    """COPY rows that differ in these columns and are like the sample in all others.

    Numbers that neither names come from their sequence.
    """
    fields = [
        field
        for field in sample._meta.concrete_fields
        if field.column not in columns and not isinstance(field, models.AutoField)
    ]
    same = tuple(
        field.get_db_prep_save(field.pre_save(sample, add=True), connection) for field in fields
    )
    names = [*columns, *(str(field.column) for field in fields)]
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(sample._meta.db_table), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row + same)


def reserve(model: type[models.Model], count: int) -> int:
    """The first of so many ids of the model that nobody else will be given."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [model._meta.db_table])
        [sequence] = cursor.fetchone()
        cursor.execute("SELECT nextval(%s)", [sequence])
        [first] = cursor.fetchone()
        cursor.execute("SELECT setval(%s, %s)", [sequence, first + max(count, 1) - 1])
    return int(first)


def chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    """The rows in order, in lists of at most this size."""
    remaining = iter(rows)
    while chunk := list(islice(remaining, size)):
        yield chunk
