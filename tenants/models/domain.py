"""Domain and DomainCheck: which domains are served, for whom, and what their DNS says."""

import secrets
from datetime import timedelta
from typing import Any

import pgtrigger
from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from gateway.routing.address import DELIMITER_ALPHABET, to_u_label
from gateway.routing.facts import DomainState
from tenants.clock import database_now
from tenants.lookalikes import mixed_scripts, skeleton
from tenants.models.fields import Ruled, normalise_domain, validate_pattern
from tenants.models.history import tracked, tracked_in
from tenants.models.tenant import Tenant
from tenants.querysets import RECEIVING, DomainQuerySet, TenantQuerySet, by_code_point

QUARANTINE = timedelta(days=30)
NOT_RELEASED = (
    "{name} has been verified: release it first. It can be deleted 30 days after that, when "
    "others may have it."
)
VERIFIED = "{name} was verified: release it instead, which keeps its mail from others for 30 days."
IN_QUARANTINE = (
    "{name} was given up lately. It can be deleted from {until:%Y-%m-%d}, when others may have it."
)
MIXED = (
    "“{label}” mixes letters of {scripts}, by which it may pass for another name: write it in one "
    "script."
)
LOOKS_LIKE = (
    "{name} looks like {other}, which another tenant has verified: people could not tell whose "
    "mail is whose."
)


def new_token() -> str:
    """A token that proves one claim of one tenant."""
    return secrets.token_urlsafe(24)


def validate_delimiters(value: str) -> None:
    foreign = set(value) - set(DELIMITER_ALPHABET)
    if foreign or len(set(value)) != len(value):
        raise ValidationError(f"Choose delimiters out of {DELIMITER_ALPHABET}, each once.")


