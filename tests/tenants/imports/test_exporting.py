"""Exports: the same octets again after an import, whoever takes them is noted, nothing leaks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants import jobs, services
from tenants.imports import exporting, stored
from tenants.imports.exporting import OF_TENANT, export, formats_for, rows_of_tenant
from tenants.imports.postfix_maps import print_recipient, print_virtual
from tenants.imports.reading import Format, read
from tenants.imports.rows import Kind, Row
from tenants.imports.stored import stream
from tenants.imports.values import print_moment
from tenants.jobs import importing
from tenants.models import Alias, Domain, Export, Tenant
from tests import world as make
from tests.staff import make_staff
from tests.world import ACTOR, World, as_user


def fill(world: World) -> None:
    """A tenant with every kind of row, and text that no program should trip over."""
    hop = make.make_hop(world.a, name="store", calls_ahead=True)
    make.make_hop(name="shared")
    jo = make.make_mailbox(world.a, "Jo@store.example", hop=hop, name='Jo "the" =cmd, é')
    world.domain.default_role_holder, world.domain.smarthost = jo, hop
    world.domain.local_part_pattern = "[a-z]+"
    make.save(world.domain)
    make.make_domain(world.a, "bücher.example", state=Domain.State.PENDING)
    make.make_domain(world.a, "gone.example", state=Domain.State.RELEASED)
    note = '=HYPERLINK("x")\r\n\'+second\tline'
    plain = make.make_alias(world.domain, "Plain", make.to_mailbox(jo), note=note, purpose="-1;|")
    make.make_rule(plain, "a, b", "refuse")
    make.make_rule(plain, "x", "retarget", make.to_inbox(), make.to_forward("o@far.test"))
    limits = {"max_message_octets": 25_000_000, "rate_per_hour": 9, "enabled": False}
    senders = ["@partner.example", "<>", '"a,b"@c.example']
    forward = make.to_forward("plain@a.example")
    make.make_alias(world.domain, "a.forward", forward, allowed_senders=senders, **limits)
    make.make_alias(world.domain, '"quo ted"', make.to_inbox(), authentication="spf")
    make.make_role(world.domain, "sales", holder=jo, on_spam="hold")


def taken(tenant: Tenant, written: Format) -> str:
    pieces = export(
        rows_of_tenant(tenant, ACTOR), OF_TENANT, written,
        what="everything", actor=ACTOR, has_tenant=False,
    )  # fmt: skip
    return "".join(pieces)


@pytest.mark.parametrize("written", [Format.CSV, Format.JSON])
def test_an_export_imported_elsewhere_exports_the_same_octets(
    world: World, written: Format
) -> None:
    fill(world)
    first = taken(world.a, written)
    other = make.make_tenant("Other")
    services.release_domain(world.domain, actor=ACTOR)

    job = importing.draft(read(first.encode(), written), source="x", actor=ACTOR, tenant=other)
    jobs.apply(jobs.check(job))

    notes = [item.note for item in job.items.exclude(note="")]
    assert (job.changed, job.refused, notes) == (8, 0, [])
    assert taken(other, written) == first
    again = importing.draft(read(first.encode(), written), source="x", actor=ACTOR, tenant=other)
    assert jobs.check(again).unchanged == 8


def test_no_cell_of_an_export_is_a_formula(world: World) -> None:
    fill(world)

    text = taken(world.a, Format.CSV)

    assert "\"'=HYPERLINK" in text
    assert "'-1;|" in text
    for line in text.splitlines():
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in line.split(","))


def test_a_map_says_what_postfix_can_do(world: World) -> None:
    fill(world)
    rows = stream(Alias.objects.all(), Kind.ALIAS)

    pieces = export(
        rows, [Kind.ALIAS], Format.VIRTUAL, what="aliases", actor=ACTOR, has_tenant=True
    )

    assert "".join(pieces) == (
        "# a.forward@a.example: disabled\n"
        "# Plain@a.example, not done by this line: "
        'subaddress "a, b": refuse; subaddress x: inbox, forward o@far.test\n'
        "Plain@a.example Jo@store.example\n"
        '# "quo ted"@a.example: inbox\n'
    )


@pytest.mark.parametrize("ending", ["\n", "\r", "\x85", "\u2028"])
def test_a_comment_of_a_map_ends_on_its_line(ending: str) -> None:
    rules = (f'"x{ending}root@a.example evil@far.test": refuse',)
    values = {"targets": ("forward y@far.test",), "enabled": True, "rules": rules}
    row = Row(1, Kind.ALIAS, "x@a.example", values)

    lines = print_virtual(row, now=timezone.now()).splitlines()

    assert [line[:13] for line in lines] == ["# x@a.example", "x@a.example y"]


def test_a_map_says_what_postfix_leaves_out(world: World) -> None:
    now = timezone.now()
    box = make.to_mailbox(make.make_mailbox(world.a, "jo@store.example"))
    make.make_alias(
        world.domain, "strict", box, allowed_senders=["@partner.example"],
        authentication="spf", rate_per_hour=9, max_message_octets=25_000_000, on_spam="hold",
        expires_at=datetime(2100, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    make.make_rule(Alias.objects.get(), "shop", "refuse")
    over = make.make_alias(world.domain, "over", make.to_forward("x@far.test"))
    Alias.objects.filter(pk=over.pk).update(expires_at=now - timedelta(days=1))
    gone = print_moment(now - timedelta(days=1))

    rows = list(stream(Alias.objects.all(), Kind.ALIAS))

    assert "".join(print_virtual(row, now=now) for row in rows) == (
        f"# over@a.example: expired at {gone}\n"
        "# strict@a.example, not done by this line: ends at 2100-01-01T00:00:00Z; "
        "mail from @partner.example alone; senders prove spf; subaddress shop: refuse; "
        "at most 25000000 octets; at most 9 messages an hour; spam: hold\n"
        "strict@a.example jo@store.example\n"
    )
    assert "".join(print_recipient(row, now=now) for row in rows) == (
        f"# over@a.example: expired at {gone}\n"
        "# strict@a.example, not done by this line: ends at 2100-01-01T00:00:00Z; "
        "mail from @partner.example alone; senders prove spf; subaddress shop: refuse; "
        "at most 25000000 octets; at most 9 messages an hour; spam: hold\n"
        "strict@a.example OK\n"
    )


def test_an_export_is_noted_with_the_rows_that_were_taken(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "AT_ONCE", 2)
    for number in range(5):
        make.make_alias(world.domain, f"x{number}")
    actor = as_user(make_staff(), "admin")
    rows = stream(Alias.objects.all(), Kind.ALIAS)

    pieces = export(rows, [Kind.ALIAS], Format.CSV, what="aliases", actor=actor, has_tenant=True)

    note = Export.objects.get()
    assert (note.actor_name, note.surface, note.what, note.rows) == ("ops", "admin", "aliases", 0)
    next(pieces), next(pieces)
    note.refresh_from_db()
    assert (note.rows, note.ended_at) in [(0, None), (2, None)]
    list(pieces)
    note.refresh_from_db()
    assert note.rows == 5
    assert note.ended_at is not None


def test_rows_are_read_page_by_page(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "AT_ONCE", 2)
    names = ["b", "a", "d", "c", "e"]
    for name in names:
        make.make_alias(world.domain, name)
    make.make_alias(world.other_domain, "a")

    with CaptureQueriesContext(
        connection,
    ) as captured:
        rows = list(stream(Alias.objects.all(), Kind.ALIAS))

    assert [row.name.partition("@")[0] for row in rows] == ["a", "a", "b", "c", "d", "e"]
    pages = [each["sql"] for each in captured if 'FROM "tenants_address"' in each["sql"]]
    assert len(pages) == 4
    assert all("LIMIT 2" in sql for sql in pages)
    assert not any("OFFSET" in sql for sql in pages)


@pytest.mark.parametrize(("who", "count"), [("owner", 3), ("outsider", 0)])
def test_nobody_takes_what_they_may_not_see(world: World, who: str, count: int) -> None:
    make.make_alias(world.domain, "x")
    make.make_mailbox(world.a, hop=make.make_hop())

    rows = list(rows_of_tenant(world.a, as_user(getattr(world, who))))

    assert len(rows) == count


@pytest.mark.parametrize(
    ("kinds", "more"), [([Kind.ALIAS], 2), ([Kind.MAILBOX], 0), (list(OF_TENANT), 0)]
)
def test_maps_are_of_addresses(kinds: Any, more: int) -> None:
    assert len(formats_for(kinds)) == 2 + more
