"""The control plane's rules: each wrong edit is refused at its field, with its sentence."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils import timezone

from tenants import changes, models
from tenants.models import (
    Address,
    Alias,
    Domain,
    RoleAddress,
    SendAsIdentity,
    SubaddressRule,
    Target,
)
from tests.tenants.wrong_edits import WRONG_EDITS, WrongEdit
from tests.world import (
    ACTOR,
    make_alias,
    make_domain,
    make_hop,
    make_mailbox,
    make_plan,
    make_role,
    make_rule,
    make_tenant,
    save,
    to_forward,
    to_inbox,
    to_mailbox,
)

EARLIER = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("edit", WRONG_EDITS, ids=lambda edit: edit.name)
def test_a_wrong_edit_is_refused_at_its_field(world, edit: WrongEdit):
    row = edit.edits(world) if edit.edits else edit.model()
    for name, value in edit.values(world).items():
        setattr(row, name, value)

    with pytest.raises(ValidationError) as refused:
        changes.save(row, actor=ACTOR)

    assert refused.value.message_dict == {edit.field: [edit.sentence]}


@pytest.mark.parametrize(
    "model", [getattr(models, name) for name in models.__all__], ids=lambda model: model.__name__
)
def test_every_constraint_says_what_to_do_and_where(model):
    for constraint in model._meta.constraints:
        assert constraint.violation_error_message != constraint.default_violation_error_message
        assert model._meta.get_field(constraint.violation_error_code)


# Accounts are Django's own rows; what is ours of them is their history.
OURS = [getattr(models, name) for name in models.__all__ if not name.startswith("Account")]


@pytest.mark.parametrize("model", OURS)
def test_every_model_is_ordered_described_and_named(model):
    assert model._meta.ordering
    assert model.__doc__
    assert not model.__doc__.startswith(f"{model.__name__}(")
    assert model.__str__ is not Model.__str__
    assert hasattr(model, "get_absolute_url")


# --- normalised forms ------------------------------------------------------


def test_a_domain_is_stored_as_a_label_and_shown_as_people_read_it(world):
    domain = make_domain(world.a, "BÜCHER.example.")

    assert (domain.name, domain.u_label) == ("xn--bcher-kva.example", "bücher.example")
    assert str(domain) == "bücher.example"


def test_an_address_keeps_its_spelling_and_has_a_folded_key(world):
    alias = make_alias(world.domain, " Jürgen.Müller ")

    assert (alias.local_part, alias.key) == ("Jürgen.Müller", "jürgen.müller@a.example")


def test_a_quoted_local_part_is_one_address_however_it_is_typed(world):
    make_alias(world.domain, '"x"')

    with pytest.raises(ValidationError) as refused:
        make_alias(world.domain, "x")
    assert "local_part" in refused.value.message_dict


def test_senders_are_stored_once_and_normalised(world):
    senders = ["@B.example.", "Ann@b.example", "ann@b.example", "<>"]

    alias = make_alias(world.domain, "x", allowed_senders=senders)

    assert alias.allowed_senders == ["<>", "@b.example", "ann@b.example"]


def test_a_sender_with_a_quoted_local_part_is_stored_as_it_can_be_read_again(world):
    alias = make_alias(world.domain, "x", allowed_senders=['"A,b"@B.example', '"plain"@b.example'])
    save(alias)

    assert alias.allowed_senders == ['"a,b"@b.example', "plain@b.example"]


def test_fields_that_a_kind_of_target_does_not_use_are_emptied(world):
    target = Target(kind="inbox", mailbox=make_mailbox(world.a), forward_to="x@far.example")
    make_alias(world.domain, "x", target)

    assert (target.mailbox, target.forward_to, target.forward_key) == (None, "", "")


# --- limits ----------------------------------------------------------------


def test_a_limit_counts_and_a_tenant_s_own_overrides_the_plan_s(db):
    tenant = make_tenant(plan=make_plan(max_domains=1, max_addresses=1), max_addresses=2)
    domain = make_domain(tenant)
    make_alias(domain, "one")
    make_role(domain, "sales")

    with pytest.raises(ValidationError) as addresses:
        make_alias(domain, "three")
    with pytest.raises(ValidationError) as domains:
        make_domain(tenant)

    assert addresses.value.message_dict == {"domain": ["The tenant's plan allows 2 addresses."]}
    assert domains.value.message_dict == {"tenant": ["The tenant's plan allows 1 domains."]}


def test_what_was_released_no_longer_counts(db):
    tenant = make_tenant(plan=make_plan(max_domains=1, max_addresses=1))
    old = make_domain(tenant)
    make_alias(old, "x")
    old.state = Domain.State.RELEASED
    save(old)

    assert make_alias(make_domain(tenant), "x").pk


def test_a_row_at_its_limit_can_still_be_edited(db):
    domain = make_domain(make_tenant(plan=make_plan(max_domains=1, max_addresses=1)))
    alias = make_alias(domain, "x")
    alias.note = "edited"

    assert save(alias).note == "edited"
    assert save(domain)


# --- claims ----------------------------------------------------------------


def test_a_second_claim_neither_blocks_nor_takes(world):
    claim = make_domain(world.b, "a.example", state=Domain.State.PENDING)

    assert claim.token != world.domain.token
    assert Domain.objects.receiving().get(name="a.example") == world.domain


def test_a_domain_released_by_another_waits_thirty_days(world):
    world.domain.state = Domain.State.RELEASED
    save(world.domain)
    again = timezone.now() + timedelta(days=30)

    with pytest.raises(ValidationError) as refused:
        make_domain(world.b, "a.example")
    assert refused.value.message_dict == {
        "name": [
            (
                "a.example was given up lately by who had it; "
                f"it can be verified again from {again:%Y-%m-%d}."
            )
        ]
    }
    assert make_domain(world.a, "a.example").pk, "its former tenant may come back at once"


@pytest.mark.parametrize(
    ("state", "days_ago", "told"),
    [
        ("pending", 0, ""),
        ("active", 0, "release it first"),
        ("degraded", 90, "release it first"),
        ("released", 29, "It can be deleted from {:%Y-%m-%d}"),
        ("released", 31, ""),
    ],
)
def test_deleting_a_domain_does_not_cut_its_quarantine_short(world, state, days_ago, told):
    pending = state == "pending"
    domain = make_domain(world.a, "q.example", **({"state": state} if pending else {}))
    since = timezone.now() - timedelta(days=days_ago)
    Domain.objects.filter(pk=domain.pk).update(state=state, state_since=since)
    domain.refresh_from_db()

    try:
        changes.delete(domain, actor=ACTOR)
        said = ""
    except ValidationError as error:
        said = error.messages[0]
    assert bool(said) == bool(told)
    assert told.format(since + timedelta(days=30)) in said


@pytest.mark.parametrize("state", ["active", "degraded"])
def test_a_verified_domain_that_comes_back_is_proved_anew(world, state):
    """It may be somebody else's by now: nobody looked at its DNS since it was deleted."""
    back = make_domain(world.a, "q.example", state=state, verified_at=timezone.now())

    assert (back.state, back.verified_at) == ("pending", None)


