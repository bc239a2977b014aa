"""What happened to mail: messages, bodies, routing records, deliveries, attempts and counters.

Rows here are written by intake.py, refusals.py, delivery/ and retention.py alone. They outlive
what they point at in the control plane, so their references there carry no database constraint.
"""

from typing import Any

import pgtrigger
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import HashIndex
from django.db import models
from django.db.models import Q
from django.urls import reverse

from gateway.ids import uuid7
from tenants.querysets import TenantQuerySet


def loose(to: str) -> Any:
    """A reference into the control plane that survives the row it names."""
    return models.ForeignKey(
        to,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,  # rows are written at wire speed: each index has to earn its place
        null=True,
        blank=True,
        related_name="+",
    )


def written_after(to: Any, related_name: str, *, is_optional: bool = False) -> Any:
    """A reference to a row that the same statement writes, or an earlier one, and one purge takes.

    The database does not check it: at wire speed that costs a look-up and a lock of the row each
    time, a fifth of what PostgreSQL does for a batch of messages.
    """
    return models.ForeignKey(
        to,
        on_delete=models.CASCADE,
        db_constraint=False,
        null=is_optional,
        blank=is_optional,
        related_name=related_name,
    )


class Body(models.Model):
    """A piece of a message as received, with our Received line on top: see gateway.pieces.

    The table is partitioned by `expires_on` and its partitions are dropped whole; the octets are
    kept uncompressed (STORAGE EXTERNAL). Migrations make it by hand.
    """

    id = models.UUIDField(primary_key=True, default=uuid7)
    expires_on = models.DateField()
    number = models.IntegerField(default=0)
    octets = models.BinaryField()

    class Meta:
        managed = False
        db_table = "gateway_body"

    def __str__(self) -> str:
        return str(self.pk)


class Message(models.Model):
    """An accepted message: its envelope, where it came from and how large it is.

    Its body goes once the tenant's retention is over; it stays itself, with all that hangs on it,
    until RECORD_RETENTION_DAYS after receipt and after its last delivery was settled.
    """

    id = models.UUIDField(primary_key=True, default=uuid7)
    queue_id = models.CharField(max_length=32)
    received_at = models.DateTimeField()
    sender = models.CharField(max_length=320, blank=True, help_text="Empty is the null sender <>.")
    client = models.GenericIPAddressField(null=True)
    helo = models.CharField("called itself", max_length=255, blank=True)
    protocol = models.CharField(max_length=16)
    smtputf8 = models.BooleanField("SMTPUTF8", default=False)
    dsn = models.CharField(
        max_length=150,
        blank=True,
        default="",
        db_default="",
        verbose_name="DSN",
        help_text="What its sender asked of delivery reports: RET and ENVID, as written.",
    )
    size_octets = models.PositiveBigIntegerField()
    message_id = models.CharField(max_length=998, blank=True)
    digest = models.BinaryField(help_text="SHA-256 of envelope and content: tells a repeat.")
    body_id = models.UUIDField()
    body_expires_on = models.DateField()
    purged_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-id",)
        constraints = [models.UniqueConstraint(fields=["queue_id"], name="message_queue_id_once")]
        indexes = [
            HashIndex(fields=["message_id"], name="message_by_message_id"),
            models.Index(
                fields=["body_expires_on"], condition=Q(purged_at=None), name="message_body_due"
            ),
            models.Index(
                fields=["received_at"], condition=~Q(purged_at=None), name="message_purged"
            ),
        ]

    def __str__(self) -> str:
        return self.queue_id

    def get_absolute_url(self) -> str:
        return reverse("admin:gateway_message_change", args=[self.pk])


class Receipt(models.Model):
    """That a message was stored: its sender repeats it where our 250 got lost. Kept for an hour."""

    key = models.UUIDField(primary_key=True, help_text="The first half of the message's digest.")
    queue_id = models.CharField(max_length=32)
    at = models.DateTimeField()

    class Meta:
        ordering = ("-at",)
        indexes = [models.Index(fields=["at"], name="receipt_at")]

    def __str__(self) -> str:
        return self.queue_id


