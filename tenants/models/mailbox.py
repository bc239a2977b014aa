"""NextHop and Mailbox: where real mailboxes are, and the server that holds them."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse

from tenants.models.fields import Ruled, parse_address
from tenants.models.history import tracked
from tenants.models.tenant import Tenant
from tenants.querysets import TenantQuerySet, by_code_point


@tracked
class NextHop(Ruled):
    """A next hop is a server that takes mail by SMTP or LMTP; without a tenant it is everyone's."""

    class Protocol(models.TextChoices):
        SMTP = "smtp", "SMTP"
        LMTP = "lmtp", "LMTP"

    class Tls(models.TextChoices):
        NONE = "none", "none"
        OPPORTUNISTIC = "opportunistic", "STARTTLS when offered"
        REQUIRED = "required", "STARTTLS required"
        IMPLICIT = "implicit", "TLS from the start"

    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="next_hops"
    )
    name = models.CharField(max_length=100)
    protocol = models.CharField(max_length=8, choices=Protocol, default=Protocol.SMTP)
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField(
        default=25, validators=[MinValueValidator(1), MaxValueValidator(65535)]
    )
    tls = models.CharField("TLS", max_length=16, choices=Tls, default=Tls.OPPORTUNISTIC)
    calls_ahead = models.BooleanField(
        "asked about each recipient",
        default=False,
        db_default=False,
        help_text="Before the gateway accepts mail for a mailbox here, it asks this server whether "
        "it takes mail for that mailbox, and refuses the recipient where the server says that it "
        "does not. Mail is accepted as usual while the server does not answer. Only for servers "
        "that refuse unknown recipients themselves.",
    )

    objects = TenantQuerySet.as_manager()
    tenant_path = "tenant"

    class Meta:
        ordering = ("name", "id")
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "name"],
                nulls_distinct=False,
                name="next_hop_named_once",
                violation_error_code="name",
                violation_error_message="A next hop of this name exists already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.protocol}:{self.host}:{self.port})"

    def get_absolute_url(self) -> str:
        return reverse("admin:tenants_nexthop_change", args=[self.pk])

    def clean(self) -> None:
        super().clean()
        self.require_kept("tenant", "A next hop keeps its tenant; make a new one there.")


@tracked
class Mailbox(Ruled):
    """A person's or team's real mailbox and the next hop that holds it.

    It is no address by itself: mail reaches it only where an alias or role address names it.
    """

    class Kind(models.TextChoices):
        PERSON = "person", "person"
        TEAM = "team", "team"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="mailboxes")
    address = models.CharField(
        max_length=320, help_text="The recipient that the next hop is given, as name@example.com."
    )
    key = models.CharField(max_length=320, editable=False)
    name = models.CharField(max_length=200, blank=True)
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.PERSON)
    next_hop = models.ForeignKey(NextHop, on_delete=models.PROTECT, related_name="mailboxes")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()
    tenant_path = "tenant"

    class Meta:
        ordering = ("address", "id")
        verbose_name_plural = "mailboxes"
        indexes = [models.Index(by_code_point("key"), "id", name="mailbox_by_key")]
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "key"],
                name="mailbox_once_by_tenant",
                violation_error_code="address",
                violation_error_message="The tenant has this mailbox already.",
            ),
            models.CheckConstraint(
                condition=~Q(key=""),
                name="mailbox_key_set",
                violation_error_code="address",
                violation_error_message="Write the mailbox's address.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address

    def get_absolute_url(self) -> str:
        return reverse("admin:tenants_mailbox_change", args=[self.pk])

    def clean(self) -> None:
        super().clean()
        parsed = parse_address(self.address, "address")
        self.address, self.key = str(parsed), parsed.key
        self.require_kept("tenant", "A mailbox keeps its tenant; make a new one there.")
        if self.next_hop_id and self.next_hop.tenant_id not in (None, self.tenant_id):
            raise ValidationError({"next_hop": "Choose a next hop of the same tenant."})
