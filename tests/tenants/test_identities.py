"""Identities follow mail: they rest on the same route, and fall back when an edit takes it away."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from tenants import changes, jobs, services, tasks
from tenants.identities import LOST
from tenants.models import Address, Alias, Domain, Mailbox, SendAsIdentity, SubaddressRule
from tests import world as make
from tests.tenants.events import last_context
from tests.world import ACTOR, World, to_forward, to_inbox, to_mailbox

State, Action = SendAsIdentity.State, SubaddressRule.Action
NO_RIGHT = (
    "A mailbox may send as an address that delivers to it, or as one on a verified domain of its "
    "tenant when an owner grants it."
)


@pytest.fixture
def box(world: World) -> Mailbox:
    return make.make_mailbox(world.a)


def identity(box: Mailbox, address: str, **fields: Any) -> SendAsIdentity:
    row = SendAsIdentity(mailbox=box, address=address, state=State.VERIFIED, **fields)
    return make.save(row)


# --- what mail arrives at, a mailbox may send as


def a_target(world, box):
    make.make_alias(world.domain, "x", to_inbox(), to_mailbox(box))


def a_forward(world, box):
    make.make_alias(world.domain, "end", to_mailbox(box))
    make.make_alias(world.domain, "x", to_forward("end@a.example"))


def a_rule(world, box):
    base = make.make_alias(world.domain, "x")
    make.make_rule(base, "v", Action.RETARGET, to_mailbox(box))


def a_holder(world, box):
    make.make_role(world.domain, "sales", holder=box)


def the_domain_s_holder(world, box):
    world.domain.default_role_holder = box
    make.save(world.domain)


ROUTES = [
    (a_target, "X@a.example"),
    (a_target, "x+any@a.example"),
    (a_forward, "x@a.example"),
    (a_rule, "x+v@a.example"),
    (a_holder, "sales@a.example"),
    (the_domain_s_holder, "postmaster@a.example"),
]


@pytest.mark.parametrize(("route", "address"), ROUTES)
def test_a_mailbox_may_send_as_what_arrives_at_it(world, box, route, address):
    route(world, box)

    assert identity(box, address).pk


def switched_off(world, box):
    make.make_alias(world.domain, "x", to_mailbox(box), enabled=False)


def over(world, box):
    make.make_alias(world.domain, "x", to_mailbox(box), expires_at=timezone.now())


def a_rule_leads_elsewhere(world, box):
    base = make.make_alias(world.domain, "x", to_mailbox(box))
    make.make_rule(base, "v", Action.RETARGET, to_inbox())


def another_s_mailbox(world, box):
    make.make_alias(world.domain, "x", to_mailbox(make.make_mailbox(world.a)))


@pytest.mark.parametrize(
    ("route", "address"),
    [
        (switched_off, "x@a.example"),
        (over, "x@a.example"),
        (a_rule_leads_elsewhere, "x+v@a.example"),
        (another_s_mailbox, "x@a.example"),
        (a_target, "nobody@a.example"),
    ],
)
def test_a_mailbox_may_not_send_as_what_does_not_arrive(world, box, route, address):
    route(world, box)

    with pytest.raises(ValidationError) as refused:
        identity(box, address)

    assert refused.value.message_dict == {"address": [NO_RIGHT]}


def test_a_suspended_tenant_s_identities_stay(world, box):
    a_target(world, box)
    sends = identity(box, "x@a.example")

    services.suspend_tenant(world.a, actor=ACTOR, reason="unpaid")
    make.save(Address.objects.get())

    assert SendAsIdentity.objects.get(pk=sends.pk).state == State.VERIFIED


# --- what takes the route away


def retarget(world):
    target = Address.objects.get(local_part="end").targets.get()
    target.kind = "inbox"
    make.save(target)


def add_a_rule(world):
    make.make_rule(Address.objects.get(local_part="end"), "v", Action.REFUSE)


def disable(world):
    services.set_enabled(Address.objects.filter(local_part="end"), enabled=False, actor=ACTOR)


def expire(world):
    Address.objects.filter(local_part="end").update(expires_at=timezone.now())
    tasks.expire_addresses()


def delete(world):
    changes.delete(Address.objects.get(local_part="end"), actor=ACTOR)


def release(world):
    services.release_domain(Domain.objects.get(pk=world.domain.pk), actor=ACTOR)


def turn_subaddresses_off(world):
    world.domain.delimiters = ""
    make.save(world.domain)


ON_THE_WAY = ["end@a.example", "end+v@a.example", "x@a.example"]


@pytest.mark.parametrize(
    ("edit", "lost"),
    [
        (retarget, ON_THE_WAY),
        (disable, ON_THE_WAY),
        (expire, ON_THE_WAY),
        (delete, ON_THE_WAY),
        (release, [*ON_THE_WAY, "other@a.example"]),
        (add_a_rule, ["end+v@a.example"]),
        (turn_subaddresses_off, ["end+v@a.example"]),
    ],
)
def test_identities_fall_back_with_the_edit_that_takes_the_route_away(world, box, edit, lost):
    a_forward(world, box)
    other = make.make_alias(world.domain, "other", to_mailbox(box))
    for address in (*ON_THE_WAY, other.key):
        identity(box, address)

    edit(world)

    pending = SendAsIdentity.objects.filter(state=State.PENDING)
    assert sorted(pending.values_list("key", flat=True)) == sorted(lost)
    assert {row.doubt for row in pending} == {LOST}


def test_the_history_says_which_edit_it_was(world, box):
    a_target(world, box)
    sends = identity(box, "x@a.example")

    changes.save(_elsewhere(), actor=ACTOR, reason="moved out")

    assert last_context(sends)["reason"] == "moved out"


def _elsewhere():
    target = Address.objects.get(local_part="x").targets.get(kind="mailbox")
    target.kind = "discard"
    return target


def test_a_grant_holds_without_the_route(world, box):
    a_target(world, box)
    sends = identity(box, "x@a.example", granted_by=world.owner)

    changes.save(_elsewhere(), actor=ACTOR)

    assert SendAsIdentity.objects.get(pk=sends.pk).state == State.VERIFIED


def test_what_several_edits_of_one_change_leave_counts(world, box):
    """A target that makes room for another one takes no route away."""
    a_target(world, box)
    sends = identity(box, "x@a.example")

    with changes.attributed(ACTOR):
        for target in Address.objects.get().targets.all():
            changes.delete(target, actor=ACTOR)
        make.save(Address.objects.get().targets.model(address=Address.objects.get(), mailbox=box))

    assert SendAsIdentity.objects.get(pk=sends.pk).state == State.VERIFIED


def test_an_identity_without_a_route_can_be_revoked_and_not_verified(world, box):
    a_target(world, box)
    sends = identity(box, "x@a.example")
    changes.save(_elsewhere(), actor=ACTOR)
    sends.refresh_from_db()
    sends.state = State.VERIFIED
    with pytest.raises(ValidationError):
        make.save(sends)
    sends.refresh_from_db()
    sends.state = State.REVOKED

    assert make.save(sends).doubt == ""


def test_a_bulk_edit_asks_once_for_all_its_rows(world, box, django_assert_max_num_queries):
    """Once for a chunk: as many queries as for one row, besides those of the rows."""
    for number in range(20):
        make.make_alias(world.domain, f"x{number}", to_mailbox(box))
        identity(box, f"x{number}@a.example")
    job = jobs.draft("addresses.disable", title="?", actor=ACTOR, permission="")
    jobs.list_rows(job, Alias.objects.all(), label="key")

    with django_assert_max_num_queries(60):
        jobs.apply(job)

    assert not SendAsIdentity.objects.filter(state=State.VERIFIED).exists()
