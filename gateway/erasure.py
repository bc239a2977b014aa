"""Erases an address of a person from what was written down: mail, its trail, and the history.

Rule of this file: rows are kept and say the same, with a pseudonym in the address's place that
nobody can trace back; bodies of mail that the person sent, or was alone to receive, go. What is in
use is not touched but named, since an edit of it belongs to whoever is responsible. Work comes in
parts, by tables and days, so that each is a short transaction.
"""

import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pgtrigger
from django.apps import apps
from django.db import connection, models
from psycopg import sql

from gateway.models import Body, Delivery, Message, RoutingRecord
from gateway.retention import OPEN_STATES, drop_bodies
from gateway.routing.address import Address, to_u_label
from tenants import history
from tenants.models import DomainCheck, Source

BODIES = "bodies"
ERASED_DOMAIN = "erased.invalid"
NAMED = 5
# An address begins where no usual character of a local part stands before it, and ends where no
# further label follows. Rare ones (RFC 5322 §3.2.3) count as its borders, since texts use them so:
# 'jane@person.example', {jane@person.example}, rcpt=jane@person.example.
_BORDERS = (r"(?<![[:alnum:]._+-])", r"(?![[:alnum:]-]|\.[[:alnum:]])")
_BORDERS_IN_PYTHON = (r"(?<![\w.+-])", r"(?![^\W_]|-|\.[^\W_])")
_TEXTS = ("text", "varchar", "json", "jsonb", "_text", "_varchar")
APPS = ("gateway", "tenants", "watch")
# Tables of other apps that tell of edits, by what an operator calls their rows. Their ids know no
# days. And those whose rows are in use.
WRITTEN_ELSEWHERE = {
    "pghistory_context": "who edited and why",
    "django_admin_log": "log of the admin",
}
USED_ELSEWHERE = (
    "account.EmailAddress",
    "socialaccount.SocialAccount",
    "django_celery_beat.PeriodicTask",
)
# What was read elsewhere has a history, too, but nobody here uses it as an address.
OBSERVED = (DomainCheck, Source)
COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
    AND t.typname = ANY(%s) ORDER BY a.attnum
"""


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one table, or the bodies; those of one day where `day` says which."""

    table: str
    by: str = ""  # the column of time-ordered ids (RFC 9562 §5.7) that the day is about
    day: date | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Part":
        """The part that a job's item describes."""
        day = given["day"] and date.fromisoformat(given["day"])
        return cls(given["table"], given["by"], day)

    def __str__(self) -> str:
        rows = _words(self.table)
        return f"{rows} of {self.day}" if self.day else rows


def make_pseudonym() -> str:
    """A fresh address that nobody can receive mail at (RFC 2606 §2)."""
    return f"erased-{secrets.token_hex(6)}@{ERASED_DOMAIN}"


def uses(address: Address) -> list[str]:
    """Where the address is still in use, by what an operator calls it; the first few of each."""
    waiting = Delivery.objects.filter(state__in=OPEN_STATES).filter(
        models.Q(recipient__iexact=str(address))
        | models.Q(record__key=address.key)
        | models.Q(message__sender__iexact=str(address))
    )
    found = [f"mail that waits: delivery {each}" for each in waiting[:NAMED]]
    for model in _used():
        keys = _keys_naming(model._meta.db_table, address)
        rows = model._base_manager.filter(pk__in=keys)
        found += [f"{model._meta.verbose_name} {row}" for row in rows]
    return found


def parts() -> Iterator[Part]:
    """All that may name somebody, bodies first, in the order in which it has to be erased."""
    days = list(_days())
    yield from (Part(BODIES, "id", day) for day in days)
    for model in _written():
        by = _time_ordered(model)
        table = model._meta.db_table
        yield from (Part(table, by, day) for day in days) if by else [Part(table)]
    yield from map(Part, WRITTEN_ELSEWHERE)


def erase(part: Part, address: Address, pseudonym: str) -> int:
    """Put the pseudonym in the address's place in a part, or drop its bodies; how many rows."""
    if part.table == BODIES:
        return drop_bodies(_messages_of(part, address))
    packed = _erase_packed(address, pseudonym) if part.table == Source._meta.db_table else 0
    query, values = _replacement(part, address, pseudonym)
    with pgtrigger.ignore(*_append_only()), connection.cursor() as cursor:
        cursor.execute(query.as_string(), values)  # what lifts the guards puts words before it
        count: int = cursor.rowcount
        return packed + count


