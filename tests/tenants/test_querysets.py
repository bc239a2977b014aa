"""Look-ups by the beginning of a text: what they find, and the index that finds it."""

from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.db.models.functions import Lower

from tenants.models import Address, Alias, Domain, Mailbox, Tenant
from tenants.querysets import begins, reads
from tests import world as make
from tests.world import World

EVENTS: Any = Address.pgh_event_model  # type: ignore[attr-defined]
INDEXED = [
    (Address.objects.filter(begins("key", "sales@")), "address_by_key"),
    (EVENTS.objects.filter(begins("key", "s"), pgh_label="delete"), "address_event_by_key"),
    (Domain.objects.filter(begins("name", "a.")), "domain_by_name"),
    (Domain.objects.filter(reads("name", "a.example")), "domain_by_name"),
    (Mailbox.objects.filter(begins("key", "box")), "mailbox_by_key"),
    (Tenant.objects.filter(begins(Lower("name"), "north")), "tenant_by_name"),
]


@pytest.mark.parametrize(("rows", "index"), INDEXED, ids=[index for _, index in INDEXED])
def test_a_beginning_is_looked_up_in_an_index(db: None, rows: QuerySet, index: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    plan = rows.order_by().explain()
    assert index in plan
    assert "Index Cond" in plan


@pytest.mark.parametrize(
    ("beginning", "found"),
    [
        ("", 4),
        ("sal", 3),
        ("sales@", 1),
        ("sales@a.example", 1),
        ("sales@b", 0),
        ("ales", 0),
        ("%", 0),
        ("sale_", 0),
        ("käse", 1),
    ],
)
def test_a_beginning_is_taken_to_the_letter(world: World, beginning: str, found: int) -> None:
    for local_part in ("sales", "sales-team", "salesé", "käse"):
        make.make_alias(world.domain, local_part)
    assert Alias.objects.filter(begins("key", beginning)).count() == found
