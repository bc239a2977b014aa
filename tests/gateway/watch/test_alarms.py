"""Alarms as rows: opened and closed by real facts, taken care of by staff, told once."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.utils import ProgrammingError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client import REGISTRY

from gateway.models import Counter, Delivery, Outage
from gateway.routing.policy import storage_counter, tenant_rate_counter
from gateway.watch import alarms, judge, metrics  # noqa: F401 - the last registers the gauge
from gateway.watch.facts import Finding, Kind, Severity
from gateway.watch.ledger import CLEAR_AFTER
from gateway.watch.models import (
    Alarm,
    AlarmRecipient,
    AlarmStep,
    Heartbeat,
    Notice,
    Progress,
    QueueReading,
)
from tenants import lock
from tenants.changes import Actor
from tenants.models import Domain, DomainCheck
from tests import world as make
from tests.gateway import outbox
from tests.gateway.watch.mail import record, refusals
from tests.world import World

MINUTE = timedelta(minutes=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def alive(empty: None, now: datetime) -> None:
    """Worker and beat live."""
    for role in ("worker", "beat"):
        Heartbeat.objects.create(process=f"{role} a:1", role=role, at=now + timedelta(hours=1))


@pytest.fixture
def everyone(empty: None) -> AlarmRecipient:
    return make.save(AlarmRecipient(name="Everyone", address="ops@staff.example"))


def opened() -> list[tuple[str, str, int]]:
    rows = Alarm.objects.open().order_by("kind", "subject")
    return list(rows.values_list("kind", "subject", "severity"))


def finding(severity: Severity = Severity.WARNING, *, subject: str = "queue") -> Finding:
    return Finding(Kind.QUEUE, subject, severity, f"Mail waits: {subject}", "since noon")


# --- what is read


def test_nothing_in_trouble_opens_nothing(world: World, alive: None, now: datetime) -> None:
    make.make_alias(world.domain, "x")
    assert alarms.evaluate(now) == []
    assert opened() == []
    assert Progress.objects.get(job=alarms.JOB).until == now
    assert QueueReading.objects.get().waiting == 0


def test_domains_in_trouble(world: World, alive: None, now: datetime) -> None:
    failing = {"record_name": "a.example", "standing": "wrong", "since": now}
    check = DomainCheck(domain=world.domain, kind="mx", record_type="MX", **failing)
    make.save(check)
    make.save(DomainCheck(domain=world.other_domain, kind="spf", record_type="TXT", **failing))
    degraded = make.make_domain(world.b, "c.example", state=Domain.State.DEGRADED)
    make.make_domain(world.b, "d.example", state=Domain.State.PENDING)
    alarms.evaluate(now)
    assert set(opened()) == {
        ("domain", f"domain:{world.domain.pk}", 1),
        ("domain", f"domain:{degraded.pk}", 2),
    }


def test_next_hop_that_is_out_or_puts_mail_off(world: World, alive: None, now: datetime) -> None:
    out, slow = make.make_hop(name="Out"), make.make_hop(world.a, name="Slow")
    Outage.objects.create(
        lane=f"mailbox:{out.pk}", since=now - 10 * MINUTE, until=now, place="x", reply="no route"
    )
    waiting: dict[str, Any] = {
        "state": Delivery.State.DEFERRED,
        "created_at": now - 60 * MINUTE,
        "next_attempt_at": now + MINUTE,
        "last_reply": "451 busy",
    }
    for _ in range(judge.DEFERRED_LEAST):
        outbox.put(slow, tenant_id=world.a.pk, **waiting)
    outbox.put(make.make_hop(), **waiting)
    alarms.evaluate(now)
    assert set(opened()) == {
        ("target", f"lane:mailbox:{out.pk}", 1),
        ("target", f"lane:mailbox:{slow.pk}", 1),
    }
    of_slow = Alarm.objects.get(subject=f"lane:mailbox:{slow.pk}")
    assert of_slow.title.startswith("Slow")
    assert "451 busy" in of_slow.evidence
    assert of_slow.tenant == world.a


def test_quotas(world: World, alive: None, now: datetime) -> None:
    plan = make.make_plan(
        messages_per_hour=100, stored_octets=1000, max_domains=5, max_addresses=10
    )
    tenant = make.make_tenant("Full", plan=plan)
    domains = [make.make_domain(tenant) for _ in range(4)]
    for number in range(10):
        make.make_alias(domains[0], f"a{number}")
    Counter.objects.create(
        key=tenant_rate_counter(tenant.pk),
        minute=int(now.timestamp()) // 60,
        counts=[50, 35],
        total=85,
    )
    Counter.objects.create(key=storage_counter(tenant.pk), total=790)
    alarms.evaluate(now)
    assert opened() == [
        ("quota", f"tenant:{tenant.pk}:addresses", 2),
        ("quota", f"tenant:{tenant.pk}:domains", 1),
        ("quota", f"tenant:{tenant.pk}:messages per hour", 1),
    ]
    assert {alarm.tenant_id for alarm in Alarm.objects.all()} == {tenant.pk}


def test_floods_of_refusals(world: World, alive: None, now: datetime) -> None:
    refusals(now - MINUTE, "unknown-address", 600)
    refusals(now - MINUTE, "rate", 9000, domain="b.example")  # not an attack: come again
    refusals(now - 30 * MINUTE, "unknown-address", 9000, domain="b.example")
    for _ in range(150):
        record(now - MINUTE, is_accepted=False, client="192.0.2.66")
    record(now - MINUTE, is_accepted=False, client="192.0.2.1")
    alarms.evaluate(now)
    assert opened() == [("attack", "client:192.0.2.66", 1), ("attack", "domain:a.example", 1)]
    assert Alarm.objects.get(subject="domain:a.example").tenant == world.a


def test_processes_disks_and_mail_that_waits(world: World, now: datetime) -> None:
    Heartbeat.objects.create(process="worker a:1", role="worker", at=now - 5 * MINUTE)
    Heartbeat.objects.create(process="beat a:1", role="beat", at=now)
    Heartbeat.objects.create(
        process="gateway a:1",
        role="gateway",
        at=now,
        disk_free_octets=90,
        disk_reserve_octets=100,
    )
    Heartbeat.objects.create(process="gateway old:1", role="gateway", at=now - timedelta(days=2))
    due = {"next_attempt_at": now - 20 * MINUTE}
    outbox.put(make.make_hop(), **due)
    out = make.make_hop()
    outbox.put(out, next_attempt_at=now - timedelta(hours=9))
    Outage.objects.create(lane=f"mailbox:{out.pk}", since=now, until=now, place="x")
    alarms.evaluate(now)
    assert opened() == [
        ("disk", "process:gateway a:1", 2),
        ("process", "role:worker", 2),
        ("queue", "queue", 1),
    ]
    assert not Heartbeat.objects.filter(process="gateway old:1").exists()


def test_last_process_of_a_role_is_missed_until_it_was_stopped_in_order(
    alive: None, now: datetime
) -> None:
    for number, at in enumerate((now - MINUTE, now)):
        Heartbeat.objects.create(process=f"gateway a:{number}", role="gateway", at=at)
    for later in (timedelta(hours=1), timedelta(days=2), timedelta(days=9)):
        Heartbeat.objects.exclude(role="gateway").update(at=now + later + timedelta(hours=1))
        alarms.evaluate(now + later)
        assert opened() == [("process", "role:gateway", 2)]
    assert [pulse.process for pulse in Heartbeat.objects.filter(role="gateway")] == ["gateway a:1"]
    Heartbeat.objects.filter(role="gateway").delete()  # as one does that is stopped in order
    alarms.evaluate(now + timedelta(days=9, minutes=1))
    alarms.evaluate(now + timedelta(days=9, minutes=1) + CLEAR_AFTER)
    assert opened() == []


def test_looking_asks_as_often_for_many_as_for_few(
    world: World, alive: None, now: datetime
) -> None:
    def asked(at: datetime) -> int:
        with CaptureQueriesContext(connection) as captured:
            alarms.evaluate(at)
        return len(captured)

    make.make_tenant(max_domains=5)
    outbox.put(make.make_hop(), state=Delivery.State.DEFERRED)
    asked(now)
    few = asked(now + MINUTE)
    for _ in range(5):
        tenant = make.make_tenant(max_domains=50)
        make.make_domain(tenant)
        outbox.put(make.make_hop(), state=Delivery.State.DEFERRED)
    assert asked(now + 2 * MINUTE) == few


# --- open, worse, closed


def test_alarm_opens_once_becomes_worse_eases_and_closes_by_itself(
    empty: None, now: datetime, everyone: AlarmRecipient
) -> None:
    alarms.settle([finding()], now=now)
    [alarm] = Alarm.objects.all()
    alarms.settle([finding()], now=now + MINUTE)
    alarms.settle([finding(Severity.CRITICAL)], now=now + 2 * MINUTE)
    alarms.settle([finding()], now=now + 3 * MINUTE)
    alarms.settle([], now=now + 4 * MINUTE)
    alarm.refresh_from_db()
    assert alarm.is_open
    alarms.settle([], now=now + 4 * MINUTE + CLEAR_AFTER)
    alarm.refresh_from_db()
    assert not alarm.is_open
    steps = alarm.steps.order_by("id").values_list("what", flat=True)
    assert list(steps) == ["opened", "worsened", "eased", "closed"]
    told = Notice.objects.order_by("created_at").values_list("subject", flat=True)
    assert list(told) == [
        "Warning opened: Mail waits: queue",
        "Critical became worse: Mail waits: queue",
        "Closed: Mail waits: queue",
    ]
    alarms.settle([finding()], now=now + timedelta(hours=1))
    assert Alarm.objects.count() == 2


def test_two_open_alarms_of_one_subject_are_impossible(empty: None, now: datetime) -> None:
    alarms.settle([finding()], now=now)
    with pytest.raises(IntegrityError), transaction.atomic():
        alarms._apply(alarms.Change(alarms.Turn.OPENED, finding=finding()), None, now)


def test_steps_are_never_changed(empty: None, now: datetime) -> None:
    alarms.settle([finding()], now=now)
    for change in (
        lambda: AlarmStep.objects.update(text="other"),
        AlarmStep.objects.all().delete,
    ):
        with pytest.raises(ProgrammingError), transaction.atomic():
            change()


def test_many_that_open_together_are_one_notice(
    empty: None, now: datetime, everyone: AlarmRecipient
) -> None:
    alarms.settle([finding(subject=f"s{number}") for number in range(60)], now=now)
    [notice] = Notice.objects.all()
    assert notice.subject == "60 alarms: 60 opened"
    assert "And 10 more, in the panel." in notice.text
    assert len(notice.payload["data"]["alarms"]) == 60


@pytest.mark.parametrize(
    ("wish", "is_told"),
    [
        ({}, True),
        ({"kinds": ["queue", "disk"]}, True),
        ({"kinds": ["disk"]}, False),
        ({"minimum_severity": Severity.CRITICAL}, False),
        ({"enabled": False}, False),
    ],
)
def test_recipient_is_told_what_it_wants(
    empty: None, now: datetime, everyone: AlarmRecipient, wish: dict[str, Any], is_told: bool
) -> None:
    AlarmRecipient.objects.update(**wish)
    alarms.settle([finding()], now=now)
    assert Notice.objects.exists() is is_told


def test_only_one_process_looks_at_a_time(alive: None, now: datetime, other_session: Any) -> None:
    other_session.execute("SELECT pg_advisory_lock(%s, 0)", [lock.ALARMS])
    assert alarms.evaluate(now) is None


@pytest.fixture
def other_session(empty: None) -> Iterator[Any]:
    """A session of another process at the same database."""
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            yield cursor
    finally:
        other.close()


# --- what staff do


def test_deeds_leave_a_step_with_who_did_them(ops: User, now: datetime) -> None:
    actor = Actor("admin", ops, client="192.0.2.5")
    alarms.settle([finding()], now=now)
    [alarm] = Alarm.objects.all()
    assert alarms.acknowledge([alarm], actor=actor, now=now, text="I am on it") == 1
    alarm.refresh_from_db()
    assert alarms.acknowledge([alarm], actor=actor, now=now) == 0
    alarms.assign([alarm], to=ops, actor=actor, now=now)
    alarms.snooze([alarm], until=now + timedelta(hours=4), actor=actor, now=now)
    alarms.annotate(alarm, note="The disk is on order", actor=actor, now=now)
    alarm.refresh_from_db()
    assert (alarm.acknowledged_by, alarm.assigned_to) == (ops, ops)
    assert alarm.note == "The disk is on order"
    steps = alarm.steps.exclude(what="opened").order_by("id")
    assert [(step.what, step.actor, step.client) for step in steps] == [
        (what, "ops", "192.0.2.5") for what in ("acknowledged", "assigned", "snoozed", "noted")
    ]


def test_snoozed_alarm_is_neither_counted_nor_told(
    ops: User, now: datetime, everyone: AlarmRecipient
) -> None:
    actor = Actor("admin", ops)
    alarms.settle([finding()], now=now)
    [alarm] = Alarm.objects.all()
    alarms.snooze([alarm], until=now + timedelta(hours=4), actor=actor, now=now)
    alarms.settle([finding(Severity.CRITICAL)], now=now + MINUTE)
    assert Notice.objects.count() == 1
    assert not Alarm.objects.asking().exists()
    alarm.refresh_from_db()
    alarms.wake([alarm], actor=actor, now=now)
    assert Alarm.objects.asking().count() == 1


@pytest.mark.parametrize(
    ("first", "meanwhile", "later", "told"),
    [
        (Severity.WARNING, Severity.CRITICAL, [Severity.CRITICAL], ["Critical became worse"]),
        (Severity.WARNING, Severity.CRITICAL, [Severity.CRITICAL] * 2, ["Critical became worse"]),
        (Severity.WARNING, Severity.WARNING, [Severity.WARNING], []),
        (Severity.WARNING, Severity.CRITICAL, [Severity.WARNING], []),
        (Severity.CRITICAL, Severity.WARNING, [Severity.CRITICAL], ["Critical became worse"]),
    ],
)
def test_what_became_worse_while_snoozed_is_told_once_when_the_snooze_ends(
    ops: User,
    now: datetime,
    everyone: AlarmRecipient,
    first: Severity,
    meanwhile: Severity,
    later: list[Severity],
    told: list[str],
) -> None:
    alarms.settle([finding(first)], now=now)
    over = now + timedelta(hours=4)
    alarms.snooze(Alarm.objects.all(), until=over, actor=Actor("admin", ops), now=now)
    alarms.settle([finding(meanwhile)], now=now + MINUTE)
    alarms.settle([], now=over)
    for number, severity in enumerate(later, 1):
        alarms.settle([finding(severity)], now=over + number * MINUTE)
    subjects = Notice.objects.order_by("created_at").values_list("subject", flat=True)
    assert [subject.partition(":")[0] for subject in subjects[1:]] == told


@pytest.mark.parametrize(
    ("first", "while_snoozed", "later", "is_told"),
    [
        (Severity.CRITICAL, None, Severity.WARNING, True),
        (Severity.CRITICAL, Severity.WARNING, None, True),
        (Severity.CRITICAL, None, None, True),
        (Severity.WARNING, None, None, False),
        (Severity.WARNING, Severity.CRITICAL, None, False),
    ],
    ids=["eased", "eased while snoozed", "as it was", "never so bad", "so bad while snoozed"],
)
@pytest.mark.parametrize("is_snoozed", [False, True])
def test_who_was_told_that_it_opened_is_told_that_it_closed(
    ops: User,
    now: datetime,
    everyone: AlarmRecipient,
    first: Severity,
    while_snoozed: Severity | None,
    later: Severity | None,
    is_told: bool,
    is_snoozed: bool,
) -> None:
    make.save(AlarmRecipient(name="Duty", address="duty@staff.example", minimum_severity=2))
    alarms.settle([finding(first)], now=now)
    if later:
        alarms.settle([finding(later)], now=now)
    over = now + (timedelta(hours=4) if is_snoozed else MINUTE)
    alarms.snooze(Alarm.objects.all(), until=over, actor=Actor("admin", ops), now=now)
    if while_snoozed:
        alarms.settle([finding(while_snoozed)], now=now)
    alarms.settle([], now=now + MINUTE)
    alarms.settle([], now=now + MINUTE + CLEAR_AFTER)
    closed = Notice.objects.filter(subject__startswith="Closed")
    names = {"Everyone", "Duty"} if is_told else {"Everyone"}
    assert set(closed.values_list("recipient__name", flat=True)) == names


def test_closed_alarm_is_left_as_it_is(ops: User, now: datetime) -> None:
    alarms.settle([finding()], now=now)
    Alarm.objects.update(closed_at=now)
    rows = list(Alarm.objects.all())
    actor = Actor("admin", ops)
    assert alarms.acknowledge(rows, actor=actor, now=now) == 0
    assert alarms.snooze(rows, until=now + MINUTE, actor=actor, now=now) == 0
    assert alarms.assign(rows, to=ops, actor=actor, now=now) == 0


def test_closed_alarms_are_forgotten_with_their_steps(
    alive: None, now: datetime, settings: Any
) -> None:
    alarms.settle([finding()], now=now)
    Alarm.objects.update(closed_at=now - timedelta(days=settings.RECORD_RETENTION_DAYS + 1))
    alarms.evaluate(now)
    assert not Alarm.objects.exists()


def test_open_alarms_are_a_gauge(empty: None, now: datetime) -> None:
    alarms.settle([finding(), finding(Severity.CRITICAL, subject="other")], now=now)
    labels = {"kind": "queue", "severity": "warning"}
    assert REGISTRY.get_sample_value("mailrouting_alarms", labels) == 1
    assert REGISTRY.get_sample_value("mailrouting_alarms", labels | {"kind": "disk"}) == 0
