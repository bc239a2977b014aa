"""Address and its two kinds, Alias and RoleAddress, and the rules for their subaddresses.

Both kinds stand in one table, so that one unique key per domain serves both and the gateway
finds either in one look-up.
"""

import re
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from gateway.routing.address import fold
from gateway.routing.authentication import Demand, OnFailure
from gateway.routing.facts import AddressKind, RuleAction
from tenants.clock import database_now
from tenants.models.domain import Domain
from tenants.models.fields import Ruled, normalise_domain, normalise_sender, parse_address
from tenants.models.history import tracked, tracked_by
from tenants.models.tenant import FOR_VIRUSES, TREATMENTS
from tenants.querysets import AddressQuerySet, TenantQuerySet, by_code_point

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # no address holds one
# RFC 2142 §2-§6, with noreply for the sender that nobody reads.
ROLE_NAMES = (
    "abuse",
    "billing",
    "ftp",
    "hostmaster",
    "info",
    "marketing",
    "news",
    "noc",
    "noreply",
    "postmaster",
    "sales",
    "security",
    "support",
    "usenet",
    "uucp",
    "webmaster",
    "www",
)


@tracked_by(models.Index("pgh_label", by_code_point("key"), name="address_event_by_key"))
class Address(Ruled):
    """An address that receives mail on a domain: an alias or a role address."""

    class Kind(models.TextChoices):
        ALIAS = AddressKind.ALIAS, "alias"
        ROLE = AddressKind.ROLE, "role address"

    class SenderMatch(models.TextChoices):
        ENVELOPE = "envelope", "the envelope sender"
        AUTHOR = "author", "the author (From), with DMARC pass"

    class Authentication(models.TextChoices):
        NOTHING = Demand.NOTHING, "nothing"
        ALIGNED = Demand.ALIGNED, "SPF or DKIM, for the author's domain"
        SPF = Demand.SPF, "SPF, for the author's domain"
        DKIM = Demand.DKIM, "DKIM, for the author's domain"
        DMARC = Demand.DMARC, "DMARC"
        SIGNER = Demand.SIGNER, "DKIM of one domain"

    class AuthenticationFailure(models.TextChoices):
        REJECT = OnFailure.REJECT, "is rejected"
        HOLD = OnFailure.HOLD, "is held"
        MARK = OnFailure.MARK, "is delivered with a mark"

    kind = models.CharField(max_length=8, choices=Kind, default=Kind.ALIAS, editable=False)
    domain = models.ForeignKey(Domain, on_delete=models.PROTECT, related_name="addresses")
    local_part = models.CharField(max_length=64, help_text="What stands before the @.")
    key = models.CharField(max_length=320, editable=False)
    enabled = models.BooleanField(default=True, help_text="Off refuses the very next message.")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Who answers for this address.",
    )
    purpose = models.CharField(max_length=200, blank=True)
    note = models.TextField(blank=True)
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="From this moment the address refuses mail."
    )
    expired_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When the address was switched off because its time was over.",
    )
    allowed_senders = ArrayField(
        models.CharField(max_length=320),
        default=list,
        blank=True,
        help_text="Who may write here: name@example.com, @example.com or <>; empty means everyone.",
    )
    sender_match = models.CharField(
        "the list is about",
        max_length=8,
        choices=SenderMatch,
        default=SenderMatch.ENVELOPE,
        db_default=SenderMatch.ENVELOPE,
        help_text="The envelope sender can be made up by anybody. The author is whom people see as "
        "From; it counts only where DMARC proves it.",
    )
    authentication = models.CharField(
        "senders have to prove",
        max_length=8,
        choices=Authentication,
        default=Authentication.NOTHING,
        db_default=Authentication.NOTHING,
        blank=True,
        help_text="Checked when the whole message is there. Mail that its author's domain wants "
        "refused (DMARC reject or quarantine) fails whatever is chosen here but nothing.",
    )
    signing_domain = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="The domain whose DKIM signature is wanted, as in d=: example.com.",
    )
    authentication_failure = models.CharField(
        "mail that fails this",
        max_length=8,
        choices=AuthenticationFailure,
        default=AuthenticationFailure.REJECT,
        db_default=AuthenticationFailure.REJECT,
        help_text="Also for an author who is not on the list. Held mail waits among the deliveries "
        "until somebody releases it; marked mail carries X-Sender-Authentication.",
    )
    filters_mail = models.CharField(
        "filter content",
        max_length=3,
        choices=[("on", "yes"), ("off", "no")],
        default="",
        db_default="",
        blank=True,
        help_text="Whether the content filter looks at mail before it is accepted, where this "
        "installation has one; empty takes the tenant's choice, here and below.",
    )
    on_spam = models.CharField(
        "mail that the filter rejects",
        max_length=8,
        choices=TREATMENTS,
        default="",
        db_default="",
        blank=True,
    )
    on_suspicious = models.CharField(
        "mail that the filter would mark",
        max_length=8,
        choices=TREATMENTS,
        default="",
        db_default="",
        blank=True,
    )
    on_virus = models.CharField(
        "mail with a virus",
        max_length=8,
        choices=FOR_VIRUSES,
        default="",
        db_default="",
        blank=True,
    )
    max_message_octets = models.PositiveBigIntegerField(
        "largest message (octets)", null=True, blank=True
    )
    rate_per_hour = models.PositiveIntegerField("messages per hour", null=True, blank=True)
    holder = models.ForeignKey(
        "tenants.Mailbox",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="roles",
        help_text="The mailbox that answers for the role; empty takes the domain's.",
    )
    accepts_forwards_from = ArrayField(
        models.CharField(max_length=255),
        default=list,
        blank=True,
        help_text="Domains of other tenants whose addresses may forward here.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AddressQuerySet.as_manager()
    tenant_path = "domain__tenant"

    class Meta:
        ordering = ("key", "id")
        verbose_name_plural = "addresses"
        constraints = [
            models.UniqueConstraint(
                fields=["key", "domain"],
                name="address_once_by_domain",
                violation_error_code="local_part",
                violation_error_message="This address exists already on the domain.",
            ),
            models.CheckConstraint(
                condition=Q(kind=AddressKind.ROLE) | Q(kind=AddressKind.ALIAS, holder=None),
                name="address_holder_is_a_role_s",
                violation_error_code="holder",
                violation_error_message="Only a role address has a holder.",
            ),
            models.CheckConstraint(
                condition=Q(authentication=Demand.SIGNER) ^ Q(signing_domain=""),
                name="address_signer_named",
                violation_error_code="signing_domain",
                violation_error_message="Name a signing domain for “DKIM of one domain” alone.",
            ),
            models.CheckConstraint(
                condition=Q(sender_match="envelope") | Q(allowed_senders__len__gt=0),
                name="address_authors_listed",
                violation_error_code="sender_match",
                violation_error_message="List the authors who may write.",
            ),
            models.CheckConstraint(
                condition=~Q(key=""),
                name="address_key_set",
                violation_error_code="local_part",
                violation_error_message="Write what stands before the @.",
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"], condition=Q(enabled=True), name="address_to_expire"
            ),
            models.Index(by_code_point("key"), "id", name="address_by_key"),
            # What lists are sorted and narrowed by: each page is found in one of these.
            models.Index(fields=["kind", "key", "id"], name="address_listed"),
            models.Index(fields=["domain", "key", "id"], name="address_of_domain"),
            models.Index(fields=["expires_at", "id"], name="address_expiring"),
            models.Index(fields=["created_at", "id"], name="address_made"),
            models.Index(fields=["key"], condition=Q(enabled=False), name="address_disabled"),
            # What a tenant's page counts, without a look at the rows.
            models.Index(
                fields=["domain", "kind", "expired_at", "id"],
                condition=Q(enabled=False),
                name="address_off_of_domain",
            ),
            models.Index(
                fields=["domain", "kind", "expires_at", "id"],
                condition=Q(expires_at__isnull=False),
                name="address_ending_of_domain",
            ),
        ]

    def __str__(self) -> str:
        return self.key

    def get_absolute_url(self) -> str:
        return reverse(f"admin:tenants_{self._page()}_change", args=[self.pk])

    def _page(self) -> str:
        return "roleaddress" if self.kind == AddressKind.ROLE else "alias"

    @property
    def is_expired(self) -> bool:
        """By this process's clock: for pages, which show many rows. Rules ask the database's."""
        return self.expires_at is not None and self.expires_at <= timezone.now()

    def clean(self) -> None:
        super().clean()
        if not self.domain_id:
            return
        address = parse_address(f"{self.local_part.strip()}@{self.domain.name}", "local_part")
        self.local_part, self.key = str(address).rpartition("@")[0], address.key
        self.allowed_senders = sorted({normalise_sender(entry) for entry in self.allowed_senders})
        self.accepts_forwards_from = sorted(
            {
                normalise_domain(entry, "accepts_forwards_from")
                for entry in self.accepts_forwards_from
            }
        )
        self._normalise_signer()
        self._revive()
        self._check_domain()
        self._check_limit()
        self._check_owner()

    @property
    def is_owner_a_member(self) -> bool:
        """Whether the tenant knows the owner; nobody is one, too. One query."""
        members = self.domain.tenant.memberships
        return not self.owner_id or members.filter(user_id=self.owner_id).exists()

    def check_targets(self) -> None:
        """An enabled alias has somewhere to deliver to; a role address has its holder.

        Looks at stored targets, so it is asked once address and targets are saved.
        """
        if self.enabled and Address.objects.filter(pk=self.pk).without_target().exists():
            sentence = "An enabled alias needs at least one target: add where its mail goes."
            raise ValidationError({"enabled": sentence})

    def _normalise_signer(self) -> None:
        if self.signing_domain:
            self.signing_domain = normalise_domain(self.signing_domain, "signing_domain")
        is_wanted = self.authentication == Demand.SIGNER
        if is_wanted and not self.signing_domain:
            raise ValidationError({"signing_domain": "Name the domain that has to sign."})
        if self.signing_domain and not is_wanted:
            sentence = "Only “DKIM of one domain” takes a signing domain: choose it, or clear this."
            raise ValidationError({"signing_domain": sentence})
        if self.sender_match == self.SenderMatch.AUTHOR and not self.allowed_senders:
            sentence = "List the authors who may write, or let the list be about the envelope."
            raise ValidationError({"sender_match": sentence})

    def _revive(self) -> None:
        """A later expiry switches an address on again that only its expiry switched off."""
        if self.expired_at is not None and not self._is_over():
            self.enabled, self.expired_at = True, None

    def _is_over(self) -> bool:
        return self.expires_at is not None and self.expires_at <= database_now()

    def _check_domain(self) -> None:
        if self.domain.state == Domain.State.RELEASED:
            raise ValidationError({"domain": "The domain has been released."})
        self.require_kept("domain", "An address keeps its domain; make a new one there.")

    def _check_limit(self) -> None:
        if not self._state.adding:
            return
        tenant = self.domain.tenant
        if tenant.limit("max_addresses") is None:
            return
        if sentence := tenant.beyond_plan("addresses", Address.objects.counted(tenant).count()):
            raise ValidationError({"domain": sentence})

    def _check_owner(self) -> None:
        tenant = self.domain.tenant
        if self.holder is not None and self.holder.tenant_id != tenant.pk:
            raise ValidationError({"holder": "Choose a mailbox of the same tenant."})
        if self._is_owner_chosen() and not self.is_owner_a_member:
            sentence = (
                "The owner has to be a member of the tenant: make them one, or choose another."
            )
            raise ValidationError({"owner": sentence})

    def _is_owner_chosen(self) -> bool:
        """Whoever left the tenant since stays named, so that the rest can be edited."""
        before = self.stored("owner")
        return before is None or before["owner"] != self.owner_id


class AliasManager(models.Manager.from_queryset(AddressQuerySet)):  # type: ignore[misc]
    """Addresses of kind alias."""

    def get_queryset(self) -> AddressQuerySet:
        queryset: AddressQuerySet = super().get_queryset().filter(kind=AddressKind.ALIAS)
        return queryset


class Alias(Address):
    """An alias is an address that delivers to one or more targets, in order."""

    objects = AliasManager()  # type: ignore[misc]

    class Meta:
        proxy = True
        verbose_name_plural = "aliases"


class RoleAddressManager(models.Manager.from_queryset(AddressQuerySet)):  # type: ignore[misc]
    """Addresses of kind role."""

    def get_queryset(self) -> AddressQuerySet:
        queryset: AddressQuerySet = super().get_queryset().filter(kind=AddressKind.ROLE)
        return queryset


class RoleAddress(Address):
    """A role address (RFC 2142) belongs to a job, not a person; its holder's mailbox gets it.

    postmaster and abuse answer on every active domain, with a row or without.
    """

    objects = RoleAddressManager()  # type: ignore[misc]

    class Meta:
        proxy = True
        verbose_name_plural = "role addresses"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not args:
            self.kind = AddressKind.ROLE

    def clean(self) -> None:
        super().clean()
        if fold(self.local_part) not in ROLE_NAMES:
            names = ", ".join(ROLE_NAMES)
            raise ValidationError({"local_part": f"A role address is one of: {names}."})


@tracked
class SubaddressRule(Ruled):
    """What happens to one detail of an address: it delivers, is refused, or goes elsewhere."""

    class Action(models.TextChoices):
        DELIVER = RuleAction.DELIVER, "deliver"
        REFUSE = RuleAction.REFUSE, "refuse"
        RETARGET = RuleAction.RETARGET, "retarget"

    address = models.ForeignKey(Address, on_delete=models.CASCADE, related_name="rules")
    detail = models.CharField(
        max_length=63, blank=True, help_text="What stands after the delimiter."
    )
    action = models.CharField(max_length=16, choices=Action, default=Action.REFUSE)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()
    tenant_path = "address__domain__tenant"

    class Meta:
        ordering = ("address", "detail")
        constraints = [
            models.UniqueConstraint(
                fields=["address", "detail"],
                name="subaddress_rule_once",
                violation_error_code="detail",
                violation_error_message="The address has a rule for this detail already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.address} detail “{self.detail}”: {self.action}"

    def get_absolute_url(self) -> str:
        return reverse("admin:tenants_subaddressrule_change", args=[self.pk])

    def check_targets(self) -> None:
        """A rule that retargets has somewhere to deliver to; asked once its targets are saved."""
        rows = SubaddressRule.objects.filter(pk=self.pk, action=self.Action.RETARGET)
        if rows.filter(targets=None).exists():
            raise ValidationError({"action": "A rule that retargets needs at least one target."})

    def clean(self) -> None:
        super().clean()
        self.detail = fold(self.detail.strip())
        if _CONTROL.search(self.detail):
            raise ValidationError({"detail": "Take out line breaks and other control characters."})
        self.require_kept("address", "A rule keeps its address; make a new one there.")
