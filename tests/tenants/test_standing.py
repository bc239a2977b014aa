"""Suspend, close and resume in the admin: previewed, confirmed, attributed, true on the wire."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from gateway.explain import explain
from gateway.models import Delivery
from gateway.routing import replies
from tenants.admin import standing
from tenants.admin.standing import MOVES
from tenants.models import Domain, Tenant
from tests import world as make
from tests.gateway import outbox
from tests.pages import data_of, url_of
from tests.staff import client_of, make_staff
from tests.world import World

STATES = Tenant.State
SENT = {
    "suspend": [replies.TENANT_SUSPENDED, replies.TENANT_SUSPENDED_LONG],
    "suspend-for-abuse": [replies.TENANT_SUSPENDED_ABUSE],
    "close": [replies.TENANT_CLOSED],
    "resume": [],
}


def move(client: Client, tenant: Tenant, name: str, **data: str) -> Any:
    data = {"state": Tenant.objects.get(pk=tenant.pk).state, **data}
    return client.post(url_of(Tenant, name, tenant.pk), data, follow=True)


def text_of(response: Any) -> str:
    """What stands on a page, without its tags."""
    words = re.sub(r"<[^>]+>", " ", response.content.decode()).split()
    return unescape(" ".join(words))


def stop(tenant: Tenant, state: str, *, hours_ago: float = 0) -> None:
    since = timezone.now() - timedelta(hours=hours_ago)
    Tenant.objects.filter(pk=tenant.pk).update(state=state, state_since=since)


# --- the page before the change


def test_the_page_counts_what_receives_mail(client: Client, world: World) -> None:
    make.make_alias(world.domain, "x")
    make.make_role(world.domain, "sales", holder=make.make_mailbox(world.a))
    make.make_alias(world.domain, "off", enabled=False)
    make.make_role(world.domain, "postmaster", holder=make.make_mailbox(world.a))
    make.make_alias(make.make_domain(world.a, state=Domain.State.DEGRADED), "y")
    make.make_alias(make.make_domain(world.a, state=Domain.State.PENDING), "z")
    make.make_alias(world.other_domain, "theirs")
    page = text_of(client.get(url_of(Tenant, "suspend", world.a.pk)))
    assert "stops mail to 3 addresses on 2 domains : a.example, d" in page


def test_a_tenant_without_domains_is_told_as_one(client: Client, world: World) -> None:
    bare = make.make_tenant()
    page = text_of(client.get(url_of(Tenant, "close", bare.pk)))
    assert f"{bare} has no domain that receives mail" in page


@pytest.mark.parametrize("name", sorted(SENT))
def test_the_page_tells_what_senders_will_be_told_and_changes_nothing(
    client: Client, world: World, name: str
) -> None:
    response = client.get(url_of(Tenant, name, world.a.pk))
    assert [answer.reply for answer in response.context_data["answers"]] == SENT[name]
    page = text_of(response)
    for reply in SENT[name]:
        assert str(reply) in page
    world.a.refresh_from_db()
    assert world.a.state == STATES.ACTIVE


def test_the_grace_ends_72_hours_from_now(client: Client, world: World) -> None:
    before = timezone.now()
    first, second = client.get(url_of(Tenant, "suspend", world.a.pk)).context_data["answers"]
    assert before <= first.until - timedelta(hours=72) <= timezone.now()
    assert second.until is None


@pytest.mark.parametrize("name", sorted(set(SENT) - {"resume"}))
def test_the_page_says_who_loses_nothing_and_what_the_way_back_is(
    client: Client, world: World, name: str
) -> None:
    for _ in range(2):
        make.make_mailbox(world.a)
    page = text_of(client.get(url_of(Tenant, name, world.a.pk)))
    assert "Nothing is deleted. Its 2 mailboxes keep what has been delivered to them" in page
    assert "its 2 members lose nothing" in page
    assert "“Resume” on the tenant's page ends this with the next message." in page
    assert ("senders keep what they could not deliver" in page) is (name == "suspend")


def test_all_that_waits_is_counted_before_a_move(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "COUNTED", 1)
    for _ in range(3):
        outbox.put(state=Delivery.State.DEFERRED, tenant_id=world.a.pk)
    assert "3 waiting" in text_of(client.get(url_of(Tenant, "suspend", world.a.pk)))


# --- the change


@pytest.mark.parametrize("name", sorted(set(SENT) - {"resume"}))
def test_mail_is_answered_as_the_page_promised(client: Client, world: World, name: str) -> None:
    make.make_alias(world.domain, "x")
    move(client, world.a, name, change_reason="unpaid since May")
    assert explain("x@a.example", "", None).reply == SENT[name][0]
    assert explain("postmaster@a.example", "", None).reply == replies.ACCEPTED
    stop(world.a, Tenant.objects.get(pk=world.a.pk).state, hours_ago=72)
    assert explain("x@a.example", "", None).reply == SENT[name][-1]
    move(client, world.a, "resume", change_reason="paid")
    assert explain("x@a.example", "", None).reply == replies.ACCEPTED


def test_a_move_is_attributed_with_its_reason(client: Client, world: World) -> None:
    page = move(client, world.a, "suspend", change_reason="unpaid since May")
    assert "A is suspended from now on." in text_of(page)
    edits = client.get(url_of(Tenant, "history", world.a.pk)).context_data["edits"]
    [edit] = [edit for edit in edits if edit.actor == "ops"]
    assert (edit.surface, edit.reason) == ("admin", "unpaid since May")
    (row,) = edit.rows
    assert [(field.label, field.old, field.new) for field in row.fields] == [
        ("state", "active", "suspended")
    ]


@pytest.mark.parametrize("reason", ["", "   "])
def test_nothing_moves_without_a_reason(client: Client, world: World, reason: str) -> None:
    page = move(client, world.a, "suspend", change_reason=reason)
    assert "Say why" in text_of(page)
    world.a.refresh_from_db()
    assert world.a.state == STATES.ACTIVE


def test_a_page_that_somebody_overtook_changes_nothing(client: Client, world: World) -> None:
    stop(world.a, STATES.SUSPENDED_FOR_ABUSE)
    page = move(client, world.a, "resume", change_reason="paid", state=STATES.SUSPENDED)
    assert "Nothing was changed: A is suspended for abuse meanwhile." in text_of(page)
    world.a.refresh_from_db()
    assert world.a.state == STATES.SUSPENDED_FOR_ABUSE


# --- the tenant's page


@pytest.mark.parametrize("state", [state.value for state in STATES])
def test_the_page_offers_every_other_state(client: Client, world: World, state: str) -> None:
    stop(world.a, state)
    context = client.get(world.a.get_absolute_url()).context_data
    assert {move.state for move in context["moves"]} == {s.value for s in STATES} - {state}
    page = client.get(world.a.get_absolute_url()).content.decode()
    for each in MOVES:
        assert (f'href="{url_of(Tenant, each.name, world.a.pk)}"' in page) is (each.state != state)


def test_a_stopped_tenants_page_says_what_senders_are_told_now(
    client: Client, world: World
) -> None:
    stop(world.a, STATES.SUSPENDED, hours_ago=71)
    assert str(replies.TENANT_SUSPENDED) in text_of(client.get(world.a.get_absolute_url()))
    stop(world.a, STATES.SUSPENDED, hours_ago=73)
    page = text_of(client.get(world.a.get_absolute_url()))
    assert str(replies.TENANT_SUSPENDED_LONG) in page
    assert str(replies.TENANT_SUSPENDED) not in page


def test_the_form_itself_moves_nothing(client: Client, world: World) -> None:
    data = data_of(client.get(world.a.get_absolute_url())) | {"state": STATES.CLOSED}
    assert client.post(world.a.get_absolute_url(), data).status_code == 302
    world.a.refresh_from_db()
    assert world.a.state == STATES.ACTIVE


# --- who may


def test_whoever_may_only_look_can_move_nothing(world: World) -> None:
    auditor = make_staff("auditor", is_superuser=False)
    auditor.user_permissions.add(Permission.objects.get(codename="view_tenant"))
    client = client_of(auditor)
    page = client.get(world.a.get_absolute_url()).content.decode()
    for each in MOVES:
        url = url_of(Tenant, each.name, world.a.pk)
        assert url not in page
        assert client.get(url).status_code == 403
        assert client.post(url, {"state": "active", "change_reason": "x"}).status_code == 403
    world.a.refresh_from_db()
    assert world.a.state == STATES.ACTIVE


def test_a_tenant_that_is_not_there_cannot_be_moved(client: Client) -> None:
    assert client.get(url_of(Tenant, "suspend", 10**9)).status_code == 404


# --- what was accepted before


def test_what_waits_is_counted_and_can_be_held_afterwards(client: Client, world: World) -> None:
    [waiting] = outbox.put(state=Delivery.State.DEFERRED, tenant_id=world.a.pk)
    outbox.put(state=Delivery.State.DELIVERED, tenant_id=world.a.pk)
    [other] = outbox.put(state=Delivery.State.PENDING, tenant_id=world.b.pk)
    page = text_of(client.get(url_of(Tenant, "suspend", world.a.pk)))
    assert "Mail that was accepted before is still delivered: 1 waiting" in page
    offered = f"/admin/gateway/delivery/intervene/hold/?tenant={world.a.pk}"
    assert offered not in client.get(world.a.get_absolute_url()).content.decode()
    after = move(client, world.a, "suspend", change_reason="unpaid")
    assert "1 waiting delivery." in text_of(after)
    assert offered in after.content.decode()
    question = client.get(f"{offered}&list=deliveries")
    assert "Hold: 1 delivery?" in question.content.decode()
    assert question.context_data["ids"] == str(waiting.pk)
    assert outbox.state(other) == Delivery.State.PENDING
