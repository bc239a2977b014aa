"""What is watched: counts over time, pulses of processes, alarms, and who is told of them.

Counts and readings are written by tasks alone and may be counted anew; alarms are opened and closed
by tasks, and taken care of by staff, who leave a step each time.
"""

from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

import pgtrigger
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.db.models import Max, Q
from django.urls import reverse
from django.utils import timezone

from gateway.ids import uuid7
from gateway.models.references import loose
from gateway.watch.facts import Kind, Severity
from gateway.watch.places import PlaceField
from gateway.watch.webhook import conceal, parse_url
from tenants.models.fields import Ruled
from tenants.models.history import tracked
from tenants.querysets import TenantQuerySet

FORGOTTEN_AFTER = timedelta(days=1)


class TrafficCount(models.Model):
    """How many recipients came to an outcome in a minute, an hour or a day (UTC).

    Rows of tenant 0 count all mail, whoever it was for.
    """

    class Span(models.TextChoices):
        MINUTE = "minute", "minute"
        HOUR = "hour", "hour"
        DAY = "day", "day"

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted", "accepted"
        DEFERRED = "deferred", "deferred"
        REFUSED = "refused", "refused"

    span = models.CharField(max_length=6, choices=Span)
    start = models.DateTimeField()
    tenant_id = models.BigIntegerField(default=0)
    outcome = models.CharField(max_length=8, choices=Outcome)
    reason = models.CharField(max_length=40)
    count = models.PositiveBigIntegerField()

    class Meta:
        ordering = ("-start", "tenant_id", "outcome", "reason")
        constraints = [
            models.UniqueConstraint(
                fields=["span", "tenant_id", "start", "outcome", "reason"],
                name="traffic_count_once",
            )
        ]
        indexes = [models.Index(fields=["span", "start"], name="traffic_by_time")]

    def __str__(self) -> str:
        return f"{self.span} of {self.start:%Y-%m-%d %H:%M}: {self.count} {self.reason}"


class RefusedName(models.Model):
    """A recipient or client that was refused often in an hour, by the refusals that are recorded.

    Of each hour only those that were refused most are kept.
    """

    class Role(models.TextChoices):
        RECIPIENT = "recipient", "recipient"
        CLIENT = "client", "client"

    hour = models.DateTimeField()
    role = models.CharField(max_length=9, choices=Role)
    name = models.CharField(max_length=320)
    count = models.PositiveBigIntegerField()

    class Meta:
        ordering = ("-hour", "role", "-count")
        constraints = [
            models.UniqueConstraint(fields=["hour", "role", "name"], name="refused_name_once")
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.count}"


class Progress(models.Model):
    """How far a job has come: `until` is what is counted, `settled_until` what will not change."""

    job = models.CharField(primary_key=True, max_length=20)
    until = models.DateTimeField()
    settled_until = models.DateTimeField()

    class Meta:
        ordering = ("job",)

    def __str__(self) -> str:
        return f"{self.job}: {self.until:%Y-%m-%d %H:%M:%S}"


class QueueReading(models.Model):
    """The queue as it stood at a moment; `oldest_at` is when its oldest delivery was accepted."""

    at = models.DateTimeField(primary_key=True)
    pending = models.PositiveBigIntegerField()
    sending = models.PositiveBigIntegerField()
    deferred = models.PositiveBigIntegerField()
    held = models.PositiveBigIntegerField()
    quarantined = models.PositiveBigIntegerField()
    oldest_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ("-at",)

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}: {self.waiting} waiting"

    @property
    def waiting(self) -> int:
        return self.pending + self.sending + self.deferred


class HeartbeatQuerySet(models.QuerySet[Any]):
    def remembered(self, now: datetime) -> "HeartbeatQuerySet":
        """Of the last day, and the newest of each role, which is missed until one runs again."""
        newest = Heartbeat.objects.order_by("role", "-at").distinct("role")
        return self.filter(Q(at__gt=now - FORGOTTEN_AFTER) | Q(pk__in=newest.values("pk")))


class Heartbeat(models.Model):
    """That a process was alive at a moment; it takes its row away when it is stopped in order."""

    process = models.CharField(primary_key=True, max_length=120)
    role = models.CharField(max_length=20)
    at = models.DateTimeField()
    disk_free_octets = models.BigIntegerField(null=True)
    disk_reserve_octets = models.BigIntegerField(null=True)

    objects = HeartbeatQuerySet.as_manager()

    class Meta:
        ordering = ("process",)

    def __str__(self) -> str:
        return f"{self.process}: {self.at:%Y-%m-%d %H:%M:%S}"


class AlarmQuerySet(TenantQuerySet):
    def open(self) -> "AlarmQuerySet":
        return self.filter(closed_at=None)

    def asking(self) -> "AlarmQuerySet":
        """Open, and not put off by anybody."""
        now = timezone.now()
        return self.open().exclude(snoozed_until__gt=now)


