"""SendAsIdentity: which mailbox may send as which address."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from tenants.models.fields import Ruled, parse_address
from tenants.models.history import tracked
from tenants.models.mailbox import Mailbox
from tenants.querysets import IdentityQuerySet


@tracked
class SendAsIdentity(Ruled):
    """A mailbox may send as an address that routes to it, or on a verified domain by a grant.

    What an address routes to is resolved as for mail, so tenants.identities asks, when an identity
    is saved and when a route changes. An address with a verified identity also takes bounces where
    a sender list stands.
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
    doubt = models.CharField(
        "why it is pending again",
        max_length=200,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="What was found when it lost its state; verify it anew once that is mended.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = IdentityQuerySet.as_manager()
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
        if self.state != self.State.PENDING:
            self.doubt = ""
