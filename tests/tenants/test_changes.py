"""The write path: who changed what is recorded whatever way it went, and stays in sight."""

from threading import Barrier, Thread

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.db.models import ProtectedError
from pghistory.models import Context

from tenants import changes, models
from tenants.changes import Actor
from tenants.models import Address, Alias, Domain, Mailbox, Target, Tenant
from tenants.roles import Role
from tests.world import (
    ACTOR,
    World,
    as_user,
    make_alias,
    make_domain,
    make_mailbox,
    make_plan,
    make_tenant,
    make_world,
    save,
    to_forward,
    to_mailbox,
)

ANN = Actor.system("ann", surface="admin")


def events_of(row):
    """The events of a row, oldest first."""
    model = Address if isinstance(row, Address) else type(row)
    events = model.pgh_event_model.objects.filter(pgh_obj_id=row.pk)
    return list(events.order_by("pgh_id"))


def last_context(row) -> dict:
    return events_of(row)[-1].pgh_context.metadata


# --- attribution -----------------------------------------------------------


def test_a_save_is_recorded_with_actor_surface_and_reason(world):
    actor = Actor(surface="portal", user=world.owner, request_id="r-1", client="192.0.2.1")
    alias = make_alias(world.domain, "x")
    alias.note = "changed"

    changes.save(alias, actor=actor, reason="asked by phone")

    about = last_context(alias)
    assert (about["actor"], about["user"]) == ("ann", world.owner.pk)
    assert (about["surface"], about["reason"]) == ("portal", "asked by phone")
    assert (about["request_id"], about["client"]) == ("r-1", "192.0.2.1")


def test_an_insert_an_update_and_a_delete_each_leave_an_event(world):
    alias = make_alias(world.domain, "x")
    alias.note = "changed"
    save(alias)
    key = alias.pk
    changes.delete(alias, actor=ACTOR)
    alias.pk = key

    events = events_of(alias)
    assert [event.pgh_label for event in events] == ["insert", "update", "delete"]
    assert [event.note for event in events] == ["", "changed", "changed"]


def test_a_bulk_update_is_recorded_row_by_row(world):
    aliases = [make_alias(world.domain, name) for name in "xyz"]

    count = changes.update(Alias.objects.all(), actor=ANN, reason="tidy", enabled=False)

    assert count == 3
    for alias in aliases:
        assert not events_of(alias)[-1].enabled
        assert last_context(alias)["reason"] == "tidy"


def test_raw_sql_is_recorded(world):
    alias = make_alias(world.domain, "x")

    with changes.attributed(ANN, reason="repair"), connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_address SET note = 'raw' WHERE id = %s", [alias.pk])

    assert events_of(alias)[-1].note == "raw"
    assert last_context(alias)["actor"] == "ann"


@pytest.mark.django_db(transaction=True)
def test_raw_sql_outside_of_the_write_path_is_recorded_without_an_actor():
    alias = make_alias(make_world().domain, "x")

    with connection.cursor() as cursor:
        cursor.execute("UPDATE tenants_address SET note = 'raw' WHERE id = %s", [alias.pk])

    assert events_of(alias)[-1].note == "raw"
    assert events_of(alias)[-1].pgh_context is None


@pytest.mark.django_db(transaction=True)
def test_copy_as_the_first_statement_is_attributed():
    world = make_world()
    columns = ("kind", "domain_id", "local_part", "key", "enabled", "purpose", "note")
    more = ("allowed_senders", "accepts_forwards_from", "created_at")
    row = ("alias", world.domain.pk, "x", "x@a.example", True, "", "", [], [], "2026-01-01")

    with changes.attributed(ANN, reason="import"), connection.cursor() as cursor:
        sql = f"COPY tenants_address ({', '.join(columns + more)}) FROM STDIN"
        with cursor.cursor.copy(sql) as copy:
            copy.write_row(row)

    assert last_context(Address.objects.get())["reason"] == "import"


def test_an_inner_change_keeps_the_outer_reason_unless_it_has_one(world):
    with changes.attributed(ANN, reason="outer"):
        alias = make_alias(world.domain, "x")

    assert last_context(alias)["reason"] == "outer"


def test_a_refused_change_leaves_no_trace(world):
    before = Context.objects.count(), Address.objects.count()

    with pytest.raises(ValidationError):
        make_alias(world.domain, "x", Target(kind="forward", forward_to="nobody@a.example"))

    assert (Context.objects.count(), Address.objects.count()) == before


