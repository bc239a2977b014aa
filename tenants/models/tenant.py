"""Plan, Tenant and Membership: who the customer is, what it may use, who acts for it."""

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils import timezone

from gateway.routing.authentication import OnFailure
from gateway.routing.facts import TenantState
from tenants.clock import database_now
from tenants.models.fields import Ruled
from tenants.models.history import tracked
from tenants.querysets import TenantQuerySet, by_code_point

TREATMENTS = [
    (OnFailure.REJECT.value, "is rejected"),
    (OnFailure.HOLD.value, "is held"),
    (OnFailure.MARK.value, "is delivered with a mark"),
]
FOR_VIRUSES = TREATMENTS[:2]  # nobody is handed one
LIMITS = (
    "max_domains",
    "max_addresses",
    "max_message_octets",
    "messages_per_hour",
    "stored_octets",
    "retention_days",
)


class Limits(Ruled):
    """The limits that a plan sets and a tenant may override; empty means no limit of its own."""

    max_domains = models.PositiveIntegerField("domains", null=True, blank=True)
    max_addresses = models.PositiveIntegerField("addresses", null=True, blank=True)
    max_message_octets = models.PositiveBigIntegerField(
        "largest message (octets)", null=True, blank=True
    )
    messages_per_hour = models.PositiveIntegerField("messages per hour", null=True, blank=True)
    stored_octets = models.PositiveBigIntegerField("stored octets", null=True, blank=True)
    retention_days = models.PositiveSmallIntegerField(
        "retention (days)",
        null=True,
        blank=True,
        help_text=(
            "Days from receipt for which bodies and stored inboxes are kept (what still waits for "
            "delivery, longer). Messages and routing records stay at least as long."
        ),
    )

    class Meta:
        abstract = True


@tracked
class Plan(Limits):
    """A plan is a named set of limits; every tenant is on one."""

    name = models.CharField(max_length=100, unique=True)

    objects = TenantQuerySet.as_manager()
    tenant_path = "tenants"

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("admin:tenants_plan_change", args=[self.pk])


@tracked
class Tenant(Limits):
    """A tenant is a customer: it owns domains, and its state decides whether they receive.

    Suspended mail waits at the sender for 72 hours and is refused after that; suspended for
    abuse and closed are refused at once. A limit set here overrides the plan's.
    """

    class State(models.TextChoices):
        ACTIVE = TenantState.ACTIVE, "active"
        SUSPENDED = TenantState.SUSPENDED, "suspended"
        SUSPENDED_FOR_ABUSE = TenantState.SUSPENDED_FOR_ABUSE, "suspended for abuse"
        CLOSED = TenantState.CLOSED, "closed"

    external_id = models.CharField(
        max_length=100,
        unique=True,
        help_text="The tenant's id in your own systems.",
        validators=[
            RegexValidator(r"^[A-Za-z0-9._:-]+$", "Use letters, digits, dot, dash, colon, _.")
        ],
    )
    name = models.CharField(max_length=200)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="tenants")
    state = models.CharField(max_length=16, choices=State, default=State.ACTIVE)
    state_since = models.DateTimeField(default=timezone.now, editable=False)
    filters_mail = models.BooleanField(
        "filter content",
        default=False,
        db_default=False,
        help_text="Whether the content filter looks at mail before it is accepted, where this "
        "installation has one. An address may choose for itself.",
    )
    on_spam = models.CharField(
        "mail that the filter rejects",
        max_length=8,
        choices=TREATMENTS,
        default=OnFailure.REJECT,
        db_default=OnFailure.REJECT,
        help_text="Held mail waits among the deliveries until somebody releases it.",
    )
    on_suspicious = models.CharField(
        "mail that the filter would mark",
        max_length=8,
        choices=TREATMENTS,
        default=OnFailure.MARK,
        db_default=OnFailure.MARK,
        help_text="Marked mail carries X-Spam-Flag and what the filter said.",
    )
    on_virus = models.CharField(
        "mail with a virus",
        max_length=8,
        choices=FOR_VIRUSES,
        default=OnFailure.REJECT,
        db_default=OnFailure.REJECT,
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()
    tenant_path = ""

    class Meta:
        ordering = ("name", "id")
        indexes = [models.Index(by_code_point(Lower("name")), "id", name="tenant_by_name")]
        permissions = [
            ("export_rows", "Can export rows"),
            ("erase_person", "Can erase a person's data"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state__in=[state.value for state in TenantState]),
                name="tenant_state_known",
                violation_error_code="state",
                violation_error_message="Choose one of the tenant states.",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("admin:tenants_tenant_change", args=[self.pk])

    def limit(self, name: str) -> int | None:
        """The limit in force: the tenant's own, else the plan's; None means unlimited."""
        own: int | None = getattr(self, name)
        return own if own is not None else getattr(self.plan, name)

    def beyond_plan(self, what: str, held: int) -> str:
        """The sentence that refuses one more than `held` domains or addresses; empty for none."""
        limit = self.limit(f"max_{what}")
        is_over = limit is not None and held >= limit
        return f"The tenant's plan allows {limit} {what}." if is_over else ""

    def clean(self) -> None:
        """A change of state is stamped with its time: suspension counts its 72 hours from it."""
        super().clean()
        before = self.stored("state")
        was = before["state"] if before else self.State.ACTIVE
        if was != self.state:
            self.state_since = database_now()


@tracked
class Membership(Ruled):
    """A membership lets a user act for a tenant, as owner, admin, editor or viewer."""

    class Role(models.TextChoices):
        OWNER = "owner", "owner"
        ADMIN = "admin", "admin"
        EDITOR = "editor", "editor"
        VIEWER = "viewer", "viewer"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=16, choices=Role, default=Role.VIEWER)

    objects = TenantQuerySet.as_manager()
    tenant_path = "tenant"

    class Meta:
        ordering = ("tenant", "user")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "user"],
                name="membership_once",
                violation_error_code="user",
                violation_error_message="This user is a member of the tenant already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.tenant} ({self.role})"

    def get_absolute_url(self) -> str:
        return reverse("admin:tenants_membership_change", args=[self.pk])

    def clean(self) -> None:
        super().clean()
        self.require_kept("tenant", "A membership keeps its tenant; make a new one there.")
