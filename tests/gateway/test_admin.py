"""The admin of the data plane: read-only, escaped, quick; and Explain, which is resolve()."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gateway.admin import filters
from gateway.directory import read_facts
from gateway.explain import explain
from gateway.ids import queue_id, uuid7
from gateway.models import (
    Attempt,
    Counter,
    Delivery,
    Message,
    Quarantined,
    RefusalCount,
    RoutingRecord,
)
from gateway.routing import replies
from gateway.routing.address import Address
from gateway.routing.facts import LookupFailed, Session
from gateway.routing.resolve import resolve
from tenants.admin import paging
from tests import world as make
from tests.gateway.watch.mail import record
from tests.pages import url_of
from tests.staff import client_of, make_staff
from tests.world import World, make_world

EVIL = "<script>alert(1)</script>"
EVENTS = (Message, RoutingRecord, Delivery, Counter, RefusalCount)


@pytest.fixture
def world(db: None) -> World:
    return make_world()


@pytest.fixture
def client(db: None) -> Client:
    return client_of(make_staff())


def store(world: World, recipient: str = "x@a.example", **fields: Any) -> RoutingRecord:
    """One accepted message to one recipient, deferred once."""
    now, identifier = timezone.now(), uuid7()
    text = fields.pop("text", "plain")
    message = Message.objects.create(
        id=identifier,
        queue_id=queue_id(identifier),
        received_at=now,
        sender="anna@far.example",
        client="192.0.2.7",
        helo=text,
        protocol="ESMTPS",
        size_octets=48_213,
        message_id=fields.pop("message_id", f"<{identifier}@far.example>"),
        digest=b"\0" * 32,
        body_id=uuid7(),
        body_expires_on=now.date(),
    )
    record = RoutingRecord.objects.create(
        message=message,
        at=now,
        queue_id=message.queue_id,
        sender=message.sender,
        recipient=recipient,
        key=recipient.lower(),
        client="192.0.2.7",
        tenant=world.a,
        domain=world.domain,
        strategy="alias",
        rule=f"alias {text}",
        token=message.queue_id,
        accepted=True,
        reason="accepted",
        reply="250 2.1.5 Recipient ok",
        trace=[["domain", "hit", text], ["reply", "accepted", ""]],
    )
    delivery = Delivery.objects.create(
        record=record,
        message=message,
        tenant=world.a,
        kind="mailbox",
        recipient=recipient,
        state=fields.pop("state", Delivery.State.DEFERRED),
        next_attempt_at=now,
        created_at=now,
        last_reply=text,
    )
    Attempt.objects.create(
        delivery=delivery,
        number=1,
        started_at=now,
        finished_at=now,
        outcome="deferred",
        remote=text,
        reply=text,
    )
    RefusalCount.objects.get_or_create(domain_name=text, reason="rate", minute=now)
    Counter.objects.get_or_create(key=f"rate:tenant:{text}")
    return record


def results(client: Client, model: type[Any], **query: str) -> list[Any]:
    return list(client.get(url_of(model, "changelist"), query).context_data["cl"].result_list)


# --- lists and pages


@pytest.mark.parametrize("model", EVENTS, ids=lambda model: model.__name__)
def test_events_can_be_read_and_nothing_else(
    client: Client, world: World, model: type[Any]
) -> None:
    store(world)
    row = model.objects.first()
    assert client.get(url_of(model, "change", row.pk)).status_code == 200
    assert client.get(url_of(model, "add")).status_code == 403
    assert client.get(url_of(model, "delete", row.pk)).status_code == 403
    assert client.post(url_of(model, "change", row.pk), {"state": "held"}).status_code == 403
    deletion = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    client.post(url_of(model, "changelist"), deletion)
    assert model.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("model", EVENTS, ids=lambda model: model.__name__)
def test_a_list_asks_as_often_for_many_rows_as_for_few(
    client: Client, world: World, model: type[Any]
) -> None:
    store(world, text="one")
    url = url_of(model, "changelist")
    client.get(url)
    with CaptureQueriesContext(connection) as few:
        client.get(url)
    for number in range(10):
        store(world, text=f"text {number}")
    with CaptureQueriesContext(connection) as many:
        client.get(url)
    assert len(many) == len(few) <= 10


@pytest.mark.parametrize("model", EVENTS, ids=lambda model: model.__name__)
def test_what_strangers_wrote_is_shown_as_text(
    client: Client, world: World, model: type[Any]
) -> None:
    store(world, recipient=f'"{EVIL}"@a.example', text=EVIL, message_id=f"<{EVIL}@x>")
    row = model.objects.first()
    for url in (url_of(model, "changelist"), url_of(model, "change", row.pk)):
        page = client.get(url).content.decode()
        assert EVIL not in page
    assert "&lt;script&gt;" in page


def test_a_record_shows_its_trace_and_leads_on(client: Client, world: World) -> None:
    record = store(world)
    page = client.get(record.get_absolute_url()).content.decode()
    assert "The domain is served here: plain." in page
    for row in (record.message, record.deliveries.get(), world.domain, world.a):
        assert row.get_absolute_url() in page
    assert f"/admin/explain/?record={record.pk}" in page


def test_a_record_shows_what_came_of_the_sender_s_checks(client: Client, world: World) -> None:
    record = store(world)
    assert "not asked for" in client.get(record.get_absolute_url()).content.decode()
    checked = [["SPF", "pass", "far.example"], ["DKIM", "none", ""], ["DMARC", "pass", ""]]
    RoutingRecord.objects.filter(pk=record.pk).update(trace=[*record.trace, *checked])

    page = client.get(record.get_absolute_url()).content.decode()

    assert "SPF pass, DKIM none, DMARC pass" in page
    assert "SPF: pass (far.example)." in page


def test_a_record_outlives_what_it_points_at(client: Client, world: World) -> None:
    record = store(world)
    RoutingRecord.objects.filter(pk=record.pk).update(tenant=10**9, domain=10**9, address=10**9)
    Delivery.objects.update(tenant=10**9, target=10**9, hop=10**9)
    for row in (record, record.deliveries.get()):
        assert client.get(row.get_absolute_url()).status_code == 200
        assert client.get(url_of(type(row), "changelist")).status_code == 200


def test_no_list_of_events_counts_further_than_its_cap(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "COUNTED", 2)
    for _ in range(4):
        store(world)
    with CaptureQueriesContext(connection) as captured:
        page = client.get(url_of(RoutingRecord, "changelist")).content.decode()
    assert "2+ routing records" in page
    asked = [query["sql"] for query in captured if "gateway_routingrecord" in query["sql"]]
    counts = [sql for sql in asked if "COUNT(" in sql]
    assert counts
    assert all("LIMIT 3" in sql for sql in counts)


@pytest.mark.parametrize("model", [RoutingRecord, Message, Delivery], ids=lambda m: m.__name__)
def test_mail_is_found_by_address_queue_id_and_message_id(
    client: Client, world: World, model: type[Any]
) -> None:
    wanted = store(world, "Sales@a.example", message_id="<abc@far.example>")
    store(world, "other@a.example")
    for term in ("sales@", "SALES@a.example", "<abc@far.example>", "abc@far.example"):
        assert len(results(client, model, q=term)) == 1, term
    assert len(results(client, model, q=wanted.queue_id)) == 1
    assert results(client, model, q="ales@a.example") == []
    assert len(results(client, model, q="")) == 2


def test_records_are_filtered_by_answer_reason_tenant_and_time(
    client: Client, world: World
) -> None:
    store(world)
    refused = store(world)
    RoutingRecord.objects.filter(pk=refused.pk).update(
        accepted=False, reason="expired", tenant=world.b.pk
    )
    for query in (
        {"accepted__exact": "0"},
        {"reason": "expired"},
        {"tenant__id__exact": str(world.b.pk)},
    ):
        assert results(client, RoutingRecord, **query) == [refused], query
    assert len(results(client, RoutingRecord, within="day")) == 2


def test_deliveries_are_filtered_by_state_and_kind(client: Client, world: World) -> None:
    store(world, state=Delivery.State.DELIVERED)
    waiting = store(world).deliveries.get()
    assert results(client, Delivery, waiting="yes") == [waiting]
    assert results(client, Delivery, state__exact="deferred") == [waiting]
    assert len(results(client, Delivery, kind="mailbox")) == 2
    assert results(client, Delivery, kind="discard") == []


@pytest.mark.parametrize("state", Delivery.State.values)
def test_a_next_attempt_is_shown_where_one_is_due(client: Client, world: World, state: str) -> None:
    delivery = store(world, state=state).deliveries.get()
    due = timezone.now() + timedelta(days=400)
    Delivery.objects.update(next_attempt_at=due)
    is_shown = state in ("pending", "deferred")
    for url in (delivery.get_absolute_url(), url_of(Delivery, "changelist")):
        assert (f"{due:%Y-%m-%d}" in client.get(url).content.decode()) is is_shown


# --- Explain

CASES = [
    ("x@a.example", "anna@far.example", None),
    ("X+news@A.example.", "", None),
    ("off@a.example", "", None),
    ("small@a.example", "", 20_000),
    ("small@a.example", "", 5_000),
    ("partners@a.example", "anna@far.example", None),
    ("nobody@a.example", "", None),
    ("x@elsewhere.example", "", None),
    ("postmaster@a.example", "", 10**12),
    ("busy@a.example", "", None),
]


@pytest.fixture
def routed(world: World) -> World:
    make.make_alias(world.domain, "x")
    make.make_alias(world.domain, "off", enabled=False)
    make.make_alias(world.domain, "small", max_message_octets=10_000)
    make.make_alias(world.domain, "partners", allowed_senders=["@partner.example"])
    make.make_alias(world.domain, "busy", rate_per_hour=7)
    return world


def test_explain_says_what_is_checked_only_at_data(client: Client, world: World) -> None:
    make.make_alias(world.domain, "proof", authentication="dmarc", authentication_failure="hold")
    page = client.get("/admin/explain/", {"recipient": "proof@a.example", "sender": "a@b.example"})
    shown = page.content.decode()
    assert "<strong>sender authentication</strong>: checked at DATA" in shown
    assert "DMARC pass; else hold" in shown


@pytest.mark.parametrize(("recipient", "sender", "octets"), CASES)
def test_explain_answers_what_resolve_answers(
    client: Client, routed: World, recipient: str, sender: str, octets: int | None
) -> None:
    address = Address.parse(recipient)
    session = Session(Address.parse(sender) if sender else None, octets)
    decision = resolve(address, session, read_facts([address]))
    explanation = explain(recipient, sender, octets)
    assert explanation.decision == decision
    assert explanation.recipient == address
    query = {"recipient": recipient, "sender": sender, "size": str(octets or "")}
    response = client.get("/admin/explain/", query)
    page = response.content.decode()
    assert response.context_data["reply"] == decision.reply
    assert str(decision.reply) in page
    for step in decision.trace:
        assert f"<strong>{step.name}</strong>: {step.outcome}" in page


def test_explain_tells_what_would_be_counted(client: Client, routed: World) -> None:
    (count,) = explain("busy@a.example", "", None).counts
    assert (count.total, count.limit) == (0, 7)
    page = client.get("/admin/explain/", {"recipient": "busy@a.example"}).content.decode()
    assert "Messages to busy@a.example: 0 of 7 in the rolling hour" in page


def test_counters_are_called_after_what_they_count(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "busy", rate_per_hour=7)
    shown = {
        f"rate:address:{alias.pk}": ("messages to busy@a.example", "0 in the last hour"),
        f"rate:tenant:{world.a.pk}": ("messages to A", "0 in the last hour"),
        f"stored:tenant:{world.a.pk}": ("mail stored for A", "1.2 kB"),
        "rate:tenant:987654321": ("messages to tenant 987654321", "0 in the last hour"),
        "rate:tenant:x": ("rate:tenant:x", "0 in the last hour"),
    }
    Counter.objects.bulk_create(Counter(key=key, total=1200) for key in shown)
    page = client.get(url_of(Counter, "changelist")).content.decode()
    for key, (name, total) in shown.items():
        assert f">{name}</a>" in page
        row = client.get(url_of(Counter, "change", key)).content.decode()
        assert name in row
        assert total in row


@pytest.mark.parametrize("spelling", ["postmaster", "<postmaster>", "<Postmaster>", " postmaster "])
def test_postmaster_needs_no_domain(db: None, spelling: str) -> None:
    explanation = explain(spelling, "<>", None)
    assert explanation.reply == replies.ACCEPTED
    assert explanation.recipient is None


@pytest.mark.parametrize(
    ("recipient", "sender", "field", "reply"),
    [
        ("a..b@a.example", "", "recipient", replies.BAD_ADDRESS_SYNTAX),
        ("<>", "", "recipient", replies.BAD_ADDRESS_SYNTAX),
        ("anna", "", "recipient", replies.BAD_ADDRESS_SYNTAX),
        ("x@a.example", "a..b@far.example", "sender", replies.BAD_SENDER_SYNTAX),
        ("x@a.example", "a b@far.example", "sender", replies.MAIL_SYNTAX),
        ("x@a.example", "<a@far.example> SIZE=1", "sender", replies.MAIL_SYNTAX),
    ],
)
def test_bad_syntax_is_told_at_its_field_with_the_reply(
    client: Client, db: None, recipient: str, sender: str, field: str, reply: replies.Reply
) -> None:
    explanation = explain(recipient, sender, None)
    assert (explanation.reply, explanation.field) == (reply, field)
    response = client.get("/admin/explain/", {"recipient": recipient, "sender": sender})
    assert str(reply) in response.context_data["form"].errors[field][0]


@pytest.mark.parametrize(
    ("size", "octets"),
    [
        ("5 MB", 5_000_000),
        ("1.5 kB", 1_500),
        ("10 MiB", 10_485_760),
        ("42", 42),
        ("7mb", 7_000_000),
    ],
)
def test_sizes_are_taken_with_and_without_a_unit(client: Client, size: str, octets: int) -> None:
    form = client.get("/admin/explain/", {"recipient": "x@a.example", "size": size})
    assert form.context_data["form"].cleaned_data["size"] == octets


@pytest.mark.parametrize("size", ["many", "5 XB", "-1", "²", "0.5", "1" * 40])
def test_a_wrong_size_is_told_at_its_field(client: Client, size: str) -> None:
    response = client.get("/admin/explain/", {"recipient": "x@a.example", "size": size})
    assert set(response.context_data["form"].errors) == {"size"}
    assert "reply" not in response.context_data


def test_explain_without_anything_asks_for_nothing(client: Client) -> None:
    response = client.get("/admin/explain/")
    assert not response.context_data["form"].is_bound


def test_a_directory_that_fails_is_told_and_not_taken_for_absence(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> Any:
        raise LookupFailed("down")

    monkeypatch.setattr("gateway.explain.read_facts", fail)
    page = client.get("/admin/explain/", {"recipient": "x@a.example"}).content.decode()
    assert str(replies.TROUBLE) in page
    assert "did not answer" in page


def test_what_is_typed_into_explain_is_shown_as_text(client: Client) -> None:
    page = client.get("/admin/explain/", {"recipient": f'"{EVIL}"@a.example'}).content.decode()
    assert EVIL not in page


def store_for(world: World, domain: Any) -> RoutingRecord:
    """As `store`, of a domain and its tenant."""
    record = store(world, f"x@{domain.name}")
    RoutingRecord.objects.filter(pk=record.pk).update(domain=domain, tenant=domain.tenant)
    record.deliveries.update(tenant=domain.tenant)
    return record


@pytest.mark.parametrize("more", [{}, {"accepted__exact": "0"}])
def test_records_of_a_client_are_looked_for_among_the_newest(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch, more: dict[str, str]
) -> None:
    monkeypatch.setattr(filters, "NEWEST", 2)
    now = timezone.now()
    for minutes, name in enumerate(("192.0.2.1", "192.0.2.2", "192.0.2.1")):
        record(now + timedelta(minutes=minutes), is_accepted=False, client=name)

    def listed(name: str) -> int:
        page = client.get(url_of(RoutingRecord, "changelist"), {"client__exact": name} | more)
        return len(page.context_data["cl"].result_list)

    assert listed("192.0.2.1") == 1  # the other one is older than the newest two
    assert listed("192.0.2.2") == 1
    assert listed("192.0.2.9") == 0
    assert listed("nonsense") == 0


def test_refusals_on_domains_not_served_here_are_a_choice_of_their_own(
    client: Client, world: World
) -> None:
    for name in ("", "a.example"):
        RefusalCount.objects.create(domain_name=name, reason="x", minute=timezone.now())

    def listed(**query: str) -> list[str]:
        page = client.get(url_of(RefusalCount, "changelist"), query)
        return [row.domain_name for row in page.context_data["cl"].result_list]

    assert listed(served="no") == [""]
    assert listed(served="yes") == ["a.example"]
    assert len(listed()) == 2


def test_records_and_deliveries_are_filtered_by_domain_and_environment(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "NEWEST_OF_TENANT", 2)
    staging = make.make_domain(world.b, "c.example", environment="staging")
    domains = (world.domain, world.other_domain, staging)
    rows = [store_for(world, domain) for domain in domains]

    def listed(model: Any, **query: Any) -> list[Any]:
        page = client.get(url_of(model, "changelist"), query)
        return [getattr(row, "record_id", row.pk) for row in page.context_data["cl"].result_list]

    by_record, by_delivery = "domain__id__exact", "record__domain__id__exact"
    assert listed(RoutingRecord, **{by_record: staging.pk}) == [rows[2].pk]
    assert listed(Delivery, **{by_delivery: staging.pk}) == [rows[2].pk]
    assert listed(RoutingRecord, environment="staging") == [rows[2].pk]
    assert listed(RoutingRecord, environment="production") == [rows[1].pk, rows[0].pk]
    assert listed(RoutingRecord, environment="nowhere") == []
    assert listed(Delivery, environment="staging") == [rows[2].pk]
    assert listed(Delivery, environment="nowhere") == []
    Delivery.objects.update(state=Delivery.State.HELD)
    assert listed(Quarantined, environment="staging") == [rows[2].pk]
    for _ in range(2):
        store_for(world, world.other_domain)
    assert listed(RoutingRecord, **{by_record: staging.pk}) == []  # of its tenant's newest two
    assert listed(RoutingRecord, **{by_record: 0}) == []
    page = client.get(url_of(RoutingRecord, "changelist")).content.decode()
    assert "environment, of the newest 100,000" in page
