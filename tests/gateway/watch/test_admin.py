"""First page, alarms and recipients in the admin: figures that agree, attributed deeds."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from gateway.models import Delivery, Outage
from gateway.watch import alarms, traffic
from gateway.watch.facts import Facts, Finding, Flood, Kind, LaneTrouble, Severity
from gateway.watch.figures import DEFAULT, WINDOWS
from gateway.watch.judge import judge
from gateway.watch.models import Alarm, AlarmRecipient, AlarmStep, Heartbeat
from gateway.watch.places import UNOPENED, reseal, unseal_all
from gateway.watch.reading import read_facts
from gateway.watch.webhook import conceal
from tenants.roles import Role
from tests import world as make
from tests.gateway import outbox
from tests.gateway.sink import Sink, running
from tests.gateway.watch.http_sink import HttpSink, http_sink
from tests.gateway.watch.mail import record, refusals
from tests.pages import data_of, form_of, url_of
from tests.staff import client_of, make_member_of_staff, make_staff
from tests.world import World

EVIL = "<script>alert(1)</script>"


def open_alarm(title: str = "Mail waits", *, subject: str = "queue") -> Alarm:
    finding = Finding(Kind.QUEUE, subject, Severity.CRITICAL, title, f"since noon {EVIL}")
    [alarm] = alarms.settle([finding], now=timezone.now())
    return alarm


def page_of(client: Client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


# --- the first page


@pytest.fixture
def busy(world: World) -> World:
    """Some mail and refusals of the last minutes, counted."""
    now = timezone.now()
    for _ in range(3):
        record(now - timedelta(minutes=2), tenant=world.a)
    record(now - timedelta(minutes=2), is_accepted=False, key=f"{EVIL}@a.example", client="::1")
    refusals(now - timedelta(minutes=2), "unknown-address", 9)
    refusals(now - timedelta(minutes=2), "rate", 4)
    traffic.fold(now)
    return world


@pytest.mark.parametrize("span", ["", "1h", "24h", "7d", "30d", "nonsense"])
def test_overview_draws_what_came_and_links_to_it(client: Client, busy: World, span: str) -> None:
    response = client.get("/admin/", {"span": span} if span else {})
    page = response.content.decode()
    shown = {
        number.title.split(",")[0]: number.value for number in response.context_data["numbers"]
    }
    assert shown["Accepted"] == "3"
    assert shown["Refused"] == "9"
    assert shown["Deferred"] == "4"
    assert "Mail is counted up to" in page
    assert 'aria-label="Refused, by reason: 9 unknown address"' in page
    assert EVIL not in page
    rankings = response.context_data["rankings"]
    assert [len(ranking.lines) for ranking in rankings] == [1, 1, 1, 1, 0]
    within = f"within={WINDOWS.get(span, DEFAULT).within}"
    for shown_with in (response.context_data["numbers"][:3], *(each.lines for each in rankings)):
        assert all(within in each.url for each in shown_with)
    for line in [line for ranking in rankings for line in ranking.lines]:
        assert client.get(line.url).status_code == 200
    for chart in response.context_data["charts"]:
        for series in chart.series:
            assert not series.url or client.get(series.url).status_code == 200


def test_overview_of_a_quiet_installation_says_so(client: Client, world: World) -> None:
    page = page_of(client, "/admin/")
    assert "No mail came in this time" in page
    assert "Mail has not been counted yet" in page
    assert "Nobody looks for trouble" in page


def ranked(client: Client, title: str, **asked: str) -> list[Any]:
    """The lines of one ranking."""
    rankings = client.get("/admin/", asked).context_data["rankings"]
    [lines] = [ranking.lines for ranking in rankings if ranking.title == title]
    return list(lines)


def listed_at(client: Client, url: str) -> list[Any]:
    """The rows of the list that a link leads to."""
    return list(client.get(url).context_data["cl"].result_list)


def test_overview_shows_next_hops_that_are_out_or_put_mail_off(
    client: Client, world: World
) -> None:
    out, slow = make.make_hop(name="Store 7"), make.make_hop(name="Store 8")
    now = timezone.now()
    Outage.objects.create(lane=f"mailbox:{out.pk}", since=now, until=now, place="x:25")
    Outage.objects.create(lane="forward:0", since=now, until=now, place="relay.example:25")
    troubles = [LaneTrouble(f"mailbox:{hop.pk}", hop.name, hop.pk, None) for hop in (out, slow)]
    late = [
        replace(each, deferred=50, oldest_deferred_at=now - timedelta(hours=1)) for each in troubles
    ]
    alarms.settle(judge(Facts(now, lanes=late), {}), now=now)
    outbox.put(slow, state=Delivery.State.DELIVERED)
    waiting = {hop: outbox.put(hop, state=Delivery.State.DEFERRED) for hop in (out, slow)}
    lines = ranked(client, "Targets failing")
    assert [line.name for line in lines] == [str(out), "relay.example:25", str(slow)]
    assert [line.value.partition(" since")[0] for line in lines] == ["out", "out", "puts mail off"]
    assert listed_at(client, lines[0].url) == waiting[out]
    assert listed_at(client, lines[2].url) == waiting[slow]


def test_mail_that_was_let_go_on_is_put_off_since_then_alone(world: World) -> None:
    hop, now = make.make_hop(name="Store 7"), timezone.now()
    outbox.put(hop, state=Delivery.State.DEFERRED)
    Delivery.objects.update(created_at=now - timedelta(days=3), tried_since=now)
    [lane] = read_facts(now).lanes
    assert lane.oldest_deferred_at == now


def test_the_alarm_of_domains_not_served_here_leads_to_just_these_refusals(
    client: Client, world: World
) -> None:
    facts = Facts(timezone.now(), floods=[Flood("", 5000)])
    opened = alarms.settle(judge(facts, {}), now=facts.now)
    [alarm] = [each for each in opened if each.kind == Kind.ATTACK]
    refusals(facts.now, "relay-denied", 7, domain="")
    refusals(facts.now, "unknown-address", 7)
    assert [row.domain_name for row in listed_at(client, alarm.link)] == [""]


@pytest.mark.parametrize("span", ["1h", "24h", "7d", "30d"])
def test_overview_leads_to_what_it_counts(client: Client, busy: World, span: str) -> None:
    refused = record(timezone.now(), is_accepted=False, key="twice@a.example")
    record(timezone.now(), key="twice@a.example")
    record(timezone.now() - timedelta(days=31), is_accepted=False, key="twice@a.example")
    traffic.fold(timezone.now())
    numbers = client.get("/admin/", {"span": span}).context_data["numbers"]
    _, refusals_of, deferrals = numbers[:3]
    for number in (refusals_of, deferrals):
        assert f"{sum(row.count for row in listed_at(client, number.url))}" == number.value
    [line] = [
        each
        for each in ranked(client, "Most refused recipients", span=span)
        if each.name == refused.key
    ]
    assert [row.pk for row in listed_at(client, line.url)] == [refused.pk]
    [line] = ranked(client, "Most refused tenants", span=span)
    assert f"{sum(row.count for row in listed_at(client, line.url))}" == line.value == "9"


def test_overview_tells_of_open_alarms_and_how_many_there_are(client: Client, world: World) -> None:
    Heartbeat.objects.create(process="worker a", role="worker", at=timezone.now())
    alarms.evaluate(timezone.now())  # no beat
    page = page_of(client, "/admin/")
    assert "No beat is running" in page
    assert "1 open alarm" in page
    assert '<span class="panel-badge">' in page
    Alarm.objects.update(snoozed_until=timezone.now() + timedelta(hours=1))
    page = page_of(client, "/admin/")
    assert "No beat is running" not in page
    assert '<span class="panel-badge">' not in page


def test_overview_asks_as_often_for_much_mail_as_for_little(client: Client, busy: World) -> None:
    def asked() -> int:
        client.get("/admin/")
        with CaptureQueriesContext(connection) as captured:
            client.get("/admin/")
        return len(captured)

    few = asked()
    now = timezone.now()
    for number in range(8):
        tenant = make.make_tenant()
        record(now - timedelta(minutes=1), tenant=tenant)
        record(now, is_accepted=False, key=f"x{number}@a.example", client=f"192.0.2.{number}")
    traffic.fold(now)
    assert asked() == few


def test_overview_shows_each_what_it_may_see(busy: World) -> None:
    open_alarm("Secret trouble")
    response = client_of(make_staff("nobody", is_superuser=False)).get("/admin/")
    page = response.content.decode()
    assert "Secret trouble" not in page
    assert "Recipients" not in page
    assert response.context_data["numbers"] == []


# --- alarms


def test_list_filters_by_what_has_become_of_an_alarm(client: Client, ops: User) -> None:
    now = timezone.now()
    rows = [open_alarm(f"Trouble {name}", subject=name) for name in ("new", "mine", "snoozed")]
    closed = open_alarm("Trouble over", subject="over")
    mine, snoozed = rows[1], rows[2]
    Alarm.objects.filter(pk=mine.pk).update(assigned_to=ops, acknowledged_at=now)
    Alarm.objects.filter(pk=snoozed.pk).update(snoozed_until=now + timedelta(hours=1))
    Alarm.objects.filter(pk=closed.pk).update(closed_at=now)

    def listed(state: str) -> set[str]:
        rows = client.get(url_of(Alarm, "changelist"), {"open": state}).context_data["cl"]
        return {alarm.subject for alarm in rows.result_list}

    assert listed("yes") == {"new", "mine"}
    assert listed("new") == {"new"}
    assert listed("mine") == {"mine"}
    assert listed("snoozed") == {"snoozed"}
    assert listed("no") == {"over"}
    assert listed("") == {"new", "mine", "snoozed", "over"}


def care(client: Client, alarm: Alarm, deed: str, **sent: Any) -> str:
    url = f"/admin/watch/alarm/{alarm.pk}/care/{deed}/"
    response = client.post(url, sent, follow=True)
    assert response.status_code == 200
    alarm.refresh_from_db()
    return response.content.decode()


def test_alarm_is_acknowledged_snoozed_assigned_and_noted_on_its_page(
    client: Client, ops: User, world: World
) -> None:
    alarm = open_alarm()
    assert "You look after this alarm now" in care(client, alarm, "acknowledge")
    assert alarm.acknowledged_by == ops
    care(client, alarm, "assign", to=str(ops.pk))
    assert alarm.assigned_to == ops
    page = care(client, alarm, "snooze", hours="24")
    assert "End the snooze" in page
    assert timedelta(hours=23) < alarm.snoozed_until - timezone.now() <= timedelta(hours=24)
    care(client, alarm, "wake")
    assert alarm.snoozed_until is None
    page = care(client, alarm, "note", note=f"Ordered a disk {EVIL}")
    assert "Ordered a disk" in page
    assert EVIL not in page
    care(client, alarm, "assign", to="")
    assert alarm.assigned_to is None
    steps = AlarmStep.objects.exclude(what="opened").order_by("id")
    assert [step.what for step in steps] == [
        "acknowledged",
        "assigned",
        "snoozed",
        "woken",
        "noted",
        "assigned",
    ]
    assert {(step.actor, step.surface) for step in steps} == {("ops", "admin")}


@pytest.mark.parametrize(
    ("deed", "sent"),
    [
        ("snooze", {"hours": "1000000"}),
        ("snooze", {}),
        ("assign", {"to": "0"}),
        ("assign", {"to": "ann"}),
        ("wake", {}),
    ],
)
def test_deed_that_makes_no_sense_changes_nothing(
    client: Client, world: World, deed: str, sent: dict[str, str]
) -> None:
    alarm = open_alarm()
    assert "Nothing to do" in care(client, alarm, deed, **sent)
    assert alarm.steps.count() == 1


def test_alarm_goes_to_staff_alone(client: Client, world: World) -> None:
    alarm = open_alarm()
    assert "Nothing to do" in care(client, alarm, "assign", to=str(world.owner.pk))
    page = page_of(client, alarm.get_absolute_url())
    assert world.owner.username not in page


def test_page_cannot_be_asked_for_a_deed_by_a_link(client: Client, world: World) -> None:
    alarm = open_alarm()
    assert client.get(f"/admin/watch/alarm/{alarm.pk}/care/acknowledge/").status_code == 405
    assert client.post(f"/admin/watch/alarm/{alarm.pk}/care/burn/").status_code == 404


def test_closed_alarm_offers_nothing_but_its_note(client: Client, world: World) -> None:
    alarm = open_alarm()
    Alarm.objects.update(closed_at=timezone.now())
    page = page_of(client, alarm.get_absolute_url())
    assert "Keep the note" in page
    assert "Acknowledge" not in page


@pytest.mark.parametrize(
    ("action", "changed"),
    [
        ("acknowledge_all", "acknowledged_at"),
        ("take_all", "assigned_to"),
        ("snooze_all", "snoozed_until"),
    ],
)
def test_several_alarms_are_taken_care_of_from_the_list(
    client: Client, world: World, action: str, changed: str
) -> None:
    rows = [open_alarm(subject=name) for name in ("a", "b")]
    sent = {"action": action, "_selected_action": [alarm.pk for alarm in rows]}
    response = client.post(url_of(Alarm, "changelist"), sent, follow=True)
    assert "2 alarms" in response.content.decode()
    for alarm in rows:
        alarm.refresh_from_db()
        assert getattr(alarm, changed) is not None


# --- recipients


@pytest.fixture
def smtp(settings: Any, socket_enabled: None) -> Iterator[Sink]:
    with running(Sink()) as sink:
        settings.PANEL_MAIL_URL = f"smtp://127.0.0.1:{sink.port}"
        yield sink


@pytest.fixture
def hook(settings: Any, socket_enabled: None) -> Iterator[HttpSink]:
    settings.ALARM_WEBHOOKS_ALLOW_PRIVATE_ADDRESSES = True
    with http_sink() as sink:
        yield sink


def add(client: Client, **fields: Any) -> Any:
    url = url_of(AlarmRecipient, "add")
    unticked = data_of(client.get(url))
    del unticked["kinds"]  # boxes that a browser does not send
    return client.post(url, unticked | {"enabled": "on", **fields})


def test_recipient_is_added_with_a_reason_and_tried(
    client: Client, world: World, smtp: Sink
) -> None:
    sent = {"name": "On call", "address": "on-call@staff.example", "kinds": ["disk", "queue"]}
    assert add(client, **sent, change_reason="Night shift").status_code == 302
    [recipient] = AlarmRecipient.objects.all()
    assert recipient.kinds == ["disk", "queue"]
    response = client.post(f"{url_of(AlarmRecipient, 'changelist')}{recipient.pk}/test/")
    page = page_of(client, response["Location"])
    assert "The test was sent to on-call@staff.example: taken by 127.0.0.1" in page
    assert smtp.received[0].recipients == ("on-call@staff.example",)
    history = page_of(client, url_of(AlarmRecipient, "history", recipient.pk))
    assert "Take it back" not in history  # only what routes mail is taken back
    assert "Night shift" in history


def test_test_that_fails_says_why_and_stays_in_sight(
    client: Client, world: World, hook: HttpSink
) -> None:
    hook.status, hook.answer = 500, b"broken today" + EVIL.encode()
    recipient = make.save(AlarmRecipient(name="Chat", channel="webhook", address=hook.url))
    url = f"{url_of(AlarmRecipient, 'changelist')}{recipient.pk}/test/"
    page = client.post(url, follow=True).content.decode()
    assert "The test was not sent" in page
    assert page.count("500 broken today") == 2
    assert EVIL not in page


HOOK = "https://chat.example/services/T0/B0/s3cret"


def test_the_path_of_a_webhook_is_shown_to_those_alone_who_may_change_it(
    client: Client, world: World
) -> None:
    recipient = make.save(AlarmRecipient(name="Chat", channel="webhook", address=HOOK))
    recipient.address = f"{HOOK}2"
    make.save(recipient)
    auditor = client_of(make_member_of_staff(Role.AUDITOR))
    own = url_of(AlarmRecipient, "change", recipient.pk)
    shown = [
        page_of(who, url)
        for who, url in (
            (client, url_of(AlarmRecipient, "changelist")),
            (client, url_of(AlarmRecipient, "history", recipient.pk)),
            (auditor, own),
        )
    ]
    assert all("https://chat.example/… (" in page for page in shown)
    assert not any("s3cret" in page for page in shown)
    assert conceal(HOOK) in shown[1]
    assert conceal(recipient.address) in shown[1]
    assert "s3cret" not in page_of(client, own)


def stored_addresses() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT address FROM watch_alarmrecipient "
            "UNION SELECT address FROM watch_alarmrecipientevent"
        )
        return {address for (address,) in cursor.fetchall()}


def test_a_webhook_s_address_is_sealed_in_the_database_and_its_history(world: World) -> None:
    recipient = make.save(AlarmRecipient(name="Chat", channel="webhook", address=HOOK))
    make.save(AlarmRecipient(name="Jo", channel="mail", address="jo@staff.example"))

    [mail, hook] = sorted(stored_addresses())
    assert mail == "jo@staff.example"
    assert hook.startswith("sealed:")
    assert "s3cret" not in hook
    recipient.refresh_from_db()
    assert recipient.address == HOOK


def test_a_webhook_keeps_its_address_when_something_else_of_it_is_changed(
    client: Client, world: World
) -> None:
    recipient = make.save(AlarmRecipient(name="Chat", channel="webhook", address=HOOK))
    before = stored_addresses()
    own = url_of(AlarmRecipient, "change", recipient.pk)
    values = {"name": "Chat", "channel": "webhook", "minimum_severity": 1, "change_reason": "x"}
    kept = client.post(own, values | {"name": "Talk", "address": conceal(HOOK)})
    recipient.refresh_from_db()
    assert (kept.status_code, recipient.name, recipient.address) == (302, "Talk", HOOK)
    assert stored_addresses() == before
    client.post(own, values | {"address": f"{HOOK}2"})
    recipient.refresh_from_db()
    assert recipient.address == f"{HOOK}2"


def test_keys_change_one_after_the_other_without_a_webhook_lost(
    world: World, settings: Settings
) -> None:
    recipient = make.save(AlarmRecipient(name="Chat", channel="webhook", address=HOOK))
    settings.ENCRYPTION_KEYS = ["new", *settings.ENCRYPTION_KEYS]
    call_command("reseal", stdout=StringIO())
    settings.ENCRYPTION_KEYS = ["new"]
    recipient.refresh_from_db()
    assert recipient.address == HOOK
    assert {event.address for event in AlarmRecipient.pgh_event_model.objects.all()} == {HOOK}


def test_a_webhook_whose_key_is_gone_says_so_and_asks_for_its_address(
    client: Client, world: World, settings: Settings
) -> None:
    recipient = make.save(AlarmRecipient(name="Chat", channel="webhook", address=HOOK))
    settings.ENCRYPTION_KEYS = ["another"]
    own = url_of(AlarmRecipient, "change", recipient.pk)
    assert "not in ENCRYPTION_KEYS" in page_of(client, own)
    tried = client.post(own.replace("change/", "test/"), follow=True).content.decode()
    assert "its address cannot be read" in tried
    values = {"name": "Chat", "channel": "webhook", "minimum_severity": 1, "change_reason": "x"}
    refused = client.post(own, values | {"address": UNOPENED})
    assert "address" in refused.context_data["adminform"].form.errors


def test_what_stood_open_is_sealed_by_the_migration_and_opened_by_its_reverse(
    world: World,
) -> None:
    make.save(AlarmRecipient(name="Chat", channel="webhook", address=HOOK))
    tables = ("watch_alarmrecipient", "watch_alarmrecipientevent")
    events = AlarmRecipient.pgh_event_model.objects.count()
    unseal_all(*tables)
    assert stored_addresses() == {HOOK}
    reseal(*tables)
    assert all(address.startswith("sealed:") for address in stored_addresses())
    assert AlarmRecipient.pgh_event_model.objects.count() == events


@pytest.mark.parametrize("address", ["jo@staff.example", "https://chat.example/"])
def test_an_address_without_a_secret_is_shown_whole(address: str) -> None:
    assert conceal(address) == address


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"address": "nobody"}, "Write a mail address as name@example.com."),
        (
            {"channel": "webhook", "address": "ftp://x/"},
            "Write the address as https://example.com/path.",
        ),
    ],
)
def test_address_that_is_none_is_told_at_its_field(
    client: Client, world: World, fields: dict[str, str], sentence: str
) -> None:
    response = add(client, **({"name": "X", "channel": "mail"} | fields))
    assert form_of(response).errors == {"address": [sentence]}


def test_moment_of_the_last_notice_is_in_the_list(client: Client, world: World, smtp: Sink) -> None:
    recipient = make.save(AlarmRecipient(name="On call", address="on-call@staff.example"))
    client.post(f"{url_of(AlarmRecipient, 'changelist')}{recipient.pk}/test/")
    [row] = client.get(url_of(AlarmRecipient, "changelist")).context_data["cl"].result_list
    assert isinstance(row.last_sent_at, datetime)
