"""Whoever ends an address is told beforehand who forwards to it, whatever way it ends."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tenants import jobs, services
from tenants.forwards import forwarders
from tenants.imports.reading import Format, read
from tenants.jobs import importing
from tenants.models import Address, Alias, SubaddressRule
from tests import world as make
from tests.world import ACTOR, World, to_forward

RETARGET = SubaddressRule.Action.RETARGET


@pytest.fixture
def end(world: World) -> Alias:
    """What others forward to."""
    return make.make_alias(world.domain, "end")


def alias(world: World, name: str, to: str, **fields: Any) -> Alias:
    return make.make_alias(world.domain, name, to_forward(to), **fields)


def told(*addresses: Address) -> str:
    return "; ".join(str(each) for each in forwarders(addresses).values())


def test_forwards_are_told_by_name(world, end):
    for name in "dcba":
        alias(world, name, "End@a.example")

    assert told(end) == ("4 addresses forward here: a@a.example, b@a.example, c@a.example, 1 more")


def by_detail(world):
    alias(world, "a", "end+x@a.example")


def by_a_rule(world):
    base = make.make_alias(world.domain, "a")
    make.make_rule(base, "x", RETARGET, to_forward("end@a.example"))


def twice(world):
    make.make_alias(world.domain, "a", to_forward("end@a.example"), to_forward("end+x@a.example"))


@pytest.mark.parametrize("forward", [by_detail, by_a_rule, twice])
def test_an_address_that_forwards_is_told_once(world, end, forward):
    forward(world)

    assert told(end) == "1 address forwards here: a@a.example"


def nobody(world):
    """Not a word about these."""


def one_that_is_off(world):
    alias(world, "a", "end@a.example", enabled=False)


def one_that_is_over(world):
    alias(world, "a", "end@a.example", expires_at=timezone.now() - timedelta(days=1))


def an_address_of_its_own(world):
    make.make_alias(world.domain, "end+x")
    alias(world, "a", "end+x@a.example")


def itself(world):
    make.make_rule(Address.objects.get(), "x", RETARGET, to_forward("end+y@a.example"))


@pytest.mark.parametrize(
    "forward", [nobody, one_that_is_off, one_that_is_over, an_address_of_its_own, itself]
)
def test_nothing_is_told_where_nobody_loses_mail(world, end, forward):
    forward(world)

    assert told(end) == ""


def test_postmaster_never_ends(world):
    row = make.make_role(world.domain, "postmaster")
    alias(world, "a", "postmaster@a.example")

    assert told(row) == ""


def test_another_tenant_s_addresses_are_counted_and_not_named(world, end):
    end.accepts_forwards_from = ["b.example"]
    make.save(end)
    make.make_alias(world.other_domain, "x", to_forward("end@a.example"))

    assert told(end) == "1 address forwards here: 1 of other tenants"


def test_many_addresses_are_asked_in_few_queries(world, django_assert_max_num_queries):
    ends = [make.make_alias(world.domain, f"end{number}") for number in range(20)]
    for number in range(20):
        alias(world, f"a{number}", f"end{number}@a.example")

    with django_assert_max_num_queries(4):
        assert len(forwarders(ends)) == 20


# --- where it is told


SENTENCE = (
    "1 address forwards here: a@a.example. What they send here is refused {}; where they have no "
    "other target, so is all of their mail."
)


@pytest.mark.parametrize(
    ("fields", "when"),
    [
        ({"enabled": False}, "now"),
        ({"expires_at": timezone.now() - timedelta(days=1)}, "now"),
        (
            {"expires_at": timezone.now() + timedelta(days=1)},
            f"from {timezone.now() + timedelta(days=1):%Y-%m-%d %H:%M} UTC on",
        ),
    ],
    ids=["disabled", "expired", "expiring"],
)
def test_who_ends_an_address_is_told_after_the_save(world, end, fields, when):
    alias(world, "a", "end@a.example")
    for name, value in fields.items():
        setattr(end, name, value)
    make.save(end)

    assert services.warnings_for(end) == [SENTENCE.format(when)]


def test_the_pages_of_an_address_tell_it_beforehand(world, end, client):
    alias(world, "a", "end@a.example")
    question = reverse("admin:tenants_alias_delete", args=[end.pk])

    assert "1 address forwards here: a@a.example." in text_of(client, end.get_absolute_url())
    assert SENTENCE.format("from then on") in text_of(client, question)


def text_of(client: Client, url: str) -> str:
    return client.get(url).content.decode()


LATER = (timezone.now() + timedelta(days=30)).isoformat()


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [("addresses.disable", {}), ("addresses.expire", {"at": LATER}), ("rows.delete", {})],
)
def test_a_job_tells_it_before_it_is_started(world, end, client, kind, parameters):
    """Not of those that end with it."""
    alias(world, "a", "end@a.example")
    alias(world, "b", "a@a.example")
    job = jobs.draft(
        kind, title="?", actor=ACTOR, permission="tenants.change_alias", parameters=parameters
    )
    jobs.list_rows(job, Alias.objects.filter(local_part__in=["end", "b"]), label="key")

    job = jobs.check(job)

    found = {item.label: item.note for item in job.items.all()}
    assert found["end@a.example"].endswith(SENTENCE.format("from then on"))
    assert "forward" not in found["b@a.example"]
    page = text_of(client, job.get_absolute_url())
    assert "Others forward to 1 of these" in page
    both = jobs.draft(kind, title="?", actor=ACTOR, permission="", parameters=parameters)
    jobs.list_rows(both, Alias.objects.all(), label="key")
    assert not jobs.check(both).items.filter(payload__has_key="forwards_here").exists()


def test_an_import_tells_it_too(world, end):
    alias(world, "a", "end@a.example")
    rows = read(b"type,address,enabled\nalias,end@a.example,no\n", Format.CSV)

    job = jobs.check(importing.draft(rows, source="a file", actor=ACTOR, tenant=world.a))

    assert job.items.get().note == SENTENCE.format("from then on")
