"""Alarms as they go: opened and closed by what is found, taken care of by staff.

The only place that writes alarms. Each turn and each deed leaves a step that says who and when.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import pgtrigger
import structlog
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest
from django.urls import reverse

from gateway.watch import ledger, notices
from gateway.watch.facts import Finding, Severity
from gateway.watch.judge import judge
from gateway.watch.ledger import Change, Open, Turn
from gateway.watch.models import Alarm, AlarmStep, Heartbeat, Progress, QueueReading
from gateway.watch.notices import News
from gateway.watch.reading import read_facts, read_queue
from gateway.watch.traffic import DAY, KEPT_MINUTES
from tenants import lock
from tenants.changes import Actor

JOB = "alarms"
QUIET = (Turn.SEEN, Turn.CLEARED)
ITSELF = Actor.system("watch", surface="task")

log = structlog.get_logger()


def evaluate(now: datetime) -> list[Alarm] | None:
    """Read, judge, write and tell, all or nothing; the alarms that took a turn come back.

    None while another process is at it.
    """
    with lock.alone(lock.ALARMS) as is_alone:
        if not is_alone:
            return None
        facts, reading = read_facts(now), read_queue(now)
        with transaction.atomic():
            reading.save(force_insert=True)
            turned = settle(judge(facts, _standing()), now=now)
            Progress.objects.update_or_create(
                job=JOB, defaults={"until": now, "settled_until": now}
            )
        _prune(now)
    return turned


def settle(findings: Sequence[Finding], *, now: datetime) -> list[Alarm]:
    """Open, keep and close alarms by what was found; tell those who want to know."""
    alarms = {alarm.pk: alarm for alarm in Alarm.objects.open().select_for_update()}
    standing = {
        (alarm.kind, alarm.subject): Open(alarm.pk, Severity(alarm.severity), alarm.clear_since)
        for alarm in alarms.values()
    }
    changes = ledger.settle(standing, findings, now=now)
    news = [News(_apply(each, alarms.get(each.id or 0), now), each.turn) for each in changes]
    _tell(news, now)
    turned = [each for each in news if each.turn not in QUIET]
    for each in turned:
        alarm = each.alarm
        log.warning("alarm", turn=each.turn.value, kind=alarm.kind, subject=alarm.subject)
    return [each.alarm for each in turned]


def _tell(news: Sequence[News], now: datetime) -> None:
    """Queue what recipients are to know now, and note how bad they know it to be."""
    told = [News(each.alarm, turn) for each in news if (turn := _turn_to_tell(each, now))]
    notices.queue(told, now=now)
    rows = Alarm.objects.filter(pk__in=[each.alarm.pk for each in told])
    worst = Greatest("severity", "worst_told_severity", "told_severity")
    rows.update(told_severity=F("severity"), worst_told_severity=worst)


def _turn_to_tell(news: News, now: datetime) -> Turn | None:
    """None while it is snoozed; what became worse in that time is told when it is seen again.

    That it is over is told whoever was told of it, at any time.
    """
    alarm = news.alarm
    if news.turn is Turn.CLOSED:
        return news.turn if alarm.told_severity else None
    if alarm.is_snoozed_at(now):
        return None
    is_worse = alarm.severity > (alarm.told_severity or 0)
    if news.turn is Turn.SEEN and is_worse:
        return Turn.WORSENED
    return None if news.turn in QUIET else news.turn


def _standing() -> dict[tuple[str, str], Severity]:
    rows = Alarm.objects.open().values_list("kind", "subject", "severity")
    return {(kind, subject): Severity(severity) for kind, subject, severity in rows}


def _apply(change: Change[int], alarm: Alarm | None, now: datetime) -> Alarm:
    """Write one turn, with its step where it is one that staff should read."""
    if alarm is None:
        alarm = Alarm(opened_at=now)
    if change.finding is not None:
        _take(alarm, change.finding, now)
    elif alarm.clear_since is None:
        alarm.clear_since = now
    if change.turn is Turn.CLOSED:
        alarm.closed_at = now
    alarm.save()
    if change.turn not in QUIET:
        _leave_step(alarm, change.turn.value, alarm.evidence, actor=ITSELF, now=now)
    return alarm


def _take(alarm: Alarm, finding: Finding, now: datetime) -> None:
    alarm.kind, alarm.subject = finding.kind.value, finding.subject
    alarm.severity, alarm.title = finding.severity, finding.title
    alarm.evidence, alarm.tenant_id = finding.evidence, finding.tenant_id
    alarm.link, alarm.last_seen_at, alarm.clear_since = _link(*finding.place), now, None


def _link(page: str, asked: str) -> str:
    """Where the trouble can be looked at; empty where it is on no page of the panel."""
    if page.endswith("_change"):
        return reverse(f"admin:{page}", args=[asked])
    return f"{reverse(f'admin:{page}')}?{asked}" if page else ""


def _prune(now: datetime) -> None:
    """Drop readings, pulses and closed alarms that nobody looks back at."""
    QueueReading.objects.filter(at__lt=now - KEPT_MINUTES).delete()
    Heartbeat.objects.exclude(pk__in=Heartbeat.objects.remembered(now).values("pk")).delete()
    over = Alarm.objects.filter(closed_at__lt=now - settings.RECORD_RETENTION_DAYS * DAY)
    if over.exists():
        with transaction.atomic(), pgtrigger.ignore("watch.AlarmStep:append_only"):
            over.delete()
    notices.prune(now)


# --- what staff do -------------------------------------------------------------


def acknowledge(alarms: Iterable[Alarm], *, actor: Actor, now: datetime, text: str = "") -> int:
    """Say that somebody looks after these; those already acknowledged are left as they are."""
    fresh = [alarm for alarm in alarms if alarm.is_open and alarm.acknowledged_at is None]
    about = {"acknowledged_at": now, "acknowledged_by": actor.user}
    return _write(fresh, about, "acknowledged", text, actor=actor, now=now)


def snooze(
    alarms: Iterable[Alarm], *, until: datetime, actor: Actor, now: datetime, text: str = ""
) -> int:
    """Put these off: not counted until then, and not told until then what became worse."""
    rows = [alarm for alarm in alarms if alarm.is_open]
    told = f"until {until:%Y-%m-%d %H:%M} UTC. {text}".rstrip()
    return _write(rows, {"snoozed_until": until}, "snoozed", told, actor=actor, now=now)


def wake(alarms: Iterable[Alarm], *, actor: Actor, now: datetime, text: str = "") -> int:
    """End a snooze before its time."""
    rows = [alarm for alarm in alarms if alarm.is_open and alarm.is_snoozed]
    return _write(rows, {"snoozed_until": None}, "woken", text, actor=actor, now=now)


def assign(
    alarms: Iterable[Alarm],
    *,
    to: AbstractBaseUser | None,
    actor: Actor,
    now: datetime,
    text: str = "",
) -> int:
    """Say whose these are; None takes them from whoever had them."""
    rows = [alarm for alarm in alarms if alarm.is_open]
    told = f"to {to.get_username() if to else 'nobody'}. {text}".rstrip()
    return _write(rows, {"assigned_to": to}, "assigned", told, actor=actor, now=now)


def annotate(alarm: Alarm, *, note: str, actor: Actor, now: datetime) -> int:
    """Keep a note on an alarm, open or closed, in place of the one before."""
    return _write([alarm], {"note": note}, "noted", note, actor=actor, now=now)


def _write(
    alarms: Sequence[Alarm],
    values: dict[str, Any],
    what: str,
    text: str,
    *,
    actor: Actor,
    now: datetime,
) -> int:
    with transaction.atomic():
        Alarm.objects.filter(pk__in=[alarm.pk for alarm in alarms]).update(**values)
        for alarm in alarms:
            _leave_step(alarm, what, text, actor=actor, now=now)
    return len(alarms)


def _leave_step(alarm: Alarm, what: str, text: str, *, actor: Actor, now: datetime) -> None:
    AlarmStep.objects.create(alarm=alarm, at=now, what=what, text=text, **actor.signature)
