"""Bulk edits and their undo: what each kind changes, refuses and leaves alone, and takes back."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.db import connection
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tenants import changes, history, jobs, reverting
from tenants.changes import Actor
from tenants.models import (
    Address,
    Alias,
    Job,
    Mailbox,
    SubaddressRule,
    Target,
)
from tests import world as make
from tests.staff import make_staff
from tests.world import ACTOR, World, as_user, to_forward, to_inbox, to_mailbox

LATER = timezone.now() + timedelta(days=30)


def start(
    name: str, rows: Any, *, label: str = "key", actor: Any = ACTOR, **parameters: Any
) -> Job:
    job = jobs.draft(
        name, title=name, actor=actor, permission="tenants.change_alias", parameters=parameters
    )
    jobs.list_rows(job, rows, label=label)
    return jobs.apply(job)


def undo(job: Job) -> Job:
    return jobs.apply(jobs.undo(job, actor=ACTOR))


def state_of(address: Address) -> dict[str, Any]:
    """All that an edit could change, targets and rules included, but for ids and stamps."""
    address.refresh_from_db()
    of_targets = ("kind", "mailbox", "forward_to", "position")
    return {
        "enabled": address.enabled,
        "expires_at": address.expires_at,
        "expired_at": address.expired_at,
        "owner": address.owner_id,
        "holder": address.holder_id,
        "targets": list(address.targets.values_list(*of_targets)),
        "rules": list(address.rules.values_list("detail", "action")),
        "rule targets": list(Target.objects.filter(rule__address=address).values_list(*of_targets)),
    }


def with_permissions(*verbs: str) -> Actor:
    """A member of staff without a role, who views all of it and may do this to aliases."""
    user = make_staff("hand", is_superuser=False)
    wanted = Q(codename__startswith="view_") | Q(codename__in=[f"{verb}_alias" for verb in verbs])
    user.user_permissions.set(Permission.objects.filter(wanted))
    return as_user(user, "admin")


def notes(job: Job) -> list[str]:
    return list(job.items.values_list("note", flat=True))


@pytest.fixture
def boxes(world: World) -> tuple[Mailbox, Mailbox]:
    return make.make_mailbox(world.a, "old@store.example"), make.make_mailbox(world.a)


def cases(world: World, boxes: tuple[Mailbox, Mailbox]) -> dict[str, dict[str, Any]]:
    """Parameters of each kind about addresses, as the panel would send them."""
    old, new = boxes
    return {
        "addresses.disable": {},
        "addresses.expire": {"at": LATER.isoformat()},
        "addresses.extend": {"days": 7},
        "addresses.retarget": {"kind": "forward", "mailbox": None, "forward_to": "x@far.example"},
        "addresses.exchange": {"old": old.pk, "new": new.pk},
        "addresses.owner": {"value": world.member.pk},
    }


@pytest.mark.parametrize(
    "kind",
    [
        "addresses.disable",
        "addresses.expire",
        "addresses.extend",
        "addresses.retarget",
        "addresses.exchange",
        "addresses.owner",
    ],
)
def test_each_edit_is_foretold_made_and_taken_back(
    world: World, boxes: tuple[Mailbox, Mailbox], kind: str
) -> None:
    soon = timezone.now() + timedelta(hours=1)
    alias = make.make_alias(
        world.domain, "a", to_mailbox(boxes[0]), to_inbox(), expires_at=soon, owner=world.owner
    )
    make.make_rule(alias, "x", SubaddressRule.Action.RETARGET, to_mailbox(boxes[0]))
    before = state_of(alias)
    parameters = cases(world, boxes)[kind]
    job = jobs.draft(kind, title="?", actor=ACTOR, permission="", parameters=parameters)
    jobs.list_rows(job, Alias.objects.all(), label="key")

    jobs.check(job)
    assert (job.result["forecast"], state_of(alias)) == (
        {"changed": 1, "unchanged": 0, "refused": 0},
        before,
    )
    jobs.apply(job)
    assert state_of(alias) != before
    assert (job.changed, job.refused) == (1, 0)

    back = undo(job)
    assert (back.state, back.changed, notes(back)) == (Job.State.DONE, 1, [""])
    assert state_of(alias) == before


@pytest.mark.parametrize("kind", ["disable", "expire", "retarget", "exchange", "owner"])
def test_what_is_so_already_is_left_alone(
    world: World, boxes: tuple[Mailbox, Mailbox], kind: str
) -> None:
    make.make_alias(world.domain, "a", to_mailbox(boxes[0]))
    parameters = cases(world, boxes)[f"addresses.{kind}"]
    start(f"addresses.{kind}", Alias.objects.all(), **parameters)

    assert start(f"addresses.{kind}", Alias.objects.all(), **parameters).unchanged == 1


def test_a_forward_that_is_so_already_is_known_in_any_spelling(world: World) -> None:
    make.make_alias(world.domain, "a", to_forward("Sales@xn--bcher-kva.example"))

    job = start(
        "addresses.retarget", Alias.objects.all(), kind="forward", forward_to="Sales@BÜCHER.Example"
    )

    assert (job.changed, job.unchanged) == (0, 1)


def test_enabling_says_why_a_row_stays_off(world: World) -> None:
    past = timezone.now() - timedelta(hours=1)
    make.make_alias(world.domain, "fit", enabled=False)
    make.save(Alias(domain=world.domain, local_part="bare", enabled=False))
    make.make_alias(world.domain, "over", enabled=False, expires_at=past)
    make.make_alias(world.domain, "running")

    job = start("addresses.enable", Alias.objects.order_by("key"))

    told = {item.label.partition("@")[0]: (item.outcome, item.note) for item in job.items.all()}
    assert told["fit"] == ("changed", "")
    assert told["running"] == ("unchanged", "")
    assert told["bare"] == ("refused", "It has no target: add where its mail goes first.")
    assert told["over"] == ("refused", "Its time is over: give it a later expiry first.")


def test_a_later_expiry_revives_what_only_its_expiry_switched_off(world: World) -> None:
    past = timezone.now() - timedelta(hours=1)
    alias = make.make_alias(world.domain, "x", enabled=False, expires_at=past)
    Alias.objects.update(expired_at=past)

    job = start("addresses.extend", Alias.objects.all(), days=2)

    alias.refresh_from_db()
    assert alias.enabled
    assert alias.expires_at is not None
    assert alias.expires_at > timezone.now() + timedelta(days=1)
    undo(job)
    alias.refresh_from_db()
    assert (alias.enabled, alias.expires_at, alias.expired_at) == (False, past, past)


def test_a_mailbox_of_another_tenant_is_refused_with_the_rule_s_sentence(world: World) -> None:
    make.make_alias(world.domain, "x")
    foreign = make.make_mailbox(world.b)

    job = start("addresses.retarget", Alias.objects.all(), kind="mailbox", mailbox=foreign.pk)

    assert notes(job) == ["Mailbox: Choose a mailbox of the same tenant."]
    assert job.refused == 1


def test_an_expiry_beyond_the_calendar_refuses_its_row_alone(world: World) -> None:
    make.make_alias(world.domain, "a", expires_at=datetime(9999, 12, 31, tzinfo=UTC))
    make.make_alias(world.domain, "b", expires_at=LATER)

    job = start("addresses.extend", Alias.objects.order_by("key"), days=30)

    assert (job.changed, job.refused) == (1, 1)
    assert notes(job) == ["What it would become cannot be stored: date value out of range.", ""]


@pytest.mark.parametrize(
    ("kind", "parameters", "note"),
    [
        ("expire", {"at": LATER.isoformat()}, ""),
        (
            "move",
            {"old": "disable"},
            "Now x@new.example. It has no owner now, since ben is no member of the tenant.",
        ),
    ],
)
def test_an_address_whose_owner_left_is_edited_and_taken_back(
    world: World, kind: str, parameters: dict[str, Any], note: str
) -> None:
    alias = make.make_alias(world.domain, "x", owner=world.member)
    changes.delete(world.a.memberships.get(user=world.member), actor=ACTOR)
    domain = make.make_domain(world.a, "new.example")
    before = state_of(alias)

    job = start(f"addresses.{kind}", Alias.objects.all(), domain=domain.pk, **parameters)

    assert notes(job) == [note]
    assert notes(undo(job)) == [""]
    assert state_of(alias) == before


def test_an_owner_who_is_no_member_is_refused_with_field_and_mend(world: World) -> None:
    make.make_alias(world.domain, "x")

    job = start("addresses.owner", Alias.objects.all(), value=world.outsider.pk)

    sentence = "The owner has to be a member of the tenant: make them one, or choose another."
    assert notes(job) == [f"Owner: {sentence}"]


def test_rows_that_whoever_asks_may_not_see_are_refused(world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    for kind, parameters in (("disable", {}), ("expire", {"at": LATER.isoformat()})):
        job = start(
            f"addresses.{kind}", Alias.objects.all(), actor=as_user(world.outsider), **parameters
        )
        assert job.refused == 1, kind
    alias.refresh_from_db()
    assert (alias.enabled, alias.expires_at) == (True, None)


@pytest.mark.parametrize("fate", ["keep", "disable", "forward", "delete"])
def test_addresses_move_to_another_domain_and_back(world: World, fate: str) -> None:
    box = make.make_mailbox(world.a)
    alias = make.make_alias(world.domain, "x", to_mailbox(box), to_inbox(), note="n")
    make.make_rule(alias, "spam", SubaddressRule.Action.RETARGET, to_inbox())
    domain = make.make_domain(world.a, "new.example")
    before = state_of(alias)

    job = start("addresses.move", Alias.objects.all(), domain=domain.pk, old=fate)

    assert notes(job) == ["Now x@new.example."]
    moved = Alias.objects.get(key="x@new.example")
    assert (moved.note, state_of(moved)) == ("n", before)
    left = Alias.objects.filter(pk=alias.pk).first()
    assert (left is None) is (fate == "delete")
    if left:
        assert left.enabled is (fate != "disable")
        is_forwarded = left.targets.filter(forward_to="x@new.example").exists()
        assert is_forwarded is (fate == "forward")

    back = undo(job)
    assert notes(back) == [""]
    assert state_of(Alias.objects.get()) == before


@pytest.mark.django_db(transaction=True)
def test_what_an_undo_itself_deletes_is_no_edit_since(world: World) -> None:
    """Committed for real: within one test's transaction all has one time."""
    alias = make.make_alias(world.domain, "x", to_inbox())
    make.make_rule(alias, "spam", SubaddressRule.Action.RETARGET, to_inbox())
    domain = make.make_domain(world.a, "new.example")
    before = state_of(alias)

    moved = start("addresses.move", Alias.objects.all(), domain=domain.pk, old="delete")
    back = undo(moved)
    again = undo(back)

    assert [notes(each) for each in (moved, back, again)] == [["Now x@new.example."], [""], [""]]
    made = Alias.objects.get(domain=domain)
    assert state_of(made) == before
    net = reverting.net_changes(history.sources_of(Alias, made.pk), last_edit_of(made))
    reverting.foresee(net)
    Target.objects.filter(address=made).update(position=7)
    for take_back in (reverting.foresee, partial(reverting.revert, actor=ACTOR)):
        with pytest.raises(ValidationError, match="was edited since, by outside the panel"):
            take_back(net)


