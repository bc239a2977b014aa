"""SendAsIdentity: which mailbox may send as which address."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.urls import reverse

from gateway.routing.address import Address as ParsedAddress
from tenants.models.address import Address
from tenants.models.domain import Domain
from tenants.models.fields import Ruled, parse_address
from tenants.models.history import tracked
from tenants.models.mailbox import Mailbox
from tenants.models.tenant import Membership
from tenants.querysets import RECEIVING, TenantQuerySet


@tracked
class SendAsIdentity(Ruled):
    """A mailbox may send as an address that routes to it, or on a verified domain by a grant.

    An address with a verified identity also takes bounces where a sender list stands.
    """

    class State(models.TextChoices):
        PENDING = "pending", "pending"
        VERIFIED = "verified", "verified"
        REVOKED = "revoked", "revoked"

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="identities")
    address = models.CharField(max_length=320, help_text="The address that the mailbox sends as.")
    key = models.CharField(max_length=320, editable=False, db_index=True)
    state = models.CharField(max_length=16, choices=State, default=State.PENDING)
    granted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The owner who grants it, where the address does not route to the mailbox.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()
    tenant_path = "mailbox__tenant"

    class Meta:
        ordering = ("key", "id")
        verbose_name = "send-as identity"
        verbose_name_plural = "send-as identities"
        constraints = [
            models.UniqueConstraint(
                fields=["mailbox", "key"],
                name="identity_once_by_mailbox",
                violation_error_code="address",
                violation_error_message="The mailbox has this identity already.",
            ),
            models.CheckConstraint(
                condition=~Q(key=""),
                name="identity_key_set",
                violation_error_code="address",
                violation_error_message="Write the address to send as.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.mailbox} as {self.address}"

    def get_absolute_url(self) -> str:
        return reverse("admin:tenants_sendasidentity_change", args=[self.pk])

    def clean(self) -> None:
        super().clean()
        if not self.mailbox_id:
            return
        parsed = parse_address(self.address, "address")
        self.address, self.key = str(parsed), parsed.key
        if not (self._routes_to_mailbox() or self._is_granted(parsed)):
            raise ValidationError(
                {
                    "address": "A mailbox may send as an address that delivers to it, or as one on "
                    "a verified domain of its tenant when an owner grants it."
                }
            )

    def _routes_to_mailbox(self) -> bool:
        addresses = Address.objects.filter(key=self.key, domain__tenant=self.mailbox.tenant_id)
        to_mailbox = Q(targets__mailbox=self.mailbox_id) | Q(holder=self.mailbox_id)
        return addresses.filter(to_mailbox, domain__state__in=RECEIVING).exists()

    def _is_granted(self, address: ParsedAddress) -> bool:
        tenant_id = self.mailbox.tenant_id
        owned = Domain.objects.receiving().filter(name=address.domain, tenant=tenant_id)
        owners = Membership.objects.filter(
            tenant=tenant_id, user=self.granted_by_id, role=Membership.Role.OWNER
        )
        return self.granted_by_id is not None and owned.exists() and owners.exists()
