"""What goes out: deliveries, every attempt, what staff decided about them, hops that are away."""

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from gateway.ids import uuid7
from gateway.models.message import Message, RoutingRecord
from gateway.models.references import loose, written_after
from tenants.querysets import TenantQuerySet


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