def last_edit_of(alias: Alias) -> str:
    events: Any = Alias.pgh_event_model.objects
    return history.key_of(events.filter(pgh_obj_id=alias.pk).latest("pgh_id"))


def test_a_move_that_the_rules_forbid_moves_nothing(world: World) -> None:
    box = make.make_mailbox(world.a)
    make.make_alias(world.domain, "taken")
    make.make_alias(world.domain, "boxed", to_mailbox(box))
    make.make_alias(world.other_domain, "taken")
    rows = Alias.objects.filter(domain=world.domain).order_by("key")

    job = start("addresses.move", rows, domain=world.other_domain.pk, old="delete")

    assert notes(job) == [
        "Mailbox: Choose a mailbox of the same tenant.",
        "Local part: This address exists already on the domain.",
    ]
    assert rows.count() == 2


@pytest.mark.parametrize(
    ("held", "fate", "note"),
    [
        ("change", "keep", "You may not add aliases."),
        ("change add", "delete", "You may not delete aliases."),
        ("change add", "disable", "Now x@new.example."),
        ("change add delete", "delete", "Now x@new.example."),
    ],
)
def test_a_move_takes_what_adding_and_deleting_by_hand_take(
    world: World, held: str, fate: str, note: str
) -> None:
    make.make_alias(world.domain, "x")
    domain = make.make_domain(world.a, "new.example")
    actor = with_permissions(*held.split())

    job = start("addresses.move", Alias.objects.all(), actor=actor, domain=domain.pk, old=fate)

    assert notes(job) == [note]
    assert Alias.objects.filter(domain=domain).exists() is note.startswith("Now")