@tracked
class Domain(Ruled):
    """A domain whose mail this installation takes for a tenant, once DNS proves the claim.

    Pending and released domains are refused like foreign ones; degraded ones (DNS trouble that
    lasted) still receive.
    """

    class State(models.TextChoices):
        PENDING = DomainState.PENDING, "pending"
        ACTIVE = DomainState.ACTIVE, "active"
        DEGRADED = DomainState.DEGRADED, "degraded"
        RELEASED = DomainState.RELEASED, "released"

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="domains")
    name = models.CharField(
        "domain",
        max_length=255,
        help_text="Stored as A-label: bücher.example is xn--bcher-kva.example.",
    )
    u_label = models.CharField("as people read it", max_length=255, blank=True, editable=False)
    skeleton = models.CharField(
        "what it looks like",
        max_length=1020,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="Equal for names that people cannot tell apart (Unicode TR39).",
    )
    may_look_alike = models.BooleanField(
        "may look like another domain",
        default=False,
        db_default=False,
        help_text="Lets a name pass that looks like another tenant's domain or mixes scripts, "
        "once you know who asks for it. Say why.",
    )
    environment = models.CharField(
        max_length=40,
        default="production",
        help_text="Domains of different environments never forward to each other.",
        validators=[RegexValidator(r"^[a-z0-9-]+$", "Use lower-case letters, digits and dashes.")],
    )
    state = models.CharField(max_length=16, choices=State, default=State.PENDING, editable=False)
    state_since = models.DateTimeField(default=timezone.now, editable=False)
    verified_at = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="When DNS first proved the claim.",
    )
    token = models.CharField(max_length=64, unique=True, default=new_token, editable=False)
    delimiters = models.CharField(
        "subaddress delimiters",
        max_length=4,
        default="+",
        blank=True,
        validators=[validate_delimiters],
        help_text="The first of these characters splits name+detail; empty turns subaddresses off.",
    )
    local_part_pattern = models.CharField(
        "allowed local parts",
        max_length=200,
        blank=True,
        validators=[validate_pattern],
        help_text="RE2 pattern for the whole local part, lower case; empty allows all.",
    )
    local_part_max_octets = models.PositiveSmallIntegerField(
        "longest local part (octets)", null=True, blank=True
    )
    hides_disabled = models.BooleanField(
        "disabled looks unknown",
        default=False,
        help_text="Disabled and expired addresses answer as if they never existed.",
    )
    default_role_holder = models.ForeignKey(
        "tenants.Mailbox",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Gets postmaster@ and abuse@ where no row says otherwise; empty stores them.",
    )
    smarthost = models.ForeignKey(
        "tenants.NextHop",
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="The relay for this domain's forwards; empty takes the installation's.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = DomainQuerySet.as_manager()
    tenant_path = "tenant"

    class Meta:
        ordering = ("name", "id")
        indexes = [
            models.Index(by_code_point("name"), "id", name="domain_by_name"),
            models.Index(by_code_point("u_label"), "id", name="domain_by_u_label"),
            models.Index(
                fields=["skeleton"], condition=Q(state__in=RECEIVING), name="domain_by_look"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(state__in=RECEIVING),
                name="domain_verified_once",
                violation_error_code="name",
                violation_error_message="Another claim of this domain is verified already.",
            ),
            models.UniqueConstraint(
                fields=["tenant", "name"],
                condition=~Q(state=DomainState.RELEASED),
                name="domain_claimed_once_by_tenant",
                violation_error_code="name",
                violation_error_message="The tenant has claimed this domain already.",
            ),
        ]

    def __str__(self) -> str:
        return self.u_label or self.name

    def get_absolute_url(self) -> str:
        return reverse("admin:tenants_domain_change", args=[self.pk])

    @property
    def is_receiving(self) -> bool:
        return self.state in RECEIVING

    def clean(self) -> None:
        super().clean()
        self.name = normalise_domain(self.name, "name")
        self.u_label = to_u_label(self.name)
        self.skeleton = skeleton(self.u_label)
        self._check_name()
        self._check_looks()
        self._check_state()
        self._check_limit()
        self._check_holder()

    def _check_name(self) -> None:
        """Addresses carry the name in their keys: another name is another domain."""
        self.require_kept("name", "A domain keeps its name; claim the other one anew.")
        self.require_kept("tenant", "A domain keeps its tenant; release it and claim anew.")
        if self.name == settings.BOUNCE_DOMAIN:
            raise ValidationError({"name": "The installation uses this domain for bounces."})

    def _check_looks(self) -> None:
        """Of a new claim, and once more when it is first verified: others were so meanwhile."""
        is_first = self.is_receiving and not self.verified_at
        if self.may_look_alike or not (self._state.adding or is_first):
            return
        for label in self.u_label.split("."):
            if scripts := mixed_scripts(label):
                raise ValidationError(
                    {"name": MIXED.format(label=label, scripts=" and ".join(scripts))}
                )
        others = Domain.objects.receiving().exclude(tenant=self.tenant_id)
        if (other := others.looking_like(self.u_label).first()) is not None:
            raise ValidationError({"name": LOOKS_LIKE.format(name=self.u_label, other=other)})

    def check_deletion(self) -> None:
        """Nobody gets around the quarantine by deleting what stands for it."""
        now: Any = self.stored("state", "state_since", "verified_at")
        if now is None or now["verified_at"] is None:
            return
        if now["state"] != self.State.RELEASED:
            raise ValidationError(NOT_RELEASED.format(name=self))
        if (until := now["state_since"] + QUARANTINE) > database_now():
            raise ValidationError(IN_QUARANTINE.format(name=self, until=until))

    def _check_state(self) -> None:
        """A change of state is stamped with its time; verified and released are for good."""
        before = self.stored("state", "verified_at")
        if before is None and self.verified_at is not None:
            self._come_back()
            return
        is_claim = self.state == self.State.PENDING or not self.verified_at
        if before and before["verified_at"] and is_claim:
            raise ValidationError({"state": VERIFIED.format(name=self)})
        was = before["state"] if before else self.State.PENDING
        if was == self.state:
            return
        if was == self.State.RELEASED:
            raise ValidationError({"state": "A released domain stays so; claim it anew."})
        self.state_since = database_now()
        if self.is_receiving and not self.verified_at:
            self._check_quarantine()
            self.verified_at = self.state_since

    def _come_back(self) -> None:
        """A domain that was deleted: nobody has asked its DNS since, so it is proved anew."""
        if self.state != self.State.RELEASED:
            self.state, self.verified_at = self.State.PENDING, None
            self.state_since = database_now()

    def _check_quarantine(self) -> None:
        """For a while nobody inherits the mail that was meant for a domain's former tenant."""
        recent = Domain.objects.released_since(database_now() - QUARANTINE)
        last = recent.filter(name=self.name).exclude(tenant=self.tenant_id).last_release()
        if last is not None:
            day = f"{last + QUARANTINE:%Y-%m-%d}"
            raise ValidationError(
                {
                    "name": f"{self.name} was given up lately by who had it; "
                    f"it can be verified again from {day}."
                }
            )

    def _check_limit(self) -> None:
        if not self._state.adding or not self.tenant_id or self.tenant.limit("max_domains") is None:
            return
        if sentence := self.tenant.beyond_plan("domains", self.tenant.domains.claimed().count()):
            raise ValidationError({"tenant": sentence})

    def _check_holder(self) -> None:
        holder, hop = self.default_role_holder, self.smarthost
        if holder is not None and holder.tenant_id != self.tenant_id:
            raise ValidationError({"default_role_holder": "Choose a mailbox of the same tenant."})
        if hop is not None and hop.tenant_id not in (None, self.tenant_id):
            raise ValidationError({"smarthost": "Choose a next hop of the same tenant."})


# What cannot be told changes nothing, and is no event: nor is what is found the same after it.
WAS_KNOWN = ~pgtrigger.Q(old__state="unknown")
FOUND_ANEW = ~pgtrigger.Q(new__state="unknown") & (
    (WAS_KNOWN & pgtrigger.Q(new__state__df=pgtrigger.F("old__state")))
    | (~WAS_KNOWN & pgtrigger.Q(new__state__df=pgtrigger.F("old__last_known")))
)
EXPECTED_ANEW = pgtrigger.Q(new__expected__df=pgtrigger.F("old__expected"))


@tracked_in(
    *("domain", "kind", "record_name", "record_type", "expected", "state", "found"),
    when=FOUND_ANEW | EXPECTED_ANEW,
)
class DomainCheck(Ruled):
    """What DNS said about one record of a domain, and since when it has said so.

    Its history holds what was found or expected otherwise than before, not each look.
    """

    class Kind(models.TextChoices):
        OWNERSHIP = "ownership", "ownership TXT"
        MX = "mx", "MX"
        SPF = "spf", "SPF"
        DKIM = "dkim", "DKIM"
        DMARC = "dmarc", "DMARC"
        MTA_STS = "mta-sts", "MTA-STS"
        TLS_RPT = "tls-rpt", "TLS-RPT"

    class State(models.TextChoices):
        PRESENT = "present", "present"
        ABSENT = "absent", "absent"
        WRONG = "wrong", "wrong"
        UNKNOWN = "unknown", "unknown"

    domain = models.ForeignKey(Domain, on_delete=models.CASCADE, related_name="checks")
    kind = models.CharField(max_length=16, choices=Kind)
    # The longest domain behind "._domainkey." and the longest selector: more than DNS can hold.
    record_name = models.CharField(max_length=520)
    record_type = models.CharField(max_length=10)
    expected = models.TextField(blank=True)
    state = models.CharField(max_length=16, choices=State, default=State.UNKNOWN)
    found = ArrayField(models.TextField(blank=True), default=list, blank=True)
    evidence = models.JSONField(default=list, blank=True)
    advice = models.TextField(blank=True)
    note = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="What was found out beside, and asks for nothing to be done.",
    )
    since = models.DateTimeField(default=timezone.now)
    checked_at = models.DateTimeField(null=True, blank=True)
    times_in_row = models.PositiveIntegerField(
        default=0, help_text="Checks that found the standing state, one after the other."
    )
    standing = models.CharField(
        max_length=16,
        choices=State,
        default=State.UNKNOWN,
        editable=False,
        help_text="The last state that was not unknown; since and times in row are about it.",
    )
    last_known = models.CharField(
        max_length=16,
        choices=State,
        default=State.UNKNOWN,
        db_default=State.UNKNOWN,
        editable=False,
        help_text="The last state of this very record that was not unknown.",
    )
    unknown_times = models.PositiveIntegerField(
        default=0, help_text="Checks since then that could not tell."
    )

    objects = TenantQuerySet.as_manager()
    tenant_path = "domain__tenant"

    class Meta:
        ordering = ("domain", "id")
        constraints = [
            models.UniqueConstraint(
                fields=["domain", "kind", "record_name"],
                name="domain_check_once",
                violation_error_code="kind",
                violation_error_message="The domain has a check of this record already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.domain}"

    def get_absolute_url(self) -> str:
        return self.domain.get_absolute_url()
