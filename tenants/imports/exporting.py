"""Rows as files: piece by piece, so that a million of them need no more memory than a thousand.

Every export is noted: who took what, and how many rows. The note is made before the first row
leaves, and counts them while they do.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain, islice
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from tenants.changes import Actor
from tenants.imports import csv_rows, json_rows, postfix_maps
from tenants.imports.reading import Format
from tenants.imports.rows import Kind, Row
from tenants.imports.stored import AT_ONCE, MODELS, stream
from tenants.models import Domain, Export, Tenant

OF_TENANT = (Kind.HOP, Kind.MAILBOX, Kind.DOMAIN, Kind.ALIAS, Kind.ROLE)
CONTENT_TYPES = {Format.CSV: "text/csv", Format.JSON: "application/json"}
ENDINGS = {Format.CSV: ".csv", Format.JSON: ".json"}


@dataclass(frozen=True, slots=True)
class Printer:
    """How rows are printed: what stands before, between and behind them."""

    begin: str
    row: Callable[[Any], str]
    between: str = ""
    end: str = ""


def formats_for(kinds: Sequence[Kind]) -> list[Format]:
    """What rows of these kinds can be written as."""
    are_addresses = all(kind.group == Kind.ALIAS.group for kind in kinds)
    return [
        Format.CSV,
        Format.JSON,
        *((Format.VIRTUAL, Format.RECIPIENTS) if are_addresses else ()),
    ]


def printer_of(
    written: Format, kinds: Sequence[Kind], *, has_tenant: bool, now: datetime
) -> Printer:
    """How rows of these kinds are printed now; without tenants where they are one tenant's."""
    if written == Format.CSV:
        header = csv_rows.print_header(kinds, has_tenant=has_tenant)
        return Printer(header, lambda row: csv_rows.print_row(row, kinds, has_tenant=has_tenant))
    if written == Format.JSON:
        return Printer(
            "[", lambda row: "\n" + json_rows.print_row(row, has_tenant=has_tenant), ",", "\n]\n"
        )
    if written == Format.VIRTUAL:
        return Printer("", partial(postfix_maps.print_virtual, now=now))
    return Printer("", partial(postfix_maps.print_recipient, now=now))


def rows_of_tenant(tenant: Tenant, actor: Actor) -> Iterator[Row]:
    """All that can be exchanged of one tenant, as far as the actor may see it."""
    return chain.from_iterable(
        stream(_visible(kind, actor).filter(**_own(kind, tenant)), kind) for kind in OF_TENANT
    )


def export(
    rows: Iterable[Row],
    kinds: Sequence[Kind],
    written: Format,
    *,
    what: str,
    actor: Actor,
    has_tenant: bool,
    tenant_id: int | None = None,
) -> Iterator[str]:
    """The pieces of the file. `tenant_id` is whose rows are asked for, where that is one tenant."""
    printer = printer_of(written, kinds, has_tenant=has_tenant, now=timezone.now())
    return hand_out(rows, printer, written, what=what, actor=actor, tenant_id=tenant_id)


def hand_out(
    rows: Iterable[Any],
    printer: Printer,
    written: Format,
    *,
    what: str,
    actor: Actor,
    tenant_id: int | None = None,
) -> Iterator[str]:
    """Rows of any kind, as the pieces of a file. It is noted at once, its rows as they are taken.

    `what` says it in words.
    """
    note = Export.objects.create(
        user_id=actor.user.pk if actor.user else None,
        actor_name=actor.label,
        surface=actor.surface,
        client=actor.client,
        what=what[:500],
        tenant_id=tenant_id,
        written=written.value,
    )
    return _pieces(rows, printer, note)


def _pieces(rows: Iterable[Any], printer: Printer, note: Export) -> Iterator[str]:
    yield printer.begin
    count = 0
    rest = iter(rows)
    while batch := list(islice(rest, AT_ONCE)):
        start = printer.between if count else ""
        yield start + printer.between.join(map(printer.row, batch))
        count += len(batch)
        Export.objects.filter(pk=note.pk).update(rows=count)
    yield printer.end
    Export.objects.filter(pk=note.pk).update(ended_at=Now())


def _visible(kind: Kind, actor: Actor) -> "QuerySet[Any]":
    rows: Any = MODELS[kind]._default_manager
    seen: QuerySet[Any] = rows.all() if actor.user is None else rows.visible_to(actor.user)
    return seen


def _own(kind: Kind, tenant: Tenant) -> dict[str, Any]:
    """Rows of the tenant that can be taken elsewhere: nothing of released domains."""
    claimed = set(Domain.State.values) - {Domain.State.RELEASED}
    if kind.group == "address":
        return {"domain__tenant": tenant, "domain__state__in": claimed}
    return {"tenant": tenant} | ({"state__in": claimed} if kind == Kind.DOMAIN else {})