@pytest.mark.parametrize("state", ["pending", "active", "released"])
def test_a_verified_domain_does_not_become_an_unverified_claim(world, state):
    """That could be deleted, or left to others, without the quarantine."""
    domain = world.domain
    if state == "released":
        domain.state = state
        save(domain)
    domain.state, domain.verified_at = state, None

    with pytest.raises(ValidationError, match="was verified: release it instead"):
        save(domain)


def test_a_released_domain_that_comes_back_begins_no_second_quarantine(world):
    moments = {name: timezone.now() - timedelta(days=40) for name in ("verified_at", "state_since")}
    make_domain(world.a, "q.example", state="released", **moments)

    assert make_domain(world.b, "q.example").is_receiving


def test_a_claim_that_was_never_verified_leaves_no_quarantine(world):
    claim = make_domain(world.a, "n.example", state=Domain.State.PENDING)
    claim.state = Domain.State.RELEASED
    save(claim)

    assert make_domain(world.b, "n.example").pk


def test_a_lapsed_domain_s_addresses_are_not_inherited(world):
    make_alias(world.domain, "x")
    world.domain.state = Domain.State.RELEASED
    save(world.domain)

    claim = make_domain(world.a, "a.example")

    assert not claim.addresses.exists()


def test_a_change_of_state_is_stamped(world):
    for row in (world.domain, world.a):
        type(row)._base_manager.filter(pk=row.pk).update(state_since=EARLIER)
        row.refresh_from_db()
    world.domain.state = Domain.State.DEGRADED
    world.a.state = "suspended"

    assert save(world.domain).state_since > EARLIER
    assert save(world.a).state_since > EARLIER


