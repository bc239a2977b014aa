"""Moving in: a dump goes in, and shadow mode finds nothing but what was planted."""

import io
from typing import Any

import pytest

from gateway.routing.facts import LookupFailed
from mailrouting.staff import establish_roles, give_role
from tenants import jobs
from tenants.changes import Actor
from tenants.jobs import sending, shadowing
from tenants.models import Alias, Domain, Job, SendAsIdentity, Source, Target
from tenants.moving_in.inventory import Inventory
from tenants.moving_in.keeping import inventory_of, keep
from tenants.moving_in.postfix import StoredRules
from tenants.moving_in.reading import read_dump, read_maps
from tenants.moving_in.recipients import controls, counted, named_by
from tenants.moving_in.shadow import differences
from tenants.roles import Role
from tests.tenants.moving_in import installations
from tests.world import ACTOR, World, make_alias, make_hop, save

DUMPS = {
    "postfixadmin": installations.postfixadmin,
    "mailcow": installations.mailcow,
    "modoboa": installations.modoboa,
}


def read(product: str) -> Inventory:
    if product == "maps":
        files = {name: io.BytesIO(text.encode()) for name, text in installations.MAPS.items()}
        return read_maps(files)
    return read_dump(product, io.BytesIO(DUMPS[product]().encode()))


def make_source(world: World, product: str) -> Source:
    hop = world.a.next_hops.first() or make_hop(
        world.a, name="old store", host="store.old.example", port=24
    )
    return keep(
        read(product),
        tenant=world.a,
        next_hop=hop,
        product=product,
        name=f"{product}.sql",
        domains=[],
        actor=ACTOR,
    )


def move_in(source: Source) -> Job:
    job = jobs.check(shadowing.draft_plan(source, actor=ACTOR))
    return jobs.apply(job)


def verify(tenant: Any) -> None:
    for domain in Domain.objects.filter(tenant=tenant, state=Domain.State.PENDING):
        domain.state = Domain.State.ACTIVE
        save(domain)


def shadow(source: Source, *more: str) -> dict[str, str]:
    """The kind of each difference, by address, of what the source names, controls and others."""
    inventory = inventory_of(source)
    recipients = counted({*named_by(inventory), *controls(inventory), *more})
    job = jobs.apply(shadowing.draft_shadow(source, recipients, actor=ACTOR))
    assert job.state == Job.State.DONE
    assert job.handled == len(recipients)
    return {item.label: item.payload["kind"] for item in job.items.filter(outcome="refused")}


# What each source holds that cannot be the same here, and shows.
EXPECTED = {
    "postfixadmin": {},
    "mailcow": {},
    "modoboa": {
        "nag@python.example": "bounces there",
        "nobody-has-this-address-4711@python.example": "bounces there",
        "nobody-has-this-address-4711@passed.example": "refused here",
    },
    "maps": {"nobody-has-this-address-4711@plain.example": "refused here"},
}


# What is changed here after moving in: an alias that goes elsewhere, one switched off, a new one.
PLANTED = {
    "postfixadmin": ("mixed.case@old.example", "o'brien@old.example", "new@old.example"),
    "mailcow": ("typo@cow.example", "t1@cow.example", "new@cow.example"),
}
FOUND = {
    "postfixadmin": {
        "mixed.case@old.example": "delivered elsewhere",
        "mixed.case+detail@old.example": "delivered elsewhere",
        "mixed.case@also.example": "delivered elsewhere",
        "o'brien@old.example": "refused here",
        "o'brien+detail@old.example": "refused here",
        "o'brien@also.example": "refused here",
        "new@old.example": "accepted here",
    },
    "mailcow": {
        "typo@cow.example": "delivered elsewhere",
        "typo+detail@cow.example": "delivered elsewhere",
        "t1@cow.example": "refused here",
        "t1+detail@cow.example": "refused here",
        "new@cow.example": "accepted here",
    },
}


@pytest.mark.parametrize("product", EXPECTED)
def test_a_source_moves_in_and_shadow_mode_finds_only_what_was_planted(
    world: World, product: str
) -> None:
    source = make_source(world, product)

    before = shadow(source)
    job = move_in(source)
    verify(world.a)
    after = shadow(source)

    refused = list(job.items.filter(outcome="refused").values_list("label", "note"))
    assert job.state == Job.State.DONE, job.result
    assert set(before.values()) == {"domain not verified"}
    assert after == EXPECTED[product], refused
    if product in PLANTED:
        plant(*PLANTED[product])
        assert shadow(source, *PLANTED[product]) == FOUND[product]


def plant(elsewhere: str, switched_off: str, new: str) -> None:
    target = Target.objects.filter(address__key=elsewhere).first()
    target.forward_to = "somebody@other.example"
    save(target)
    alias = Alias.objects.get(key=switched_off)
    alias.enabled = False
    save(alias)
    make_alias(alias.domain, new.partition("@")[0])


def test_the_same_source_again_changes_nothing(world: World) -> None:
    source = make_source(world, "modoboa")
    move_in(source)

    again = jobs.check(shadowing.draft_plan(source, actor=ACTOR))

    assert (again.changed, again.unchanged) == (0, 12)


def test_what_may_be_sent_as_moves_in_once_the_domain_is_verified(world: World) -> None:
    source = make_source(world, "modoboa")
    move_in(source)
    early = jobs.apply(sending.draft_send_as(source, actor=ACTOR))
    verify(world.a)
    establish_roles()
    give_role(world.owner, Role.OPERATOR, actor=ACTOR)
    owner = Actor(surface="admin", user=world.owner)
    late = jobs.apply(sending.draft_send_as(source, actor=owner))

    assert (early.refused, late.changed) == (1, 1)
    [identity] = SendAsIdentity.objects.all()
    assert (identity.key, identity.state) == ("snakes@boa.example", "verified")
    assert identity.granted_by is None  # a grant keeps the account of whoever gave it
    assert jobs.apply(sending.draft_send_as(source, actor=owner)).unchanged == 1


def test_what_does_not_route_to_the_mailbox_is_granted_by_the_owner_who_asks(world: World) -> None:
    source = make_source(world, "modoboa")
    move_in(source)
    verify(world.a)
    [allowed] = inventory_of(source).send_as
    Target.objects.filter(address__key=allowed.address).update(
        kind="inbox", mailbox=None, forward_to="", forward_key=""
    )
    establish_roles()
    give_role(world.owner, Role.OPERATOR, actor=ACTOR)
    asking = [ACTOR, Actor(surface="admin", user=world.owner)]
    made = [jobs.apply(sending.draft_send_as(source, actor=actor)).changed for actor in asking]

    assert made == [0, 1]
    assert SendAsIdentity.objects.get().granted_by == world.owner


def test_an_address_in_quotes_is_compared(world: World) -> None:
    source = make_source(world, "modoboa")
    rules = StoredRules(inventory_of(source), now=installations.NOW)
    assert differences(["kaa snake@boa.example"], rules) == {}


def test_a_broken_look_up_is_no_difference(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_recipients: object) -> None:
        raise LookupFailed("the directory did not answer")

    source = make_source(world, "modoboa")
    monkeypatch.setattr("tenants.moving_in.shadow.read_facts", fail)
    rules = StoredRules(inventory_of(source), now=installations.NOW)
    with pytest.raises(LookupFailed):
        differences(["kaa@boa.example"], rules)