@pytest.mark.parametrize(
    ("held", "fate", "note"),
    [
        ("change", "keep", "You may not delete aliases."),
        ("change delete", "delete", "You may not add aliases."),
        ("change delete", "keep", ""),
    ],
)
def test_the_undo_of_a_move_takes_them_too(world: World, held: str, fate: str, note: str) -> None:
    make.make_alias(world.domain, "x")
    domain = make.make_domain(world.a, "new.example")
    job = start("addresses.move", Alias.objects.all(), domain=domain.pk, old=fate)

    back = jobs.apply(jobs.undo(job, actor=with_permissions(*held.split())))

    assert notes(back) == [note]
    assert Alias.objects.filter(domain=domain).exists() is bool(note)


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("addresses.retarget", {"kind": "inbox", "mailbox": None, "forward_to": ""}),
        ("addresses.exchange", {}),
        ("addresses.move", {"old": "forward"}),
    ],
)
def test_who_may_not_change_targets_by_hand_does_not_in_bulk(
    world: World, boxes: tuple[Mailbox, Mailbox], kind: str, parameters: dict[str, Any]
) -> None:
    alias = make.make_alias(world.domain, "x", to_mailbox(boxes[0]))
    domain = make.make_domain(world.a, "new.example")
    wanted = {"old": boxes[0].pk, "new": boxes[1].pk, "domain": domain.pk} | parameters
    before = state_of(alias)
    clerk = with_permissions("change", "add", "delete")

    refused = start(kind, Alias.objects.filter(pk=alias.pk), actor=clerk, **wanted)
    assert notes(refused) == ["You may not change targets."]
    assert state_of(alias) == before
    job = start(kind, Alias.objects.filter(pk=alias.pk), **wanted)
    assert job.changed == 1
    done = state_of(alias)
    back = jobs.apply(jobs.undo(job, actor=clerk))
    assert notes(back) == ["You may not change targets."]
    assert state_of(alias) == done


