"""Where a recipient is told, as a column: webhooks' addresses are often secrets, and are sealed.

Mail addresses stay as they are, so that a person's can be found and erased.
"""

from collections.abc import Callable
from typing import Any, Self

import pgtrigger
from django.conf import settings
from django.db import connection, models, transaction
from psycopg import sql

from gateway.watch.webhook import is_hook
from tenants import sealing
from tenants.sealing import Tally, UnopenedError, is_sealed, seal, unseal

_HOOKS = sql.SQL("SELECT DISTINCT address FROM {table} WHERE channel = 'webhook'")
_UPDATE = sql.SQL("UPDATE {table} SET address = %s WHERE address = %s")
UNOPENED = "(sealed by a key that is not in ENCRYPTION_KEYS)"


class Opened(str):
    """An opened secret, with what it stands as: unchanged, it is stored as it was."""

    __slots__ = ("stored",)
    stored: str

    @classmethod
    def of(cls, stored: str) -> Self:
        try:
            opened = cls(unseal(stored, settings.ENCRYPTION_KEYS))
        except UnopenedError:
            opened = cls(UNOPENED)
        opened.stored = stored
        return opened


class PlaceField(models.CharField):  # type: ignore[type-arg]
    """An address for mail, or one of a webhook, which is sealed in the database, its history and
    its backups. Webhooks cannot be searched for.
    """

    def get_internal_type(self) -> str:
        return "TextField"  # sealed, it is longer than what is typed

    def from_db_value(self, value: str | None, *_: Any) -> str | None:
        return Opened.of(value) if value is not None and is_sealed(value) else value

    def get_prep_value(self, value: Any) -> Any:
        if isinstance(value, Opened):
            return value.stored
        text = super().get_prep_value(value)
        return seal(text, settings.ENCRYPTION_KEYS) if text and is_hook(text) else text


def reseal(*tables: str) -> Tally:
    """Seal every webhook's address in these tables anew, by the newest key.

    It leaves no trace in the history, which is resealed itself. What no key opens stays.
    """
    return Tally.total(_rewrite(table, _resealed) for table in tables)


def unseal_all(*tables: str) -> None:
    """As reseal, the other way: they stand as they are afterwards."""
    for table in tables:
        _rewrite(table, _opened)


def _rewrite(table: str, change: Callable[[str], str]) -> Tally:
    tallies, name = [], sql.Identifier(table)
    # As text, since what lifts the triggers puts words before it.
    hooks, update = (each.format(table=name).as_string() for each in (_HOOKS, _UPDATE))
    with transaction.atomic(), pgtrigger.ignore(), connection.cursor() as cursor:
        cursor.execute(hooks)
        for (stored,) in cursor.fetchall():
            cursor.execute(update, [rewritten := change(stored), stored])
            tallies.append(Tally.of(stored, rewritten, cursor.rowcount))
    return Tally.total(tallies)


def _resealed(stored: str) -> str:
    return sealing.reseal(stored, settings.ENCRYPTION_KEYS)


def _opened(stored: str) -> str:
    """Itself where it is not sealed, or no key opens it."""
    try:
        return unseal(stored, settings.ENCRYPTION_KEYS) if is_sealed(stored) else stored
    except UnopenedError:
        return stored