class RoutingRecord(models.Model):
    """What was decided for one recipient, by which rule, and what was answered."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    message = written_after(Message, "records", is_optional=True)
    at = models.DateTimeField()
    queue_id = models.CharField(max_length=32)
    sender = models.CharField(max_length=320, blank=True)
    recipient = models.CharField(max_length=320)
    key = models.CharField(max_length=320)
    client = models.GenericIPAddressField(null=True)
    tenant = loose("tenants.Tenant")
    domain = loose("tenants.Domain")
    address = loose("tenants.Address")
    strategy = models.CharField(max_length=20)
    rule = models.CharField(max_length=400)
    detail = models.CharField(max_length=64, blank=True)
    token = models.CharField(
        max_length=64, help_text="Correlates the record with logs and the sender's own trace."
    )
    accepted = models.BooleanField()
    reason = models.CharField(max_length=40)
    reply = models.CharField(max_length=300)
    declared_octets = models.PositiveBigIntegerField(null=True, blank=True)
    trace = models.JSONField(default=list)

    objects = TenantQuerySet.as_manager()
    tenant_path = "tenant"

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=["tenant", "-id"], name="record_by_tenant"),
            models.Index(fields=["key", "-id"], name="record_by_key"),
            models.Index(fields=["queue_id"], name="record_by_queue_id"),
            models.Index(fields=["at"], condition=Q(accepted=False), name="record_refused_at"),
            # As the one above, without accepted mail: nothing to write at wire speed.
            models.Index(
                fields=["reason", "-id"], condition=Q(accepted=False), name="record_refused_for"
            ),
            # Costs a record nothing unless it was written to a subaddress.
            models.Index(fields=["detail"], condition=~Q(detail=""), name="record_by_detail"),
        ]

    def __str__(self) -> str:
        return f"{self.recipient}: {self.reply}"

    def get_absolute_url(self) -> str:
        return reverse("admin:gateway_routingrecord_change", args=[self.pk])


class Delivery(models.Model):
    """One recipient and one target of a message: the row is the queue."""

    class State(models.TextChoices):
        PENDING = "pending", "pending"
        SENDING = "sending", "sending"
        DEFERRED = "deferred", "deferred"
        DELIVERED = "delivered", "delivered"
        FAILED = "failed", "failed"
        QUARANTINED = "quarantined", "quarantined"
        HELD = "held", "held"

    id = models.UUIDField(primary_key=True, default=uuid7)
    record = written_after(RoutingRecord, "deliveries")
    message = written_after(Message, "deliveries")
    tenant = loose("tenants.Tenant")
    target = loose("tenants.Target")
    hop = loose("tenants.NextHop")
    kind = models.CharField(max_length=20)
    recipient = models.CharField(max_length=320, blank=True)
    destination = models.CharField(max_length=300, blank=True)
    rewrites_sender = models.BooleanField(default=False)
    null_sender = models.BooleanField(default=False)
    state = models.CharField(max_length=12, choices=State, default=State.PENDING)
    attempts_made = models.PositiveIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    lease_until = models.DateTimeField(null=True, blank=True)
    fence = models.PositiveBigIntegerField(
        default=0, help_text="Goes up with each claim; only its holder may settle."
    )
    begun_fence = models.PositiveBigIntegerField(
        null=True,
        blank=True,
        help_text="The claim in which it was last begun; noted once a worker has ended with it.",
    )
    last_reply = models.TextField(blank=True)
    dsn = models.CharField(
        max_length=600,
        blank=True,
        default="",
        db_default="",
        verbose_name="DSN",
        help_text="What the sender asked of delivery reports: NOTIFY and ORCPT, as written.",
    )
    mark = models.TextField(
        blank=True,
        default="",
        db_default="",  # gateways of the version before do not name it
        help_text="Header lines that the message carries on top for this recipient.",
    )
    created_at = models.DateTimeField()
    tried_since = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When staff let it go on: its days of trying count from then.",
    )
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = TenantQuerySet.as_manager()
    tenant_path = "tenant"

    class Meta:
        ordering = ("-id",)
        verbose_name_plural = "deliveries"
        # What is pending is found by `delivery_pending`, an index over expressions: migration 0007.
        indexes = [
            models.Index(
                fields=["next_attempt_at"], condition=Q(state="deferred"), name="delivery_deferred"
            ),
            models.Index(
                fields=["lease_until"], condition=Q(state="sending"), name="delivery_leased"
            ),
            models.Index(fields=["tenant", "-id"], name="delivery_by_tenant"),
            # Of no weight where nothing is kept back: a row enters it with such a state alone.
            models.Index(
                fields=["state", "id"],
                condition=Q(state__in=["held", "quarantined"]),
                name="delivery_kept_back",
            ),
            models.Index(fields=["id"], condition=Q(state="failed"), name="delivery_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.recipient or self.kind}: {self.state}"

    def get_absolute_url(self) -> str:
        return reverse("admin:gateway_delivery_change", args=[self.pk])


class Quarantined(Delivery):
    """A delivery that is kept back: its worker ended too often, a policy held it, or staff did."""

    class Meta:
        proxy = True
        ordering = ("-id",)
        default_permissions = ()
        verbose_name = "delivery kept back"
        verbose_name_plural = "quarantine"


class Outage(models.Model):
    """A next hop that could not be reached at its place: what waits is left alone until a time.

    Then one delivery is tried. The row goes with the first that gets through.
    """

    lane = models.CharField(primary_key=True, max_length=50)
    since = models.DateTimeField()
    failures = models.PositiveIntegerField(default=1)
    until = models.DateTimeField()
    place = models.CharField(max_length=300)
    reply = models.TextField(blank=True)

    class Meta:
        ordering = ("since",)

    def __str__(self) -> str:
        return f"{self.lane}: {self.reply}"


class Attempt(models.Model):
    """One try to deliver, and what the other side said."""

    delivery = written_after(Delivery, "attempts")
    number = models.PositiveIntegerField()
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    outcome = models.CharField(max_length=12)
    remote = models.CharField(max_length=300, blank=True)
    reply = models.TextField(blank=True)

    class Meta:
        ordering = ("delivery", "number")

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.outcome}"


class Intervention(models.Model):
    """What an operator did to a delivery, from which state, and why; it is never changed again.

    It leaves with its delivery, when the purge removes that.
    """

    class Action(models.TextChoices):
        RETRY = "retry", "retry now"
        HOLD = "hold", "hold"
        RELEASE = "release", "release"
        REROUTE = "reroute", "reroute"
        FAIL = "fail", "fail"

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="interventions")
    at = models.DateTimeField()
    action = models.CharField(max_length=12, choices=Action)
    from_state = models.CharField("state before", max_length=12, choices=Delivery.State)
    actor = models.CharField(max_length=150)
    user = loose(settings.AUTH_USER_MODEL)
    surface = models.CharField(max_length=20)
    client = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    detail = models.CharField(
        max_length=700,
        blank=True,
        default="",
        db_default="",  # panels of the version before do not name it
        help_text="Where a rerouted delivery went before, and where it goes instead.",
    )

    class Meta:
        ordering = ("delivery", "id")
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} by {self.actor}"


class BodyReading(models.Model):
    """That somebody looked at what stands in a message, why, and how; it is never changed again.

    It outlives the message it is about, which it names by its queue id.
    """

    class Kind(models.TextChoices):
        READ = "read", "read as text"
        DOWNLOAD = "download", "downloaded"

    message = loose("gateway.Message")
    queue_id = models.CharField(max_length=32)
    at = models.DateTimeField()
    kind = models.CharField(max_length=10, choices=Kind)
    actor = models.CharField(max_length=150)
    user = loose(settings.AUTH_USER_MODEL)
    client = models.GenericIPAddressField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=200)

    class Meta:
        ordering = ("-id",)
        default_permissions = ("view",)
        permissions = [
            ("read_body", "Can read what stands in messages"),
            ("download_body", "Can download messages as they came"),
        ]
        indexes = [models.Index(fields=["message"], name="body_reading_by_message")]
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)
        ]

    def __str__(self) -> str:
        return f"{self.queue_id} {self.get_kind_display()} by {self.actor}"


class Counter(models.Model):
    """A counter over the rolling hour (`minute`, `counts`, their sum in `total`), or of what is
    stored (`total`).
    """

    key = models.CharField(primary_key=True, max_length=100)
    minute = models.BigIntegerField(default=0)
    counts = ArrayField(models.IntegerField(), default=list)
    total = models.BigIntegerField(default=0)
    full_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("key",)

    def __str__(self) -> str:
        return self.key


class RefusalCount(models.Model):
    """How many recipients of a domain were refused for a reason in a minute."""

    domain_name = models.CharField(max_length=255)
    reason = models.CharField(max_length=40)
    minute = models.DateTimeField()
    count = models.PositiveBigIntegerField(default=0)

    class Meta:
        ordering = ("-minute", "domain_name", "reason")
        constraints = [
            models.UniqueConstraint(
                fields=["domain_name", "reason", "minute"], name="refusal_count_once"
            )
        ]
        indexes = [models.Index(fields=["minute"], name="refusal_count_by_minute")]

    def __str__(self) -> str:
        return f"{self.domain_name} {self.reason}: {self.count}"


class AddressUse(models.Model):
    """When an address last got mail, or was made: read off the routing records, some time later.

    Written by use.py alone, one statement for many records, so that accepting mail writes nothing
    more.
    """

    address = models.OneToOneField(
        "tenants.Address",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        primary_key=True,
        related_name="use",
    )
    used_at = models.DateTimeField(null=True, help_text="Empty where none has come yet.")
    idle_since = models.DateTimeField(help_text="The last mail, or the day the address was made.")

    class Meta:
        indexes = [models.Index(fields=["idle_since", "address"], name="address_idle_since")]

    def __str__(self) -> str:
        return f"{self.address_id}: {self.used_at or 'never'}"


class Concern(models.Model):
    """What an operator has to know about an address, as the last look at all of them found it.

    Written by concerns.py alone.
    """

    class Kind(models.TextChoices):
        BROKEN = "broken", "target broken"
        OWNER = "left", "owner left"
        HOLDER = "holder", "holder left"

    address = models.ForeignKey(
        "tenants.Address", on_delete=models.DO_NOTHING, db_constraint=False, related_name="concerns"
    )
    kind = models.CharField(max_length=8, choices=Kind)
    detail = models.CharField(max_length=500)
    since = models.DateTimeField()

    class Meta:
        ordering = ("kind", "address")
        constraints = [
            models.UniqueConstraint(fields=["kind", "address"], name="concern_once_by_address")
        ]

    def __str__(self) -> str:
        return self.detail


class Watermark(models.Model):
    """Up to which moment a job has read the routing records."""

    job = models.CharField(primary_key=True, max_length=40)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.job}: {self.at}"