def _erase_packed(address: Address, pseudonym: str) -> int:
    """As erase, in what sources to move in from hold, which no statement can look into."""
    swaps = _swaps(address, pseudonym, _BORDERS_IN_PYTHON)
    count = 0
    for pk, packed in Source.objects.select_for_update().values_list("pk", "inventory"):
        text = before = zlib.decompress(packed).decode()
        for pattern, in_its_place in swaps:
            text = re.sub(pattern, in_its_place, text, flags=re.IGNORECASE)
        if text != before:
            Source.objects.filter(pk=pk).update(inventory=zlib.compress(text.encode()))
            count += 1
    return count


def _replacement(
    part: Part, address: Address, pseudonym: str
) -> tuple[sql.Composed, Sequence[str | list[str] | UUID]]:
    """One UPDATE of all columns of text; what a row's key is of goes where the key goes."""
    columns, pattern = _columns(part.table), _pattern(address)
    of_key = {"local_part": pseudonym.partition("@")[0], "recipient": pseudonym}
    swaps = _swaps(address, pseudonym)
    swapped = "{0}::text"
    for _ in swaps:
        swapped = f"regexp_replace({swapped}, %s, %s, 'gi')"
    changes: list[sql.Composable] = []
    values: list[str] = []
    for name, kind in columns.items():
        change = f"{swapped}::{{1}}"
        if name in of_key and "key" in columns:
            change = f"CASE WHEN key ~* %s THEN %s ELSE {change} END"
            values += [pattern, of_key[name]]
        values += [text for swap in swaps for text in swap]
        changes.append(sql.SQL(f"{{0}} = {change}").format(sql.Identifier(name), sql.SQL(kind)))
    query = sql.SQL("UPDATE {} SET {} WHERE {}{}").format(
        sql.Identifier(part.table), sql.SQL(", ").join(changes), _naming(columns), _within(part)
    )
    return query, [*values, _likes(address), pattern, *_bounds(part)]


def _naming(columns: Iterable[str]) -> sql.Composed:
    """That a row names the address in any of its texts; the quicker question comes first."""
    texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(each)) for each in columns)
    return sql.SQL("concat_ws(' ', {0}) ILIKE ANY(%s) AND concat_ws(' ', {0}) ~* %s").format(texts)


def _within(part: Part) -> sql.Composable:
    if not part.by:
        return sql.SQL("")
    return sql.SQL(" AND {0} >= %s AND {0} < %s").format(sql.Identifier(part.by))


def _bounds(part: Part) -> tuple[UUID, ...]:
    """The smallest id of the day, and of the next one."""
    if part.day is None:
        return ()
    return _floor(part.day), _floor(part.day + timedelta(days=1))


def _messages_of(part: Part, address: Address) -> list[UUID]:
    """Messages of the day that the person sent, or was alone to receive; none that waits."""
    first, end = _bounds(part)
    messages = Message.objects.filter(pk__gte=first, pk__lt=end, purged_at=None).exclude(
        deliveries__state__in=OPEN_STATES
    )
    theirs = RoutingRecord.objects.filter(message=models.OuterRef("pk"))
    received = models.Exists(theirs.filter(key=address.key)) & ~models.Exists(
        theirs.exclude(key=address.key)
    )
    sent = models.Q(sender__iexact=str(address))
    return list(messages.filter(sent | models.Q(received)).values_list("pk", flat=True))


def _keys_naming(table: str, address: Address) -> list[Any]:
    query = sql.SQL("SELECT id FROM {} WHERE {} ORDER BY id LIMIT %s").format(
        sql.Identifier(table), _naming(_columns(table))
    )
    with connection.cursor() as cursor:
        cursor.execute(query, [_likes(address), _pattern(address), NAMED])
        return [key for (key,) in cursor.fetchall()]


def _columns(table: str) -> dict[str, str]:
    """The columns of a table that hold text, with their types."""
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS, [table, list(_TEXTS)])
        return dict(cursor.fetchall())


def _used() -> Iterator[type[models.Model]]:
    """The models whose rows are in use: the control plane, and what people sign in with."""
    yield from _control_plane()
    yield from map(apps.get_model, USED_ELSEWHERE)


def _control_plane() -> Iterable[type[models.Model]]:
    """The models whose rows are in use, not what is written down about them; accounts as well."""
    tracked = filter(history.is_tracked, _models())
    concrete = [model._meta.concrete_model or model for model in tracked]
    return dict.fromkeys(model for model in concrete if model not in OBSERVED)


