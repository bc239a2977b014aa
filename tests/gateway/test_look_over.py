"""What a job notes about addresses: when they last got mail, and which need somebody to look."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from gateway import concerns, use
from gateway.ids import queue_id, uuid7
from gateway.models import AddressUse, Concern, RoutingRecord
from tenants.models import Address, Alias, Domain, Membership, Target
from tests import world as make
from tests.pages import url_of
from tests.staff import client_of, make_staff
from tests.world import World, make_world, to_forward

NOW = timezone.now().replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture
def world(db: None) -> World:
    return make_world()


@pytest.fixture
def client(db: None) -> Client:
    return client_of(make_staff())


def record(alias: Address, at: datetime, *, accepted: bool = True) -> RoutingRecord:
    identifier = uuid7(now_ms=int(at.timestamp() * 1000))
    return RoutingRecord.objects.create(
        id=identifier,
        at=at,
        queue_id=queue_id(identifier),
        recipient=alias.key,
        key=alias.key,
        tenant=alias.domain.tenant,
        domain=alias.domain,
        address=alias,
        strategy="alias",
        rule="alias",
        token="t",
        accepted=accepted,
        reason="accepted" if accepted else "rate",
        reply="250 2.1.5 Recipient ok",
    )


def used_at(alias: Address) -> datetime | None:
    return AddressUse.objects.get(address=alias).used_at


def stamp(now: datetime = NOW) -> None:
    assert use.stamp(now=now, most_seconds=60)


# --- last mail


def test_the_last_accepted_mail_is_stamped(world: World) -> None:
    alias, silent = (make.make_alias(world.domain, name) for name in ("x", "y"))
    for days in (40, 3, 20):
        record(alias, NOW - days * DAY)
    record(alias, NOW - DAY, accepted=False)
    stamp()
    assert used_at(alias) == NOW - 3 * DAY
    assert used_at(silent) is None
    assert AddressUse.objects.get(address=silent).idle_since == silent.created_at


def test_a_later_run_reads_what_came_since(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "AT_ONCE", 2)
    alias = make.make_alias(world.domain, "x")
    for hours in range(9, 2, -1):
        record(alias, NOW - timedelta(hours=hours))
    stamp(NOW - timedelta(hours=2))
    assert used_at(alias) == NOW - timedelta(hours=3)
    late = record(alias, NOW - timedelta(hours=2, minutes=1))  # committed after the first run
    record(alias, NOW - timedelta(minutes=1))
    added = make.make_alias(world.domain, "added")
    stamp()
    assert used_at(alias) == NOW - timedelta(minutes=1) > late.at
    assert used_at(added) is None


def test_a_run_without_time_is_gone_on_with(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(use, "AT_ONCE", 1)
    alias = make.make_alias(world.domain, "x")
    for hours in (5, 4, 3):
        record(alias, NOW - timedelta(hours=hours))
    runs = 0
    while not use.stamp(now=NOW, most_seconds=-1):
        runs += 1
    assert runs > 1
    assert used_at(alias) == NOW - timedelta(hours=3)


def test_stamps_of_deleted_addresses_go(world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    stamp()
    make.changes.delete(alias, actor=make.ACTOR)
    use.forget_deleted()
    assert not AddressUse.objects.exists()


# --- concerns


def found(kind: str) -> dict[str, str]:
    concerns.look_over(now=NOW)
    return {
        Address.objects.get(pk=row.address_id).local_part: row.detail
        for row in Concern.objects.filter(kind=kind)
    }


@pytest.fixture
def forwards(world: World) -> World:
    gone = make.make_alias(world.domain, "gone")
    make.make_alias(world.domain, "there")
    make.make_alias(world.domain, "off")
    for name, to in (
        ("lost", "gone@a.example"),
        ("fine", "there@a.example"),
        ("tagged", "there+list@a.example"),
        ("role", "postmaster@a.example"),
        ("stopped", "off@a.example"),
        ("away", "jo@elsewhere.example"),
    ):
        make.make_alias(world.domain, name, to_forward(to))
    make.changes.delete(gone, actor=make.ACTOR)
    Address.objects.filter(local_part="off").update(enabled=False)
    return world


def test_forwards_that_arrive_nowhere_are_found_with_the_reply(forwards: World) -> None:
    assert found("broken") == {
        "lost": "forward to gone@a.example: 550 5.1.1 No such address here",
        "stopped": "forward to off@a.example: 550 5.2.1 Address is disabled",
    }


def test_forward_to_a_local_part_in_quotes_is_looked_over(world: World) -> None:
    gone = make.make_alias(world.domain, '"jo hn"', to_forward("jo@elsewhere.example"))
    wide = make.make_alias(world.domain, '"w de"', to_forward("jo@elsewhere.example"))
    make.make_alias(world.domain, "lost", to_forward('"jo hn"@a.example'))
    Target.objects.bulk_create(Target(address=wide, kind="inbox") for _ in range(100))
    make.changes.delete(gone, actor=make.ACTOR)

    broken = found("broken")

    assert broken["lost"] == "forward to jo hn@a.example: 550 5.1.1 No such address here"
    assert set(broken) == {"lost", '"w de"'}


@pytest.mark.parametrize("state", [Domain.State.PENDING, Domain.State.RELEASED])
def test_a_claim_that_is_not_verified_breaks_nobody_s_forwards(world: World, state: str) -> None:
    make.make_alias(world.domain, "away", to_forward("jo@elsewhere.example"))
    make.make_domain(world.b, "elsewhere.example", state=state)
    assert found("broken") == {}


def test_an_alias_without_a_target_is_found_while_it_is_in_use(world: World) -> None:
    for name in ("x", "y"):
        make.make_alias(world.domain, name).targets.all().delete()
    Alias.objects.filter(local_part="y").update(enabled=False)
    assert found("broken") == {"x": "has no target"}


def test_addresses_that_lead_to_too_many_places_are_found(world: World) -> None:
    """By their own targets, and by what forwards add up to; those who forward there, too."""

    def widen(alias: Address, count: int) -> None:
        Target.objects.bulk_create(Target(address=alias, kind="inbox") for _ in range(count))

    widen(make.make_alias(world.domain, "wide"), 100)
    widen(make.make_alias(world.domain, "half"), 50)
    widen(make.make_alias(world.domain, "other"), 47)
    make.make_alias(world.domain, "fits", to_forward("half@a.example"), make.to_inbox())
    for name, first in (("sum", "half@a.example"), ("all", "wide@a.example")):
        make.make_alias(world.domain, name, to_forward(first), to_forward("other@a.example"))
    widen(Address.objects.get(local_part="sum"), 2)
    told = "451 4.2.4 Address leads to too many places, try again later"
    assert found("broken") == dict.fromkeys(
        ("wide", "sum", "all"), f"more than 100 destinations: {told}"
    )


def test_what_is_mended_is_forgotten_and_what_stands_keeps_its_time(forwards: World) -> None:
    found("broken")
    Address.objects.filter(local_part="off").update(enabled=True)
    concerns.look_over(now=NOW + DAY)
    [left] = Concern.objects.all()
    assert (left.address.local_part, left.since) == ("lost", NOW)


def test_owners_who_left_are_found(world: World) -> None:
    for name in ("member", "left", "closed"):
        user = make.make_user(name)
        make.make_membership(world.a, user, Membership.Role.EDITOR)
        make.make_alias(world.domain, name, owner=user)
    Membership.objects.filter(user__username="left").delete()
    make.make_alias(world.domain, "nobodys")
    closed = Address.objects.get(local_part="closed").owner
    type(closed).objects.filter(pk=closed.pk).update(is_active=False)
    assert found("left") == {
        "left": "left is no longer a member of the tenant",
        "closed": "closed can no longer sign in",
    }


@pytest.mark.parametrize("is_domains", [False, True])
def test_holders_who_left_are_found_by_their_mailboxes(world: World, is_domains: bool) -> None:
    """The role address's own holder, or its domain's."""

    def held(name: str, address: str, **fields: Any) -> None:
        box = make.make_mailbox(world.a, address, **fields)
        domain = make.make_domain(world.a, default_role_holder=box) if is_domains else world.domain
        make.make_role(domain, name, holder=None if is_domains else box)

    users = {name: make.make_user(name) for name in ("closed", "left", "member", "staff", "back")}
    for name in ("left", "member", "back"):
        make.make_membership(world.a, users[name], Membership.Role.EDITOR)
    Membership.objects.filter(user__in=[users["left"], users["back"]]).delete()
    make.make_membership(world.a, users["back"], Membership.Role.EDITOR)
    type(users["closed"]).objects.filter(username="closed").update(is_active=False)

    held("sales", "Closed@users.example")
    held("support", "left@users.example")
    held("info", "member@users.example")
    held("noc", "staff@users.example")
    held("news", "back@users.example")

    assert found("holder") == {
        "sales": "closed@users.example: closed can no longer sign in",
        "support": "left@users.example: left is no longer a member of the tenant",
    }


# --- in the list


def listed(client: Client, **query: str) -> list[str]:
    rows: Any = client.get(url_of(Alias, "changelist"), query).context_data["cl"].result_list
    return [row.local_part for row in rows]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"used": "idle"}, ["old-silent", "old"]),
        ({"used": "never"}, ["new-silent", "old-silent"]),
        ({"used": "week"}, ["busy"]),
        ({"concern": "broken"}, ["busy"]),
        ({"concern": "left"}, []),
    ],
)
def test_the_list_is_narrowed_by_what_was_noted(
    client: Client, world: World, query: dict[str, str], names: list[str]
) -> None:
    made = {
        name: make.make_alias(world.domain, name)
        for name in ("busy", "new-silent", "old", "old-silent")
    }
    Address.objects.filter(local_part__startswith="old").update(created_at=NOW - 200 * DAY)
    record(made["old"], NOW - 100 * DAY)
    record(made["busy"], NOW - DAY)
    made["busy"].targets.all().delete()
    stamp()
    concerns.look_over(now=NOW)
    assert listed(client, **query) == names


def test_the_list_shows_what_is_wrong_and_when_mail_came_last(
    client: Client, forwards: World
) -> None:
    record(Address.objects.get(local_part="lost"), NOW - DAY)
    stamp()
    concerns.look_over(now=NOW)
    page = client.get(url_of(Alias, "changelist")).content.decode()
    assert "forward to gone@a.example: 550 5.1.1 No such address here" in page
    assert (NOW - DAY).strftime("%Y-%m-%d") in page
    assert "never" in page