def test_undo_leaves_what_was_edited_since_and_says_by_whom(world: World) -> None:
    first, second = (make.make_alias(world.domain, name) for name in "ab")
    job = start("addresses.disable", Alias.objects.order_by("key"))
    second.refresh_from_db()
    second.note = "mine"
    changes.save(second, actor=as_user(world.owner), reason="later")

    back = undo(job)

    assert (back.changed, back.refused) == (1, 1)
    refused = back.items.get(outcome="refused")
    assert refused.note.startswith("alias b@a.example was edited since, by ann at 20")
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.enabled, second.enabled) == (True, False)


@pytest.mark.parametrize(("name", "most"), [("addresses.disable", 20), ("rows.delete", 40)])
def test_undo_asks_little_more_for_each_further_row(world: World, name: str, most: int) -> None:
    """With statements about savepoints and who it is; what edits did is read once for all rows."""
    asked = {}
    for count in (1, 4):
        rows = [make.make_alias(world.domain, f"{count}x{n}", to_inbox()).pk for n in range(count)]
        inverse = jobs.undo(start(name, Alias.objects.filter(pk__in=rows)), actor=ACTOR)
        with CaptureQueriesContext(connection) as queries:
            assert jobs.apply(inverse).changed == count
        asked[count] = len(queries)
    assert (asked[4] - asked[1]) / 3 <= most


def test_what_was_undone_can_be_done_again(world: World) -> None:
    alias = make.make_alias(world.domain, "a")
    back = undo(start("addresses.disable", Alias.objects.all()))
    undo(back)
    alias.refresh_from_db()
    assert not alias.enabled


def test_mailboxes_change_their_next_hop_and_domains_their_relay(world: World) -> None:
    box, hop = make.make_mailbox(world.a), make.make_hop(world.a)
    foreign = make.make_hop(world.b)

    start("mailboxes.hop", Mailbox.objects.all(), label="address", value=hop.pk)
    box.refresh_from_db()
    assert box.next_hop_id == hop.pk

    job = start("mailboxes.hop", Mailbox.objects.all(), label="address", value=foreign.pk)
    assert notes(job) == ["Next hop: Choose a next hop of the same tenant."]

    world.domain.smarthost = hop
    domains = type(world.domain).objects.filter(pk=world.domain.pk)
    start("domains.smarthost", domains, label="name", value=hop.pk)
    assert domains.get().smarthost_id == hop.pk


def test_a_role_address_gets_another_holder(world: World, boxes: tuple[Mailbox, Mailbox]) -> None:
    role = make.make_role(world.domain, "sales", holder=boxes[0])

    start("addresses.exchange", Address.objects.all(), old=boxes[0].pk, new=boxes[1].pk)

    role.refresh_from_db()
    assert role.holder_id == boxes[1].pk


def test_a_forward_that_would_come_back_is_refused(world: World) -> None:
    make.make_alias(world.domain, "a")
    make.make_alias(world.domain, "b", to_forward(f"a@{world.domain.name}"))
    rows = Alias.objects.filter(local_part="a")

    job = start("addresses.retarget", rows, kind="forward", forward_to=f"b@{world.domain.name}")

    assert job.refused == 1
    assert notes(job)[0]