def _written() -> Iterator[type[models.Model]]:
    """The models of what was written down: mail, history, jobs; the bodies are dropped instead."""
    in_use = set(_control_plane())
    for model in _models():
        is_own = model._meta.managed and not model._meta.proxy and model is not Body
        if is_own and model not in in_use and _columns(model._meta.db_table):
            yield model


def _words(table: str) -> str:
    """What an operator calls the rows of a table; of one with events, whose history it is."""
    if table == BODIES:
        return BODIES
    if table in WRITTEN_ELSEWHERE:
        return WRITTEN_ELSEWHERE[table]
    [model] = [
        each for each in _models() if (each._meta.db_table, each._meta.proxy) == (table, False)
    ]
    tracked = getattr(model, "pgh_tracked_model", None)
    meta = (tracked or model)._meta
    return f"history of {meta.verbose_name_plural}" if tracked else str(meta.verbose_name_plural)


def _models() -> Iterator[type[models.Model]]:
    for name in APPS:
        yield from apps.get_app_config(name).get_models()


def _time_ordered(model: type[models.Model]) -> str:
    """The column that orders the table's rows by the time of their mail; empty where none does."""
    for field in model._meta.concrete_fields:
        if field.primary_key and isinstance(field, models.UUIDField):
            return str(field.column)
        if field.is_relation and field.related_model in (Message, Delivery, RoutingRecord):
            return str(field.column)
    return ""


def _days() -> Iterator[date]:
    """The days from which there are records, oldest first, today included."""
    oldest = RoutingRecord.objects.order_by("pk").values_list("pk", flat=True).first()
    today = datetime.now(UTC).date()
    day = today if oldest is None else datetime.fromtimestamp((oldest.int >> 80) / 1000, UTC).date()
    while day <= today:
        yield day
        day += timedelta(days=1)


def _floor(day: date) -> UUID:
    """The smallest id that was made on that day."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def _append_only() -> list[str]:
    """The guards of history, by the names that pgtrigger knows; lifted for this transaction."""
    return [
        f"{model._meta.label}:{trigger.name}"
        for model, trigger in pgtrigger.registered()
        if trigger.name == "append_only"
    ]


def _pattern(address: Address, borders: tuple[str, str] = _BORDERS) -> str:
    """Where a text names the address, as a regular expression; case does not count."""
    return _any_of(_forms(address) + _forms_in_paths(address), borders)


def _swaps(
    address: Address, pseudonym: str, borders: tuple[str, str] = _BORDERS
) -> list[tuple[str, str]]:
    """What is put in which place, in order: a return path stays one that can be read."""
    name, _, domain = pseudonym.partition("@")
    return [
        (_any_of(_forms_in_paths(address), borders), f"{domain}={name}"),
        (_any_of(_forms(address), borders), pseudonym),
    ]


def _any_of(forms: Iterable[str], borders: tuple[str, str]) -> str:
    before, after = borders
    return f"{before}(?:{'|'.join(map(re.escape, forms))}){after}"


def _likes(address: Address) -> list[str]:
    forms = _forms(address) + _forms_in_paths(address)
    escaped = [re.sub(r"([\\%_])", r"\\\1", form) for form in forms]
    return [f"%{form}%" for form in escaped]


def _forms(address: Address) -> list[str]:
    """How the address is written as such."""
    return [f"{local_part}@{domain}" for local_part, domain in _spelled(address)]


def _forms_in_paths(address: Address) -> list[str]:
    """How it is written within a rewritten return path (SRS)."""
    return [f"{domain}={local_part}" for local_part, domain in _spelled(address)]


def _spelled(address: Address) -> list[tuple[str, str]]:
    """How local part and domain are written.

    The local part folded too, as keys have it, and in quotes that it does not need, as a recipient
    may be typed; the domain as an A-label and as people read it.
    """
    bare = dict.fromkeys((address.local_part, address.folded_local_part))
    quoted = [f'"{_escaped(local_part)}"' for local_part in bare]
    in_texts = list(map(_escaped, quoted))
    local_parts = [*bare, *quoted, *in_texts]
    domains = dict.fromkeys((address.domain, to_u_label(address.domain)))
    return [(local_part, domain) for local_part in local_parts for domain in domains]


def _escaped(text: str) -> str:
    """What stands between the quotes of a local part (RFC 5321 §4.1.2), or of a text in JSON."""
    return text.replace("\\", "\\\\").replace('"', '\\"')
