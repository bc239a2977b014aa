"""The one search box: every reference finds its answer, in an index, and nobody sees too much."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gateway.directory import platform
from gateway.models import Delivery, RefusalCount, RoutingRecord
from gateway.routing import srs
from gateway.search import find, read
from gateway.search.address import Standing
from tenants import changes, services
from tenants.changes import Actor
from tenants.models import Address, Alias, Target
from tests import world as make
from tests.gateway.test_admin import EVIL, store
from tests.plans import unindexed
from tests.staff import client_of, make_staff
from tests.world import ACTOR, World, make_world

URL = "/admin/search/"


@pytest.fixture
def world(db: None) -> World:
    return make_world()


@pytest.fixture
def client(db: None) -> Client:
    return client_of(make_staff())


def page_of(client: Client, text: str) -> str:
    response = client.get(URL, {"q": text})
    assert response.status_code == 200
    return response.content.decode()


def answer_to(client: Client, text: str) -> Any:
    return client.get(URL, {"q": text}).context_data["answer"]


def delete(alias: Alias, reason: str = "Left the company") -> None:
    changes.delete(alias, actor=Actor(surface="admin", user=make_staff("dora")), reason=reason)


# --- addresses, whatever became of them


def test_a_live_address_is_shown_with_what_is_answered_and_where_it_goes(
    client: Client, world: World
) -> None:
    alias = make.make_alias(world.domain, "sales", make.to_forward("jo@elsewhere.example"))
    record = store(world, "sales@a.example")
    page = page_of(client, " <Sales@A.example> ")
    assert answer_to(client, "sales@a.example").address.standing is Standing.IN_USE
    assert "250 2.1.5 Recipient ok" in page
    assert "forward to jo@elsewhere.example" in page
    delivery = record.deliveries.get()
    for row in (alias, world.domain, world.a, record, delivery, record.message):
        assert row.get_absolute_url() in page
    assert f"/admin/explain/?record={record.pk}" in page
    assert "alias sales@a.example created" in page


def test_an_expired_address_says_since_when(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "sale")
    moment = timezone.now() - timedelta(hours=1)
    Address.objects.filter(pk=alias.pk).update(expires_at=moment)
    page = page_of(client, "sale@a.example")
    assert "550 5.2.1 Address has expired" in page
    assert f"since {timezone.localtime(moment):%Y-%m-%d %H:%M}" in page
    assert answer_to(client, "sale@a.example").address.standing is Standing.EXPIRED
    services.expire_addresses(actor=ACTOR, now=timezone.now())
    assert answer_to(client, "sale@a.example").address.standing is Standing.EXPIRED


def test_a_disabled_address_says_so(client: Client, world: World) -> None:
    make.make_alias(world.domain, "off", enabled=False)
    assert answer_to(client, "off@a.example").address.standing is Standing.DISABLED


def test_a_deleted_address_says_who_deleted_it_when_and_why(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "old")
    pk = alias.pk
    delete(alias)
    record = store(world, "old@a.example")
    page = page_of(client, "mailto:old@a.example")
    found = answer_to(client, "old@a.example").address
    assert found.standing is Standing.DELETED
    assert found.gone[0].edit.actor == "dora"
    assert "Left the company" in page
    assert "550 5.1.1 No such address here" in page
    assert record.get_absolute_url() in page
    history = f"/admin/tenants/alias/{pk}/history/"
    assert history in page
    assert client.get(history).status_code == 200


def test_an_address_deleted_behind_the_panel_s_back_says_so(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "old")
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('pghistory.context_id', '', true)")
        cursor.execute("DELETE FROM tenants_target WHERE address_id = %s", [alias.pk])
        cursor.execute("DELETE FROM tenants_address WHERE id = %s", [alias.pk])
    assert "outside the panel" in page_of(client, "old@a.example")


def test_an_address_that_was_made_anew_is_live_and_its_deletion_is_told(
    client: Client, world: World
) -> None:
    delete(make.make_alias(world.domain, "old"))
    make.make_alias(world.domain, "old")
    found = answer_to(client, "old@a.example").address
    assert found.standing is Standing.IN_USE
    assert len(found.gone) == 1


def test_a_renamed_address_leads_to_its_new_name(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "before")
    alias.local_part = "after"
    changes.save(alias, actor=ACTOR)
    found = answer_to(client, "before@a.example").address
    assert (found.standing, found.renamed) == (Standing.RENAMED, [alias])


def test_an_address_that_never_existed_says_what_is_answered_and_how_often(
    client: Client, world: World
) -> None:
    record = store(world, "nobody@a.example")
    RoutingRecord.objects.filter(pk=record.pk).update(accepted=False, reason="unknown-address")
    now = timezone.now().replace(second=0, microsecond=0)
    for minutes, domain, count in ((0, "a.example", 40), (5, "a.example", 2), (0, "b.example", 9)):
        RefusalCount.objects.create(
            domain_name=domain,
            reason="unknown-address",
            minute=now - timedelta(minutes=minutes),
            count=count,
        )
    page = page_of(client, "nobody@a.example")
    found = answer_to(client, "nobody@a.example").address
    assert (found.standing, found.refused) == (Standing.NEVER, 42)
    assert found.records == [record]
    assert "550 5.1.1 No such address here" in page
    assert "42 recipients of a.example were refused" in page


def test_an_address_of_a_foreign_domain_is_not_hosted_here(client: Client, world: World) -> None:
    page = page_of(client, "x@elsewhere.example")
    assert "550 5.7.1 Relaying denied" in page
    assert "not hosted here" in page


def test_a_subaddress_leads_to_the_address_that_answers_for_it(
    client: Client, world: World
) -> None:
    alias = make.make_alias(world.domain, "jobs")
    found = answer_to(client, "jobs+berlin@a.example").address
    assert (found.standing, found.decided_by) == (Standing.ANSWERED, alias)


def test_who_forwards_to_an_address_and_whose_mailbox_it_is_are_told(
    client: Client, world: World
) -> None:
    mailbox = make.make_mailbox(world.a, "jo@store.example")
    alias = make.make_alias(world.domain, "jo", make.to_forward("jo@store.example"))
    found = answer_to(client, "jo@store.example").address
    assert found.mailboxes == [mailbox]
    assert found.forwards == [Target.objects.get(address=alias)]


# --- beginnings


def test_a_beginning_lists_live_deleted_and_written_to(client: Client, world: World) -> None:
    live = make.make_alias(world.domain, "sales")
    delete(make.make_alias(world.domain, "sales-old"))
    for recipient in (
        "sales@a.example",
        "sales-bot@a.example",
        "sales-bot@a.example",
        "x@a.example",
    ):
        store(world, recipient)
    mailbox = make.make_mailbox(world.a, "sales-team@store.example")
    answer = answer_to(client, "SALES")
    assert answer.addresses == [live]
    assert [gone.key for gone in answer.gone] == ["sales-old@a.example"]
    assert answer.mailed == ["sales-bot@a.example"]
    assert answer.mailboxes == [mailbox]
    assert answer_to(client, "ales").is_empty


def test_a_key_that_was_deleted_twice_is_listed_once_as_it_was_last(
    client: Client, world: World
) -> None:
    for reason in ("first", "second"):
        alias = make.make_alias(world.domain, "twice")
        changes.delete(alias, actor=ACTOR, reason=reason)
    (gone,) = answer_to(client, "twic").gone
    assert gone.edit.reason == "second"


@pytest.mark.parametrize("text", ["a.exa", "@A.example", "a.example"])
def test_a_domain_is_found_by_its_beginning(client: Client, world: World, text: str) -> None:
    assert answer_to(client, text).domains == [world.domain]


@pytest.mark.parametrize("text", ["MÜNCHEN.example", "Münch", "@münchen.e", "mü"])
def test_a_domain_is_found_by_its_u_label(client: Client, world: World, text: str) -> None:
    domain = make.make_domain(world.a, "münchen.example")
    assert answer_to(client, text).domains == [domain]


@pytest.mark.parametrize("text", ["north", "Northwind  traders", "nw-0", "nw-01"])
def test_a_tenant_is_found_by_name_and_by_external_id(
    client: Client, world: World, text: str
) -> None:
    tenant = make.make_tenant("Northwind Traders", external_id="nw-01")
    assert answer_to(client, text).tenants == [tenant]


# --- references


def test_mail_is_found_by_whatever_refers_to_it(client: Client, world: World) -> None:
    record = store(world, message_id="<Abc@far.example>")
    RoutingRecord.objects.filter(pk=record.pk).update(detail="ticket-77")
    delivery = record.deliveries.get()
    ours = platform()
    path = srs.opaque(delivery.pk, bounce_domain=ours.bounce_domain, secret=ours.srs_secrets[0])
    store(world)
    for text, how in (
        (record.queue_id, "Queue id"),
        (f"250 2.0.0 Ok: queued as {record.queue_id}", "Queue id"),
        ("<Abc@far.example>", "Message-ID"),
        ("Message-ID: <Abc@far.example>", "Message-ID"),
        ("Abc@far.example", "Message-ID"),
        (str(delivery.pk), "Delivery"),
        (f"X-Delivery-ID: {delivery.pk}", "Delivery"),
        (str(record.pk), "Routing record"),
        (str(record.message_id), "Message"),
        ("ticket-77", "Correlation token"),
        (f"<{path}>", "Return path"),
    ):
        (trail,) = answer_to(client, text).trails
        assert (trail.how, trail.records) == (how, [record]), text


@pytest.mark.parametrize(
    ("text", "standing"),
    [
        ("ceo@a.example", Standing.IN_USE),
        ("nobody@a.example", Standing.NEVER),
        ("boss@far.example", Standing.FOREIGN),
        ("id.7@far.example", None),
    ],
)
def test_a_sender_s_own_reference_hides_no_address(
    client: Client, world: World, text: str, standing: Standing | None
) -> None:
    """A Message-ID may be any address: it stands beside what is known of that, not in its place."""
    make.make_alias(world.domain, "ceo", make.to_forward("boss@far.example"))
    store(world, message_id=f"<{text}>")
    answer = answer_to(client, text)
    assert [trail.how for trail in answer.trails] == ["Message-ID"]
    assert (answer.address and answer.address.standing) == standing


def test_a_sender_s_own_detail_hides_no_address_that_begins_so(
    client: Client, world: World
) -> None:
    make.make_alias(world.domain, "ceo")
    RoutingRecord.objects.filter(pk=store(world).pk).update(detail="ceo")
    answer = answer_to(client, "ceo")
    assert [trail.how for trail in answer.trails] == ["Correlation token"]
    assert [row.key for row in answer.addresses] == ["ceo@a.example"]


def test_a_return_path_says_where_bounces_to_it_go(client: Client, world: World) -> None:
    ours = platform()
    path = srs.rewrite(
        read("anna@far.example").address,
        bounce_domain=ours.bounce_domain,
        secret=ours.srs_secrets[0],
        day=timezone.now().toordinal(),
    )
    answer = answer_to(client, str(path)).address
    assert answer.standing is Standing.RETURN_PATH
    assert "goes back to anna@far.example" in page_of(client, str(path))


def test_what_nothing_is_called_says_how_to_look(client: Client, world: World) -> None:
    assert "Look-ups are by the beginning" in page_of(client, "no such thing")
    assert "One box for everything" in page_of(client, "")


# --- how it is looked up


@pytest.mark.parametrize(
    "text",
    [
        "sales@a.example",
        "gone@a.example",
        "nobody@a.example",
        "sales+x@a.example",
        "sal",
        "sales@",
        "a.exam",
        "1zrqdnctZngj2ygF",
        "<abc@far.example>",
        "019a2f6e-7c11-7abc-8def-0123456789ab",
        "Northwind",
    ],
)
def test_no_search_goes_through_a_large_table(world: World, text: str) -> None:
    make.make_rule(make.make_alias(world.domain, "sales"), "x", "refuse")
    delete(make.make_alias(world.domain, "gone"))
    store(world, "sales@a.example", message_id="<abc@far.example>")
    user = make_staff()
    with CaptureQueriesContext(connection) as captured:
        find(read(text), user)
    assert 3 <= len(captured) <= 45
    assert unindexed(captured.captured_queries) == []
    assert not [each["sql"] for each in captured if "COUNT(" in each["sql"]]
    assert not [each["sql"] for each in captured if "LIKE '%" in each["sql"]]


def test_what_goes_through_a_large_table_is_noticed(world: World) -> None:
    with CaptureQueriesContext(connection) as captured:
        list(RoutingRecord.objects.filter(recipient="x"))
        list(RoutingRecord.objects.filter(key__endswith="x")[:1])
    assert len(unindexed(captured.captured_queries)) == 2


# --- who sees what


def permit(username: str, *codenames: str) -> Client:
    staff = make_staff(username, is_superuser=False)
    staff.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    assert staff.user_permissions.count() == len(codenames)
    return client_of(staff)


def test_whoever_may_view_nothing_finds_nothing(world: World) -> None:
    make.make_alias(world.domain, "sales")
    delete(make.make_alias(world.domain, "gone"))
    record = store(world, "sales@a.example")
    client = permit("nobody")
    for text in ("sales@a.example", "gone@a.example", "sal", "gon", record.queue_id, "a.example"):
        page = page_of(client, text)
        for secret in (
            "in use",
            "dora",
            "Left the company",
            "250 2.1.5",
            record.get_absolute_url(),
        ):
            assert secret not in page, (text, secret)
        answer = answer_to(client, text)
        parts = (answer.trails, answer.addresses, answer.gone, answer.mailed, answer.domains)
        assert parts == ([], [], [], [], [])


def test_each_part_of_an_answer_asks_for_its_own_permission(world: World) -> None:
    make.make_alias(world.domain, "sales")
    make.make_role(world.domain, "support")
    record = store(world, "sales@a.example")
    aliases = permit("aliases", "view_alias")
    assert len(answer_to(aliases, "sales@a.example").address.rows) == 1
    assert answer_to(aliases, "support@a.example").address.rows == []
    assert answer_to(aliases, "sales@a.example").address.records == []
    assert answer_to(aliases, "sales@a.example").address.explanation is None
    records = permit("records", "view_routingrecord")
    found = answer_to(records, "sales@a.example").address
    assert (found.rows, found.records) == ([], [record])
    assert list(found.records[0].deliveries.all()) == []
    assert record.deliveries.get().get_absolute_url() not in page_of(records, record.queue_id)


def test_members_of_a_tenant_see_their_own_alone(world: World) -> None:
    """No page of theirs asks yet; what is asked for them is held to their tenants all the same."""
    make.make_alias(world.domain, "sales")
    delete(make.make_alias(world.domain, "gone"))
    record = store(world, "sales@a.example")
    codenames = ("view_alias", "view_routingrecord", "view_domain", "view_tenant")
    for user, sees in ((world.owner, True), (world.outsider, False)):
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert bool(find(read("sal"), user).addresses) is sees
        assert bool(find(read("gon"), user).gone) is sees
        assert bool(find(read(record.queue_id), user).trails) is sees
        assert bool(find(read("a.example"), user).domains) is sees


def test_members_who_are_no_staff_get_no_page(world: World) -> None:
    client = Client()
    client.force_login(world.owner)
    assert client.get(URL, {"q": "sales"}, follow=True).status_code == 403


# --- the page


def test_every_page_of_the_panel_has_the_box(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    for url in ("/admin/", "/admin/explain/", URL, "/admin/tenants/", alias.get_absolute_url()):
        page = client.get(url).content.decode()
        assert page.count('id="panel-search"') == 1, url
        assert "gateway/search.js" in page
        assert "searchCommand" not in page


def test_what_is_pasted_is_shown_as_text(client: Client, world: World) -> None:
    store(world, recipient=f'"{EVIL}"@a.example', text=EVIL, message_id=f"<{EVIL}@x>")
    for text in (EVIL, f'"{EVIL}"@a.example', '"><img src=x>'):
        page = page_of(client, text)
        assert EVIL not in page
        assert "<img src=x" not in page


def test_a_delivery_s_id_that_is_none_of_ours_is_no_error(client: Client, world: World) -> None:
    assert answer_to(client, str(UUID(int=7))).is_empty
    assert Delivery.objects.count() == 0
