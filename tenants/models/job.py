"""Job and JobItem: work on many rows that outlives the request, and the worker, that began it.

They are the record of writing, not what is written: tenants/jobs/ledger.py alone keeps them.
"""

from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.urls import reverse


class JobQuerySet(models.QuerySet["Job"]):
    """Reads of jobs, chainable."""

    def visible_to(self, user: Any) -> "JobQuerySet":
        """Staff see every job; others those that they asked for."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        return self if user.is_staff else self.filter(user=user)

    def due(self, now: Any) -> "JobQuerySet":
        """What a worker may take: queued, or left behind by one that ended."""
        lapsed = Q(state=Job.State.RUNNING, lease_until__lt=now)
        return self.filter(Q(state=Job.State.QUEUED) | lapsed).order_by("pk")


class Job(models.Model):
    """Work on many rows: who asked for it and why, how far it is, and what came of it.

    Where it is checked first, a dry run of the same code says of each row what would happen, and
    the job waits until somebody starts it.
    """

    class Phase(models.TextChoices):
        CHECK = "check", "check"
        APPLY = "apply", "apply"

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        QUEUED = "queued", "queued"
        RUNNING = "running", "running"
        READY = "ready", "ready to start"
        DONE = "done", "done"
        FAILED = "failed", "failed"
        CANCELLED = "cancelled", "cancelled"

    kind = models.CharField(max_length=40)
    title = models.CharField(max_length=200)
    parameters = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    phase = models.CharField(max_length=8, choices=Phase, default=Phase.CHECK)
    state = models.CharField(max_length=12, choices=State, default=State.DRAFT)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name="asked for by",
    )
    actor_name = models.CharField(max_length=150, blank=True)
    surface = models.CharField(max_length=16)
    request_id = models.CharField(max_length=64, blank=True)
    client = models.CharField(max_length=64, blank=True)
    reason = models.CharField(max_length=200, blank=True)
    permission = models.CharField(
        max_length=100, help_text="What a user needs to start, cancel and undo it."
    )
    undoes = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="undone_by"
    )
    total = models.PositiveIntegerField(default=0)
    handled = models.PositiveIntegerField(default=0, help_text="Rows of this phase so far.")
    changed = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    cursor = models.PositiveBigIntegerField(default=0, help_text="The last item handled.")
    result = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    fence = models.PositiveIntegerField(default=0)
    crashes = models.PositiveSmallIntegerField(
        default=0, help_text="Workers that ended since the last row was handled."
    )

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(
                fields=["id"], condition=Q(state__in=("queued", "running")), name="job_open"
            )
        ]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("admin:tenants_job_change", args=[self.pk])

    @property
    def asked_by(self) -> str:
        """Who asked for it, also once the account is gone."""
        return self.user.get_username() if self.user else self.actor_name

    @property
    def percent(self) -> int:
        """How far the phase is, in whole percent."""
        return 100 * self.handled // self.total if self.total else 100

    @property
    def is_open(self) -> bool:
        """A worker has it, or is going to."""
        return self.state in (self.State.QUEUED, self.State.RUNNING)


class JobItem(models.Model):
    """One row that a job is about: what the dry run foretold of it, and what came of it.

    `touched` lists, as [model, pk], the rows whose history holds what the job did; empty means the
    item's own row. `context` is the edit of the history that did it.
    """

    class Outcome(models.TextChoices):
        CHANGED = "changed", "changed"
        UNCHANGED = "unchanged", "is so already"
        REFUSED = "refused", "refused"

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="items")
    model = models.CharField(max_length=60, blank=True)
    row_pk = models.BigIntegerField(null=True, blank=True)
    label = models.CharField(max_length=320, blank=True)
    payload = models.JSONField(default=dict, blank=True, encoder=DjangoJSONEncoder)
    forecast = models.CharField(max_length=9, choices=Outcome, blank=True)
    outcome = models.CharField(max_length=9, choices=Outcome, blank=True)
    note = models.TextField(blank=True, help_text="Why it is refused, or what there is to say.")
    touched = models.JSONField(default=list, blank=True)
    context = models.UUIDField(null=True, blank=True)

    class Meta:
        ordering = ("id",)
        indexes = [
            models.Index(fields=["job", "id"], name="job_item_order"),
            models.Index(
                fields=["job", "id"], condition=Q(outcome="refused"), name="job_item_refused"
            ),
            models.Index(
                fields=["job", "id"], condition=Q(forecast="refused"), name="job_item_foretold"
            ),
            models.Index(
                fields=["job", "id"],
                condition=Q(payload__has_key="forwards_here"),
                name="job_item_forwarded",
            ),
        ]

    def __str__(self) -> str:
        return self.label or f"#{self.row_pk}"

    def get_absolute_url(self) -> str:
        return self.job.get_absolute_url()
