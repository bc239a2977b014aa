"""What somebody commits between another's reading and saving is never overwritten.

The order is forced: a row is read first, somebody else's edit comes next, and then it is saved.
"""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tenants import changes, services
from tenants.models import Alias, Domain, Target, Tenant
from tests.world import ACTOR, World, as_user, make_alias

ABUSE = "sends spam"


def anew(row: Any) -> Any:
    """The row as somebody else reads it."""
    return type(row)._base_manager.get(pk=row.pk)


def edit(row: Any, actor: changes.Actor = ACTOR, **values: Any) -> Any:
    """An edit of these fields, by somebody who read the row at this moment."""
    fresh = anew(row)
    for name, value in values.items():
        setattr(fresh, name, value)
    return changes.save(fresh, actor=actor)


def told(error: pytest.ExceptionInfo[ValidationError]) -> dict[str, list[str]]:
    return error.value.message_dict


def test_a_tenant_that_was_suspended_meanwhile_stays_so(world: World) -> None:
    mine = Tenant.objects.get(pk=world.a.pk)
    services.suspend_tenant(anew(mine), actor=ACTOR, reason=ABUSE, for_abuse=True)

    mine.name = "Renamed"
    changes.save(mine, actor=ACTOR)

    stored = anew(mine)
    assert (stored.name, stored.state) == ("Renamed", Tenant.State.SUSPENDED_FOR_ABUSE)
    assert stored.state_since > world.a.state_since
    assert mine.state == Tenant.State.SUSPENDED_FOR_ABUSE


def test_a_domain_that_was_verified_meanwhile_stays_so(world: World) -> None:
    claim = services.claim_domain(world.a, "n.example", actor=ACTOR)
    mine = anew(claim)
    edit(claim, state=Domain.State.ACTIVE)

    mine.delimiters = "-"
    changes.save(mine, actor=ACTOR)

    stored = anew(mine)
    assert (stored.delimiters, stored.state) == ("-", Domain.State.ACTIVE)
    assert stored.verified_at is not None


def test_the_same_field_is_refused_with_who_was_quicker(world: World) -> None:
    mine = make_alias(world.domain, "x", note="old")
    edit(mine, as_user(world.owner), note="hers")
    edit(mine, as_user(world.member), purpose="later")

    mine.note = "mine"
    with pytest.raises(ValidationError) as refused:
        changes.save(mine, actor=ACTOR)

    (sentence,) = told(refused)["note"]
    assert sentence.startswith("It was changed meanwhile, by ann at 20")
    assert list(told(refused)) == ["note"]
    assert anew(mine).note == "hers"


def test_it_is_refused_again_until_it_was_looked_at(world: World) -> None:
    mine = make_alias(world.domain, "x")
    edit(mine, note="hers")
    mine.note = "mine"
    for _ in range(2):
        with pytest.raises(ValidationError):
            changes.save(mine, actor=ACTOR)

    mine.refresh_from_db()
    mine.note = "mine"
    changes.save(mine, actor=ACTOR)

    assert anew(mine).note == "mine"


def test_what_follows_from_a_field_is_not_told_beside_it(world: World) -> None:
    mine = anew(world.a)
    services.close_tenant(world.a, actor=ACTOR, reason="left")

    with pytest.raises(ValidationError) as refused:
        services.suspend_tenant(mine, actor=ACTOR, reason=ABUSE)

    assert list(told(refused)) == ["state"]


def test_the_same_value_twice_is_no_clash(world: World) -> None:
    mine = make_alias(world.domain, "x")
    edit(mine, note="same")

    mine.note = "same"
    changes.save(mine, actor=ACTOR)


def test_a_list_that_is_changed_in_place_is_a_change(world: World) -> None:
    mine = make_alias(world.domain, "x", allowed_senders=["a@s.example"])

    mine.allowed_senders.append("b@s.example")
    changes.save(mine, actor=ACTOR)

    assert anew(mine).allowed_senders == ["a@s.example", "b@s.example"]


def test_fields_that_are_not_to_be_written_neither_clash_nor_change(world: World) -> None:
    mine = make_alias(world.domain, "x")
    edit(mine, note="hers")
    mine.note, mine.purpose = "mine", "new"

    changes.save(mine, actor=ACTOR, update_fields=["purpose"])

    assert (anew(mine).note, anew(mine).purpose) == ("hers", "new")


def test_a_row_that_was_deleted_meanwhile_does_not_come_back(world: World) -> None:
    mine = make_alias(world.domain, "x")
    changes.delete(anew(mine), actor=as_user(world.owner))

    mine.note = "mine"
    with pytest.raises(ValidationError) as refused:
        changes.save(mine, actor=ACTOR)

    assert refused.value.messages[0].startswith("It has been deleted meanwhile, by ann at 20")
    assert not Alias.objects.exists()


def test_rules_see_what_others_changed(world: World) -> None:
    """The key of a forward follows from where it goes by then."""
    mine = make_alias(world.domain, "x")
    target = Target.objects.get(address=mine)
    edit(target, kind="forward", forward_to="jo@far.example")

    target.position = 3
    changes.save(target, actor=ACTOR)

    stored = anew(target)
    assert (stored.kind, stored.forward_key, stored.position) == ("forward", "jo@far.example", 3)


def test_an_edit_that_changes_nothing_writes_nothing(world: World) -> None:
    mine = anew(make_alias(world.domain, "x"))

    with CaptureQueriesContext(connection) as seen:
        changes.save(mine, actor=ACTOR)

    assert not [query for query in seen if query["sql"].startswith("UPDATE")]
