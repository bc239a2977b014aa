"""The trail: everything that happened to a message on one page, in order and in words."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gateway import trail
from gateway.delivery import hold
from gateway.models import Attempt, Delivery, Message, RoutingRecord
from gateway.routing.telling import tell
from tenants.changes import Actor
from tests.gateway import outbox
from tests.staff import client_of, make_staff

pytestmark = pytest.mark.django_db


@pytest.fixture
def client() -> Client:
    return client_of(make_staff())


def attempt(delivery: Delivery, number: int, outcome: str, reply: str) -> None:
    at = timezone.now() - timedelta(minutes=30 - number)
    Attempt.objects.create(
        delivery=delivery,
        number=number,
        started_at=at,
        finished_at=at + timedelta(seconds=1.5),
        outcome=outcome,
        remote="mx.store.example:25",
        reply=reply,
    )


def test_a_record_shows_connection_decision_data_attempts_and_interventions(
    client: Client,
) -> None:
    [delivery] = outbox.put(state=Delivery.State.DEFERRED)
    attempt(delivery, 1, "deferred", "451 4.2.0 busy <b>")
    attempt(delivery, 2, "deferred", "421 4.3.2 later")
    hold([delivery.pk], actor=Actor("admin", name="jo"), reason="asked to")
    Message.objects.update(
        client="192.0.2.7", helo="mx.far.example", protocol="ESMTPS", message_id="<1@far.example>"
    )
    steps = [
        ["domain", "hit", "a.example, active, tenant A"],
        ["content filter", "held", "suspicious, add header, 7.00 of 15.00"],
        ["SPF", "pass", "far.example"],
        ["reply", "accepted", "250 2.1.5 Recipient ok"],
    ]
    RoutingRecord.objects.update(trace=steps)
    page = client.get(delivery.record.get_absolute_url()).content.decode()
    told = (
        "192.0.2.7",
        "mx.far.example",
        "ESMTPS, over TLS",
        "The domain is served here: a.example, active, tenant A.",
        "held: suspicious, add header, 7.00 of 15.00",
        "SPF pass",
        "&lt;1@far.example&gt;",
        "451 4.2.0 busy &lt;b&gt;",
        "1.50 s",
        "mx.store.example:25",
        "421 4.3.2 later",
        "Hold by jo",
        "was deferred; “asked to”",
    )
    positions = [page.find(text) for text in told]
    assert -1 not in positions, told[positions.index(-1)]
    order = ("Connected", "Decided for", "DATA stored", "Attempt 1", "Attempt 2", "Hold by jo")
    assert [page.index(text) for text in order] == sorted(page.index(text) for text in order)


@pytest.mark.parametrize(
    ("codenames", "shown"),
    [
        (("view_routingrecord",), {"decided"}),
        (("view_routingrecord", "view_message"), {"decided", "helo"}),
        (("view_routingrecord", "view_delivery"), {"decided", "reply"}),
        (("view_message",), {"helo"}),
        (("view_message", "view_delivery"), {"helo"}),
        (("view_message", "view_routingrecord", "view_delivery"), {"decided", "helo", "reply"}),
    ],
)
def test_a_trail_shows_what_the_user_may_look_at(codenames: tuple[str, ...], shown: set[str]):
    [delivery] = outbox.put(state=Delivery.State.DEFERRED, last_reply="451 busy")
    attempt(delivery, 1, "deferred", "451 busy")
    Message.objects.update(helo="mx.far.example")
    RoutingRecord.objects.update(trace=[["domain", "hit", "decided-for-a-tenant"]])
    user = make_staff("some", is_superuser=False)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    told = {"helo": "mx.far.example", "decided": "decided-for-a-tenant", "reply": "451 busy"}
    client = client_of(user)
    rows = {"view_routingrecord": delivery.record, "view_message": delivery.message}
    for row in (row for codename, row in rows.items() if codename in codenames):
        page = client.get(row.get_absolute_url()).content.decode()
        found = {name for name, text in told.items() if text in page}
        assert found == shown, row


def test_a_message_shows_all_of_its_recipients(client: Client) -> None:
    rows = outbox.put(recipients=("one@store.example", "two@store.example"))
    page = client.get(rows[0].message.get_absolute_url()).content.decode()
    for row in rows:
        assert row.get_absolute_url() in page
        assert row.record.get_absolute_url() in page


def test_a_refused_recipient_has_a_trail_without_a_message(client: Client) -> None:
    [delivery] = outbox.put()
    record = RoutingRecord.objects.get(pk=delivery.record_id)
    record.pk, record.message, record.accepted = None, None, False
    record.pk = RoutingRecord._meta.pk.get_default()
    record.client = "192.0.2.9"
    record.save(force_insert=True)
    page = client.get(record.get_absolute_url()).content.decode()
    assert "to client 192.0.2.9" in page
    assert "DATA stored" not in page


def test_many_recipients_cost_no_more_queries_and_are_cut(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trail, "RECORDS_SHOWN", 5)

    def cost(count: int) -> int:
        rows = outbox.put(recipients=tuple(f"box{n}@store.example" for n in range(count)))
        with CaptureQueriesContext(connection) as captured:
            page = client.get(rows[0].message.get_absolute_url()).content.decode()
        assert ("More recipients than are shown here" in page) is (count > 5)
        return len(captured)

    cost(1)
    assert cost(2) == cost(9)


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (("rate", "refused", "450 4.2.1 wait"), "Refused by rate: 450 4.2.1 wait."),
        (
            ("call-ahead", "gone", "x via y"),
            "Asked about the mailbox, its next hop says “gone”: x via y.",
        ),
        (("DKIM", "none", ""), "DKIM: none."),
        (("target", "inbox", ""), "It is kept in the stored inbox."),
        (("new step", "odd", ""), "new step: odd"),
        (("new step", "odd", "{evil}"), "new step: odd ({evil})"),
        (
            ("domain", "no match", "{0} is not served here"),
            "{0} is not served here, so this would be relaying.",
        ),
    ],
)
def test_steps_are_told_in_words(step: tuple[str, str, str], told: str) -> None:
    assert tell(*step) == told
