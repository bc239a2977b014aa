"""What came in: messages with their octets, a record for each recipient, who looked inside."""

import pgtrigger
from django.conf import settings
from django.contrib.postgres.indexes import HashIndex
from django.db import models
from django.db.models import Q
from django.urls import reverse

from gateway.ids import uuid7
from gateway.models.references import loose, written_after
from tenants.querysets import TenantQuerySet


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
