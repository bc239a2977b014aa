"""The history of a domain's records: what was found otherwise than before, and who looked."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tenants import history, reverting, services
from tenants.changes import Actor
from tenants.models import Domain, DomainCheck
from tests.pages import url_of
from tests.tenants.memory_resolver import MemoryResolver
from tests.world import ACTOR, World

CHECKER = Actor.system("reconcile DNS", surface="task")
HOST = "mx.ours.example"
DOWN = MemoryResolver(is_down=True)


@pytest.fixture
def claim(world: World, settings: Settings) -> Domain:
    settings.MX_HOSTS = [HOST]
    return services.claim_domain(world.a, "new.example", actor=ACTOR)


def all_of(claim: Domain) -> MemoryResolver:
    return MemoryResolver.publishing(*services.expected_of(claim))


def without_mx(claim: Domain) -> MemoryResolver:
    resolver = all_of(claim)
    del resolver.records["new.example", "MX"]
    return resolver


def look(claim: Domain, *resolvers: MemoryResolver) -> None:
    for each in resolvers:
        services.check_domain(claim, actor=CHECKER, resolver=each, now=timezone.now())


def events_of_mx() -> list[Any]:
    return list(DomainCheck.pgh_event_model.objects.filter(kind="mx").order_by("pgh_id"))


def test_a_record_s_history_says_when_it_went_and_who_looked(claim: Domain) -> None:
    look(claim, all_of(claim), without_mx(claim))

    edits = history.read(history.sources_of(Domain, claim.pk))
    [(gone, row)] = [
        (edit, row)
        for edit in edits
        for row in edit.rows
        if (row.verb, row.subject) == ("changed", "domain check MX of new.example")
    ]
    assert (gone.actor, gone.surface, gone.reason) == ("reconcile DNS", "task", "DNS check")
    assert gone.rows == [row]
    changed = {each.label: (each.old, each.new) for each in row.fields}
    assert changed == {"state": ("present", "absent"), "found": (f"10 {HOST}.", "—")}


def test_looks_that_find_the_same_or_cannot_tell_leave_no_event(claim: Domain) -> None:
    look(claim, all_of(claim), all_of(claim), DOWN, all_of(claim))
    assert [event.state for event in events_of_mx()] == ["present"]
    look(claim, DOWN, without_mx(claim), DOWN, without_mx(claim))
    assert [event.state for event in events_of_mx()] == ["present", "absent"]


def test_a_record_that_could_not_be_told_at_first_leaves_an_event_once_it_can(
    claim: Domain,
) -> None:
    look(claim, DOWN, DOWN, all_of(claim))
    assert [event.state for event in events_of_mx()] == ["unknown", "present"]


def test_a_record_of_which_something_else_is_expected_leaves_an_event(
    claim: Domain, settings: Settings
) -> None:
    look(claim, all_of(claim))
    settings.MX_HOSTS = ["mx2.ours.example"]
    look(claim, all_of(claim))
    assert ["mx2" in event.expected for event in events_of_mx()] == [False, True]


def test_raw_sql_on_a_check_leaves_an_event_of_nobody(claim: Domain) -> None:
    look(claim, all_of(claim))
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL pghistory.context_id = ''")  # as after the look's transaction
        cursor.execute("UPDATE tenants_domaincheck SET state = 'wrong' WHERE kind = 'mx'")
        cursor.execute("UPDATE tenants_domaincheck SET checked_at = now()")
        cursor.execute("DELETE FROM tenants_domaincheck WHERE kind = 'mx'")
    told = [(event.pgh_label, event.state, event.pgh_context) for event in events_of_mx()]
    assert told[1:] == [("update", "wrong", None), ("delete", "wrong", None)]


def test_the_domain_s_page_of_history_tells_it(client: Client, claim: Domain) -> None:
    look(claim, all_of(claim), without_mx(claim))
    page = client.get(url_of(Domain, "history", claim.pk)).content.decode()
    assert "domain check MX of new.example" in page
    assert "absent" in page


def test_a_claim_that_was_looked_at_can_still_be_taken_back(claim: Domain) -> None:
    [created] = history.read(history.sources_of(Domain, claim.pk))
    look(claim, MemoryResolver())
    net = reverting.net_changes(history.sources_of(Domain, claim.pk), created.key)
    reverting.revert(net, actor=ACTOR)
    assert not Domain.objects.filter(pk=claim.pk).exists()
