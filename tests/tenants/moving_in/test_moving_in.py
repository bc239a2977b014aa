"""Moving in: a dump goes in, and shadow mode finds nothing but what was planted."""

import io
from typing import Any

import pytest

from tenants import jobs
from tenants.jobs import shadowing
from tenants.models import Domain, Job, Source
from tenants.moving_in.inventory import Inventory
from tenants.moving_in.keeping import inventory_of, keep
from tenants.moving_in.reading import read_dump, read_maps
from tenants.moving_in.recipients import controls, counted, named_by
from tests.tenants.moving_in import installations
from tests.world import ACTOR, World, make_hop, save

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
    hop = make_hop(world.a, name="old store", host="store.old.example", port=24)
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


def shadow(source: Source) -> dict[str, str]:
    """The kind of each difference, by address."""
    inventory = inventory_of(source)
    recipients = counted([*named_by(inventory), *controls(inventory)])
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