class Alarm(models.Model):
    """Something that somebody has to look at: opened and closed by what is found every minute."""

    class Severity(models.IntegerChoices):
        WARNING = Severity.WARNING, "warning"
        CRITICAL = Severity.CRITICAL, "critical"

    kind = models.CharField(max_length=12, choices=[(kind.value, kind.value) for kind in Kind])
    subject = models.CharField(max_length=350, help_text="What it is about, as a stable name.")
    title = models.CharField(max_length=400)
    severity = models.PositiveSmallIntegerField(choices=Severity)
    evidence = models.TextField(blank=True)
    link = models.CharField(max_length=600, blank=True)
    tenant = loose("tenants.Tenant")
    opened_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    clear_since = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    snoozed_until = models.DateTimeField(null=True, blank=True)
    # As recipients were told last; None before they were told at all.
    told_severity = models.PositiveSmallIntegerField(choices=Severity, null=True, blank=True)
    # The worst of what they were told: whoever heard of it hears, too, that it is over.
    worst_told_severity = models.PositiveSmallIntegerField(choices=Severity, null=True, blank=True)
    assigned_to = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
    )
    note = models.TextField(blank=True)

    objects = AlarmQuerySet.as_manager()
    tenant_path = "tenant"

    class Meta:
        ordering = ("-opened_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"], condition=Q(closed_at=None), name="alarm_open_once"
            )
        ]
        indexes = [models.Index(fields=["closed_at"], name="alarm_closed_at")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("admin:watch_alarm_change", args=[self.pk])

    @property
    def is_open(self) -> bool:
        return self.closed_at is None

    @property
    def is_snoozed(self) -> bool:
        return self.is_snoozed_at(timezone.now())

    def is_snoozed_at(self, now: datetime) -> bool:
        return self.snoozed_until is not None and self.snoozed_until > now


class AlarmStep(models.Model):
    """What happened to an alarm, by itself or by somebody; it is never changed again."""

    class What(models.TextChoices):
        OPENED = "opened", "opened"
        WORSENED = "worsened", "became worse"
        EASED = "eased", "became less"
        CLOSED = "closed", "closed"
        ACKNOWLEDGED = "acknowledged", "acknowledged"
        SNOOZED = "snoozed", "snoozed"
        WOKEN = "woken", "snooze ended"
        ASSIGNED = "assigned", "assigned"
        NOTED = "noted", "noted"

    alarm = models.ForeignKey(Alarm, on_delete=models.CASCADE, related_name="steps")
    at = models.DateTimeField()
    what = models.CharField(max_length=12, choices=What)
    text = models.TextField(blank=True)
    actor = models.CharField(max_length=150, blank=True)
    user = loose(settings.AUTH_USER_MODEL)
    surface = models.CharField(max_length=20, blank=True)
    client = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ("alarm", "-id")
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.get_what_display()} {self.at:%Y-%m-%d %H:%M}"


class RecipientQuerySet(models.QuerySet[Any]):
    def visible_to(self, user: Any) -> "RecipientQuerySet":
        """Of the installation, so of its staff."""
        is_staff = user.is_authenticated and user.is_active and user.is_staff
        return self if is_staff else self.none()

    def with_last_sent(self) -> "RecipientQuerySet":
        """Each with `last_sent_at`: when it was last told of something."""
        return self.annotate(last_sent_at=Max("notices__sent_at"))


@tracked
class AlarmRecipient(Ruled):
    """Who is told of alarms: a mail address, or a webhook."""

    class Channel(models.TextChoices):
        MAIL = "mail", "mail"
        WEBHOOK = "webhook", "webhook"

    name = models.CharField(max_length=100, unique=True)
    channel = models.CharField(max_length=8, choices=Channel, default=Channel.MAIL)
    address = PlaceField(
        max_length=500,
        help_text="name@example.com for mail, https://example.com/hook for a webhook.",
    )
    kinds = ArrayField(
        models.CharField(max_length=12, choices=[(kind.value, kind.value) for kind in Kind]),
        default=list,
        blank=True,
        help_text="Alarms of these kinds; none chosen means all.",
    )
    minimum_severity = models.PositiveSmallIntegerField(
        "from severity", choices=Alarm.Severity, default=Alarm.Severity.WARNING
    )
    enabled = models.BooleanField(default=True)

    objects = RecipientQuerySet.as_manager()
    concealed = MappingProxyType({"address": conceal})  # in the history

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("admin:watch_alarmrecipient_change", args=[self.pk])

    def clean(self) -> None:
        super().clean()
        try:
            if self.channel == self.Channel.MAIL:
                validate_email(self.address)
            else:
                parse_url(self.address)
        except ValueError as error:
            raise ValidationError({"address": f"{str(error).capitalize()}."}) from None
        except ValidationError:
            raise ValidationError(
                {"address": "Write a mail address as name@example.com."}
            ) from None

    def wants(self, kind: str, severity: int) -> bool:
        """Whether it is to be told of an alarm like this."""
        return severity >= self.minimum_severity and (not self.kinds or kind in self.kinds)


class Notice(models.Model):
    """What one recipient is told at one moment: the row is the outbox.

    A recipient of alarms, or a domain's owner, who gets mail at `mailbox` about a `forewarning`.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        SENT = "sent", "sent"
        FAILED = "failed", "failed"

    id = models.UUIDField(primary_key=True, default=uuid7)
    recipient = models.ForeignKey(
        AlarmRecipient, on_delete=models.CASCADE, null=True, related_name="notices"
    )
    forewarning = models.ForeignKey(
        "tenants.Forewarning", on_delete=models.CASCADE, null=True, related_name="+"
    )
    mailbox = models.EmailField(default="", db_default="")
    created_at = models.DateTimeField()
    subject = models.CharField(max_length=500)
    text = models.TextField()
    payload = models.JSONField()
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    reply = models.TextField(blank=True)

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(state="waiting"), name="notice_waiting"
            )
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(forewarning=None, recipient__isnull=False)
                | Q(forewarning__isnull=False, recipient=None),
                name="notice_for_one",
            )
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def addressee(self) -> str:
        return self.mailbox or str(self.recipient)