def test_an_edit_that_is_no_change_of_state_leaves_its_stamp(world):
    type(world.a)._base_manager.filter(pk=world.a.pk).update(state_since=EARLIER)
    world.a.refresh_from_db()
    world.a.name = "Renamed"

    assert save(world.a).state_since == EARLIER


# --- what the alias graph allows -------------------------------------------


def test_a_forward_may_leave_or_go_where_something_receives(world):
    make_alias(world.domain, "y")
    make_role(world.domain, "sales")
    places = ["x@far.example", "y+tag@a.example", "sales@a.example", "postmaster@a.example"]

    alias = make_alias(world.domain, "x", *map(to_forward, places))

    assert [target.forward_to for target in alias.targets.all()] == places


def test_a_forward_may_go_where_only_one_of_two_ways_is_dead(world):
    dead = make_alias(world.domain, "dead")
    make_alias(world.domain, "y", to_forward("dead@a.example"), to_inbox())
    dead.enabled = False
    save(dead)

    assert make_alias(world.domain, "x", to_forward("y@a.example")).pk


def test_a_rule_may_send_its_detail_back_to_the_address_itself(world):
    alias = make_alias(world.domain, "x")

    rule = make_rule(alias, "sales", SubaddressRule.Action.RETARGET, to_forward("x@a.example"))

    assert rule.targets.get().forward_key == "x@a.example"


def test_ten_forwards_in_a_row_are_allowed(world):
    make_alias(world.domain, "9")
    for number in range(8, -1, -1):
        make_alias(world.domain, str(number), to_forward(f"{number + 1}@a.example"))

    assert make_alias(world.domain, "x", to_forward("0@a.example")).pk


def test_another_tenant_s_address_takes_forwards_once_it_agrees(world):
    make_alias(world.other_domain, "y", accepts_forwards_from=["A.example"])

    assert make_alias(world.domain, "x", to_forward("y@b.example")).pk


def test_a_claim_that_is_not_verified_is_still_somewhere_else(world):
    make_domain(world.b, "c.example", state=Domain.State.PENDING)

    assert make_alias(world.domain, "x", to_forward("anyone@c.example")).pk


# --- expiry ----------------------------------------------------------------


def expired(world) -> Alias:
    now = timezone.now()
    alias = make_alias(world.domain, "x", expires_at=now - timedelta(hours=1))
    alias.enabled, alias.expired_at = False, now
    return save(alias)


@pytest.mark.parametrize("later", [timedelta(days=1), None], ids=["later", "never"])
def test_a_later_expiry_switches_an_expired_address_on_again(world, later):
    alias = expired(world)
    alias.expires_at = timezone.now() + later if later else None

    save(alias)

    assert (alias.enabled, alias.expired_at) == (True, None)


def test_another_edit_of_an_expired_address_leaves_it_off(world):
    alias = expired(world)
    alias.note = "edited"

    assert not save(alias).enabled


def test_a_later_expiry_does_not_switch_on_what_was_switched_off_by_hand(world):
    alias = make_alias(world.domain, "x", enabled=False)
    alias.expires_at = timezone.now() + timedelta(days=1)

    assert not save(alias).enabled


# --- kinds and identities --------------------------------------------------


def test_proxies_hold_their_own_kind(world):
    alias, role = make_alias(world.domain, "x"), make_role(world.domain, "sales")

    assert list(Alias.objects.values_list("key", flat=True)) == [alias.key]
    assert list(RoleAddress.objects.values_list("key", flat=True)) == [role.key]
    assert Address.objects.count() == 2


def test_a_mailbox_may_send_as_what_delivers_to_it(world):
    mailbox = make_mailbox(world.a)
    make_alias(world.domain, "x", to_mailbox(mailbox))
    make_role(world.domain, "sales", holder=mailbox)

    for address in ("X@a.example", "sales@a.example"):
        assert save(SendAsIdentity(mailbox=mailbox, address=address)).pk


def test_an_owner_may_grant_any_address_of_a_verified_domain(world):
    identity = SendAsIdentity(
        mailbox=make_mailbox(world.a), address="any@a.example", granted_by=world.owner
    )

    assert save(identity).pk


def test_a_hop_without_tenant_is_everyone_s(world):
    shared = make_hop()

    assert make_mailbox(world.a, hop=shared).pk
    assert make_mailbox(world.b, hop=shared).pk
