"""Explain as a page: filled in from what happened, and set beside what was said then."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from gateway.admin.words import in_words
from gateway.explain import explain
from gateway.models import RoutingRecord
from tenants import changes
from tenants.models import Alias
from tests import world as make
from tests.gateway.test_admin import CASES, EVIL, store
from tests.staff import client_of, make_staff
from tests.world import ACTOR, World, make_world

URL = "/admin/explain/"


@pytest.fixture
def world(db: None) -> World:
    return make_world()


@pytest.fixture
def client(db: None) -> Client:
    return client_of(make_staff())


@pytest.fixture
def alias(world: World) -> Alias:
    return make.make_alias(world.domain, "x", make.to_forward("jo@elsewhere.example"))


def decided(world: World, recipient: str = "x@a.example") -> RoutingRecord:
    """A record of what the gateway says at this moment."""
    record = store(world, recipient)
    decision = explain(recipient, record.sender, None).decision
    assert decision is not None
    record.trace = [(step.name, step.outcome, step.note) for step in decision.trace]
    record.rule, record.strategy, record.reply = (
        decision.rule,
        decision.strategy,
        str(decision.reply),
    )
    record.save()
    record.deliveries.all().delete()
    return record


def replay(client: Client, record: RoutingRecord, **more: str) -> Any:
    response = client.get(URL, {"record": str(record.pk), **more})
    assert response.status_code == 200
    return response


def test_a_record_fills_the_form_and_is_answered_as_it_was(
    client: Client, world: World, alias: Alias
) -> None:
    record = decided(world)
    RoutingRecord.objects.filter(pk=record.pk).update(declared_octets=5_000_000)
    response = replay(client, record)
    page = response.content.decode()
    assert response.context_data["comparison"].is_same
    assert "the same answer" in page
    for value in ("x@a.example", "anna@far.example", "5 MB"):
        assert f'value="{value}"' in page
    assert record.get_absolute_url() in page
    assert record.message.get_absolute_url() in page


def test_what_was_changed_since_is_marked(client: Client, world: World, alias: Alias) -> None:
    record = decided(world)
    alias.enabled = False
    changes.save(alias, actor=ACTOR)
    response = replay(client, record)
    comparison = response.context_data["comparison"]
    assert [point.label for point in comparison.points if point.is_different] == ["Reply"]
    then = comparison.points[0]
    assert (then.then, then.now) == ("250 2.1.5 Recipient ok", "550 5.2.1 Address is disabled")
    page = response.content.decode()
    assert "another answer" in page
    assert "enabled, not expired: refused" in page
    assert page.count("panel-differs") > 2


def test_what_came_after_rcpt_stands_apart(client: Client, world: World, alias: Alias) -> None:
    record = decided(world)
    record.trace = [*record.trace, ("content filter", "refused", "550 5.7.1 spam")]
    record.reply = "550 5.7.1 Message content is not accepted here"
    record.save()
    response = replay(client, record)
    comparison = response.context_data["comparison"]
    assert comparison.is_same
    assert [step.name for step in comparison.later] == ["content filter"]
    assert record.reply in response.content.decode()


def test_another_envelope_is_no_replay(client: Client, world: World, alias: Alias) -> None:
    record = decided(world)
    for more in (
        {"recipient": "y@a.example"},
        {"recipient": "x@a.example", "sender": "b@c.example"},
    ):
        assert "comparison" not in replay(client, record, **more).context_data
    again = replay(client, record, recipient="x@a.example", sender="anna@far.example")
    assert "comparison" in again.context_data


@pytest.mark.parametrize("name", ["", "no-id", "019a2f6e-7c11-7abc-8def-0123456789ab"])
def test_a_record_that_is_none_leaves_the_form_empty(client: Client, name: str) -> None:
    response = client.get(URL, {"record": name})
    assert not response.context_data["form"].is_bound


def test_a_trace_that_strangers_wrote_is_shown_as_text(
    client: Client, world: World, alias: Alias
) -> None:
    record = decided(world)
    record.trace = [("domain", "hit", EVIL), ("reply", "accepted", EVIL)]
    record.save()
    assert EVIL not in replay(client, record).content.decode()


def test_deliveries_are_compared_where_they_may_be_seen(world: World, alias: Alias) -> None:
    record = store(world)
    auditor = make_staff("auditor", is_superuser=False)
    auditor.user_permissions.set(Permission.objects.filter(codename="view_routingrecord"))
    client = client_of(auditor)
    labels = [point.label for point in replay(client, record).context_data["comparison"].points]
    assert "Destinations" not in labels
    auditor.user_permissions.add(Permission.objects.get(codename="view_delivery"))
    labels = [point.label for point in replay(client, record).context_data["comparison"].points]
    assert "Destinations" in labels


@pytest.mark.parametrize(("recipient", "sender", "octets"), CASES)
def test_every_step_is_told_in_words(
    world: World, recipient: str, sender: str, octets: int | None
) -> None:
    make.make_alias(world.domain, "x")
    make.make_alias(world.domain, "off", enabled=False)
    decision = explain(recipient, sender, octets).decision
    assert decision is not None
    assert [step for step in decision.trace if not in_words(step)] == []


# --- the graph of targets


def test_the_graph_leads_to_the_pages_of_what_it_shows(client: Client, world: World) -> None:
    mailbox = make.make_mailbox(world.a, "jo@store.example")
    jo = make.make_alias(world.domain, "jo", make.to_mailbox(mailbox))
    make.make_alias(world.domain, "sales", make.to_forward("jo@a.example"))
    page = client.get(URL, {"recipient": "sales@a.example"}).content.decode()
    svg = page[page.index("<svg class=") : page.index("</svg>", page.index("<svg class="))]
    for row in (jo, mailbox, mailbox.next_hop):
        assert f'<a href="{row.get_absolute_url()}">' in svg
    assert "style=" not in svg
    assert "<script" not in svg
    assert "The same as a list (1 end)" in page


def test_the_graph_leads_nowhere_a_role_may_not_go(world: World) -> None:
    make.make_alias(world.domain, "jo", make.to_mailbox(make.make_mailbox(world.a)))
    auditor = make_staff("auditor", is_superuser=False)
    auditor.user_permissions.set(Permission.objects.filter(codename="view_routingrecord"))
    page = client_of(auditor).get(URL, {"recipient": "jo@a.example"}).content.decode()
    assert page.count('class="panel-node ') == 3
    assert '<a href="/admin/tenants/mailbox/' not in page


def test_the_facts_of_the_answer_are_told(client: Client, world: World) -> None:
    make.make_alias(world.domain, "busy", rate_per_hour=7, allowed_senders=["@b.example"])
    response = client.get(URL, {"recipient": "busy@a.example", "sender": "x@b.example"})
    used = dict(response.context_data["used"])
    assert used["alias busy@a.example"] == (
        "enabled; 1 target; senders @b.example; 7 messages an hour"
    )
    assert used["domain a.example"].startswith("active, production; tenant A is active")


def test_the_facts_and_rows_of_the_answer_are_told_as_far_as_a_role_sees_them(
    world: World,
) -> None:
    mailbox = make.make_mailbox(world.a, "jo@store.example")
    make.make_alias(
        world.domain, "busy", make.to_mailbox(mailbox), allowed_senders=["@secret.example"]
    )
    domain = world.domain
    domain.local_part_pattern = "[a-z]+"
    domain.save()
    user = make_staff("some", is_superuser=False)
    client = client_of(user)
    told = {
        "view_tenant": ("tenant A is active", world.a.get_absolute_url()),
        "view_domain": ("local parts like", domain.get_absolute_url()),
        "view_alias": ("@secret.example",),
    }
    given = ["view_routingrecord"]
    for codename in (None, "view_domain", "view_tenant", "view_alias"):
        given += [codename] if codename else []
        user.user_permissions.set(Permission.objects.filter(codename__in=given))
        page = client.get(URL, {"recipient": "busy@a.example"}).content.decode()
        for name, texts in told.items():
            assert [text in page for text in texts] == [name in given] * len(texts), name