@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET note = 'forged'"])
def test_history_cannot_be_rewritten(world, statement):
    alias = make_alias(world.domain, "x")

    with (
        pytest.raises(DatabaseError, match="append_only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format("tenants_addressevent"))

    assert len(events_of(alias)) == 1


def test_history_cannot_be_emptied_through_the_model(world):
    make_alias(world.domain, "x")

    with pytest.raises(DatabaseError), transaction.atomic():
        Address.pgh_event_model.objects.all().delete()


def test_every_model_that_operators_edit_has_a_history():
    # What is a kind of address, and what records work instead of being edited.
    exempt = {"Alias", "RoleAddress", "Job", "JobItem", "Export"}
    for name in set(models.__all__) - exempt:
        events = getattr(models, name).pgh_event_model
        triggers = {trigger.name for trigger in getattr(models, name)._meta.triggers}

        assert triggers == {"insert_insert", "update_update", "delete_delete"}
        assert "append_only" in {trigger.name for trigger in events._meta.triggers}


# --- validation in the write path -------------------------------------------


def test_save_validates_what_a_form_left_out(world):
    alias = make_alias(world.domain, "x")
    alias.rate_per_hour = -1

    with pytest.raises(ValidationError) as refused:
        save(alias)
    assert "rate_per_hour" in refused.value.message_dict


def test_a_parent_and_its_child_are_saved_in_one_go(world):
    alias = Alias(domain=world.domain, local_part="x")
    target = Target(address=alias, kind="inbox")

    changes.save_all([alias, target], actor=ACTOR)

    assert target.address_id == alias.pk


def test_save_all_saves_all_or_none(world):
    good = Alias(domain=world.domain, local_part="x")
    bad = Alias(domain=world.domain, local_part="a b")

    with pytest.raises(ValidationError):
        changes.save_all([good, bad], actor=ACTOR)

    assert not Address.objects.exists()


def test_a_row_that_is_needed_is_not_deleted(world):
    box = make_mailbox(world.a)
    make_alias(world.domain, "x", to_mailbox(box))

    with pytest.raises(ProtectedError):
        changes.delete(box, actor=ACTOR)


def test_what_only_the_database_notices_is_told_at_the_same_field(world, monkeypatch):
    """As if another transaction had committed the same row after validation."""
    make_alias(world.domain, "x")
    monkeypatch.setattr(Alias, "validate_constraints", lambda self, exclude=None: None)

    with pytest.raises(ValidationError) as refused:
        make_alias(world.domain, "x")

    sentence = "This address exists already on the domain."
    assert refused.value.message_dict == {"local_part": [sentence]}


def test_a_unique_field_is_told_at_its_field_too(world, monkeypatch):
    monkeypatch.setattr(Tenant, "validate_unique", lambda self, exclude=None: None)

    with pytest.raises(ValidationError) as refused:
        make_tenant("again", external_id=world.a.external_id)
    assert list(refused.value.message_dict) == ["external_id"]


# --- who may see and change what --------------------------------------------


def rows_of_a(world: World) -> list:
    alias = make_alias(world.domain, "x")
    mailbox = make_mailbox(world.a)
    return [world.a, world.domain, alias, alias.targets.get(), mailbox, mailbox.next_hop]


def test_members_see_their_tenant_s_rows_and_nobody_else_s(world):
    for row in rows_of_a(world):
        rows = type(row)._default_manager.filter(pk=row.pk)

        assert rows.visible_to(world.owner).count() == 1, row
        assert rows.visible_to(world.member).count() == 1, row
        assert rows.visible_to(world.outsider).count() == 0, row


def test_staff_see_what_their_role_views_and_nobody_sees_anything_unless_signed_in(world):
    from django.contrib.auth.models import AnonymousUser

    from tests.staff import make_member_of_staff, make_staff

    auditor = make_member_of_staff(Role.AUDITOR)
    nobody = make_staff("nobody", is_superuser=False)
    for row in rows_of_a(world):
        rows = type(row)._default_manager.filter(pk=row.pk)

        assert rows.visible_to(auditor).exists()
        assert not rows.visible_to(nobody).exists()
        assert not rows.visible_to(AnonymousUser()).exists()


def test_a_user_who_was_switched_off_sees_nothing(world):
    world.owner.is_active = False

    assert not Domain.objects.visible_to(world.owner).exists()
    assert not Target.objects.visible_to(world.owner).exists()


def test_an_outsider_can_neither_change_nor_delete_a_row(world):
    eve = as_user(world.outsider)
    for row in rows_of_a(world):
        with pytest.raises(PermissionDenied):
            changes.save(row, actor=eve)
        with pytest.raises(PermissionDenied):
            changes.delete(row, actor=eve)

        assert type(row)._base_manager.filter(pk=row.pk).exists()


def test_an_outsider_can_update_nothing_in_bulk(world):
    alias = make_alias(world.domain, "x")
    make_alias(world.other_domain, "y")

    with pytest.raises(PermissionDenied):
        changes.update(Alias.objects.all(), actor=as_user(world.outsider), enabled=False)

    alias.refresh_from_db()
    assert alias.enabled


def test_nobody_moves_a_row_into_another_tenant(world):
    eve = as_user(world.outsider)
    new = Mailbox(tenant=world.a, address="m@s.example", next_hop=make_mailbox(world.a).next_hop)

    with pytest.raises(PermissionDenied):
        changes.save(new, actor=eve)
    with pytest.raises(PermissionDenied):
        changes.update(Domain.objects.filter(pk=world.other_domain.pk), actor=eve, tenant=world.a)

    assert Domain.objects.get(name="b.example").tenant == world.b


def test_a_member_may_change_what_stays_in_sight(world):
    alias = make_alias(world.domain, "x")
    alias.note = "by ann"

    changes.save(alias, actor=as_user(world.owner))
    changes.update(Alias.objects.all(), actor=as_user(world.owner), enabled=False)

    assert last_context(alias)["actor"] == "ann"


# --- two at once -----------------------------------------------------------


def at_once(*edits) -> list:
    """Run these in threads that start together; what each returned or raised, in order."""
    outcomes = [None] * len(edits)
    start = Barrier(len(edits))

    def run(place):
        try:
            start.wait(10)
            outcomes[place] = edits[place]()
        except Exception as error:  # noqa: BLE001 - what a thread raised is what is looked at
            outcomes[place] = error
        finally:
            connections.close_all()

    threads = [Thread(target=run, args=(place,)) for place in range(len(edits))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return outcomes


def refusals(outcomes) -> list[dict]:
    assert all(not isinstance(o, Exception) or isinstance(o, ValidationError) for o in outcomes), (
        outcomes
    )
    return [o.message_dict for o in outcomes if isinstance(o, ValidationError)]


@pytest.mark.django_db(transaction=True)
def test_of_two_who_make_the_same_address_one_is_refused():
    world = make_world()
    domain = Domain.objects.get(pk=world.domain.pk)

    outcomes = at_once(*[lambda: save(Alias(domain=domain, local_part="x"))] * 2)

    sentence = "This address exists already on the domain."
    assert refusals(outcomes) == [{"local_part": [sentence]}]
    assert Address.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_forwards_that_would_make_a_circle_one_is_refused():
    world = make_world()
    x, y = make_alias(world.domain, "x"), make_alias(world.domain, "y")

    def forward(origin, to):
        target = to_forward(to.key)
        target.address = origin
        return save(target)

    outcomes = at_once(lambda: forward(x, y), lambda: forward(y, x))

    (refused,) = refusals(outcomes)
    assert refused["forward_to"][0].endswith("this is a loop.")
    assert Target.objects.filter(kind="forward").count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_tenants_who_prove_the_same_domain_one_is_refused():
    world = make_world()
    claims = [
        make_domain(tenant, "n.example", state=Domain.State.PENDING)
        for tenant in (world.a, world.b)
    ]

    def verify(claim):
        claim.state = Domain.State.ACTIVE
        return save(claim)

    outcomes = at_once(lambda: verify(claims[0]), lambda: verify(claims[1]))

    sentence = "Another claim of this domain is verified already."
    assert refusals(outcomes) == [{"name": [sentence]}]


@pytest.mark.django_db(transaction=True)
def test_two_at_once_never_exceed_a_limit():
    domain = make_domain(make_tenant(plan=make_plan(max_addresses=1)))

    outcomes = at_once(
        *[lambda n=n: save(Alias(domain=domain, local_part=f"x{n}")) for n in range(4)]
    )

    assert len(refusals(outcomes)) == 3
    assert Address.objects.count() == 1


def delete_alias(alias):
    changes.delete(alias, actor=ACTOR)


def switch_off(alias):
    changes.update(Alias.objects.filter(pk=alias.pk), actor=ACTOR, enabled=False)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("edit", [delete_alias, switch_off])
def test_an_edit_waits_for_another_of_the_same_tenant(edit):
    """Whoever checks a rule over several rows must not see one go before he has written."""
    world = make_world()
    mine, foreign = make_alias(world.domain, "x"), make_alias(world.other_domain, "y")

    def blocked(alias):
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
            edit(alias)

    with transaction.atomic():
        changes.lock(world.domain)
        (waiting,) = at_once(lambda: blocked(mine))
        (free,) = at_once(lambda: blocked(foreign))

    assert isinstance(waiting, OperationalError)
    assert free is None
