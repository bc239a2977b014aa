"""The stamp of a row: who changed it last, when, through which surface; in one query."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from tenants import changes
from tenants.models import Alias, Domain, SubaddressRule
from tenants.stamps import last_changes
from tests import world as make
from tests.pages import url_of
from tests.world import World, as_user


def test_the_last_change_names_actor_surface_and_time(world: World, ops: User) -> None:
    alias = make.make_alias(world.domain, "x")
    alias.purpose = "news"
    changes.save(alias, actor=as_user(ops, "admin"))
    stamp = last_changes(Alias, [alias.pk])[alias.pk]
    assert (stamp.actor, stamp.surface, stamp.is_outside) == ("ops", "admin", False)


def test_who_changed_a_target_changed_the_address(world: World, ops: User) -> None:
    alias = make.make_alias(world.domain, "x")
    target = alias.targets.get()
    target.kind = "discard"
    changes.save(target, actor=as_user(ops, "admin"))
    assert last_changes(Alias, [alias.pk])[alias.pk].actor == "ops"


@pytest.mark.parametrize("what", ["rule", "target of a rule", "rule that is gone"])
def test_who_changed_a_rule_for_a_subaddress_changed_the_address(
    world: World, ops: User, what: str
) -> None:
    alias = make.make_alias(world.domain, "x")
    rule = make.make_rule(alias, "news", SubaddressRule.Action.RETARGET, make.to_inbox())
    make.make_rule(make.make_alias(world.domain, "y"), "news", "refuse")
    actor, target = as_user(ops, "admin"), rule.targets.get()
    if what == "rule that is gone":
        changes.delete(rule, actor=actor)
    elif what == "rule":
        rule.detail = "offers"
        changes.save(rule, actor=actor)
    else:
        target.kind = "discard"
        changes.save(target, actor=actor)
    assert {stamp.actor for stamp in last_changes(Alias, [alias.pk]).values()} == {"ops"}


def test_what_was_done_in_the_database_itself_names_nobody(world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    change_by_hand(alias)
    assert last_changes(Alias, [alias.pk])[alias.pk].is_outside


def test_a_page_of_rows_costs_one_query(
    world: World, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    keys = [make.make_alias(world.domain, f"x{number}").pk for number in range(5)]
    with django_assert_num_queries(1):
        assert set(last_changes(Alias, keys)) == set(keys)
    with django_assert_num_queries(0):
        assert last_changes(Alias, []) == {}


@pytest.mark.parametrize("model", [Alias, Domain], ids=lambda model: model.__name__)
def test_lists_show_the_stamp_and_lead_to_the_history(
    client: Client, world: World, model: type[Alias] | type[Domain]
) -> None:
    make.make_alias(world.domain, "x")
    row = model.objects.first()
    assert row is not None
    page = client.get(url_of(model, "changelist")).content.decode()
    assert url_of(model, "history", row.pk) in page
    assert "test (command)" in page


def test_a_row_changed_behind_the_panels_back_says_so(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    change_by_hand(alias)
    page = client.get(url_of(Alias, "changelist")).content.decode()
    assert "behind the panel" in page


def change_by_hand(alias: Alias) -> None:
    """As somebody does in psql, in a transaction that names nobody."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('pghistory.context_id', '', true)")
        cursor.execute("UPDATE tenants_address SET note = 'by hand' WHERE id = %s", [alias.pk])
