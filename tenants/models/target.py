"""Target: where an address's mail goes. A new kind is an entry in KINDS, a form and a transport."""

from collections.abc import Callable
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from gateway.routing.resolve import MAX_WIDTH
from tenants.models.address import Address, SubaddressRule
from tenants.models.fields import Ruled, parse_address
from tenants.models.graph import check_forward
from tenants.models.history import tracked
from tenants.querysets import TargetQuerySet

NO_PARENT = "A target belongs to an address or to a subaddress rule."
TOO_MANY = f"{MAX_WIDTH} targets are the most: a shared mailbox or a mailing list reaches more."


@dataclass(frozen=True, slots=True)
class TargetKind:
    """How a kind of target is called and which fields it needs."""

    label: str
    needs: tuple[str, ...] = ()
    validate: Callable[["Target"], None] | None = None


KINDS: dict[str, TargetKind] = {
    "mailbox": TargetKind("mailbox", needs=("mailbox",)),
    "forward": TargetKind("forward", needs=("forward_to",)),
    "inbox": TargetKind("stored inbox"),
    "discard": TargetKind("discard"),
}


def kind_choices() -> list[tuple[str, str]]:
    """The kinds this installation knows; a callable, so that a new kind needs no migration."""
    return [(name, kind.label) for name, kind in KINDS.items()]


@tracked
class Target(Ruled):
    """A target is one place that an address (or a subaddress rule) delivers to."""

    address = models.ForeignKey(
        Address, on_delete=models.CASCADE, related_name="targets", null=True, blank=True
    )
    rule = models.ForeignKey(
        SubaddressRule, on_delete=models.CASCADE, related_name="targets", null=True, blank=True
    )
    position = models.PositiveSmallIntegerField(default=0, help_text="Lower ones come first.")
    kind = models.CharField(max_length=20, choices=kind_choices, default="mailbox")
    mailbox = models.ForeignKey(
        "tenants.Mailbox", on_delete=models.PROTECT, null=True, blank=True, related_name="targets"
    )
    forward_to = models.CharField(max_length=320, blank=True)
    forward_key = models.CharField(max_length=320, blank=True, editable=False, db_index=True)
    options = models.JSONField(default=dict, blank=True, editable=False)

    objects = TargetQuerySet.as_manager()
    tenant_path = "address__domain__tenant"

    class Meta:
        ordering = ("position", "id")
        indexes = [models.Index(fields=["kind", "address"], name="target_of_kind")]
        constraints = [
            models.CheckConstraint(
                condition=Q(address=None, rule__isnull=False) | Q(address__isnull=False, rule=None),
                name="target_of_one_parent",
                violation_error_code="address",
                violation_error_message=NO_PARENT,
            ),
            models.CheckConstraint(
                condition=~Q(kind="mailbox") | Q(mailbox__isnull=False),
                name="target_mailbox_set",
                violation_error_code="mailbox",
                violation_error_message="Choose the mailbox that this target delivers to.",
            ),
            models.CheckConstraint(
                condition=~Q(kind="forward") | ~Q(forward_key=""),
                name="target_forward_set",
                violation_error_code="forward_to",
                violation_error_message="Write the address that this target forwards to.",
            ),
        ]

    def __str__(self) -> str:
        if self.kind == "mailbox":
            return f"mailbox {self.mailbox}"
        return f"forward to {self.forward_to}" if self.kind == "forward" else KINDS[self.kind].label

    def get_absolute_url(self) -> str:
        return self.origin.get_absolute_url()

    @property
    def origin(self) -> Address:
        """The address whose mail this target takes. Raises ValidationError where there is none."""
        if self.rule is not None:
            return self.rule.address
        if self.address is None:
            raise ValidationError({"address": NO_PARENT})
        return self.address

    def clean(self) -> None:
        super().clean()
        kind = KINDS.get(self.kind)
        if kind is None:
            return
        self._keep_what_is_needed(kind)
        if not self.origin.domain_id:
            return
        self.require_kept("address", "A target keeps its address; make a new one there.")
        self.require_kept("rule", "A target keeps its rule; make a new one there.")
        if self.forward_to:
            parsed = parse_address(self.forward_to, "forward_to")
            self.forward_to, self.forward_key = str(parsed), parsed.key
            check_forward(self.origin, parsed, detail=self.rule.detail if self.rule else None)
        if self.mailbox is not None and self.mailbox.tenant_id != self.origin.domain.tenant_id:
            raise ValidationError({"mailbox": "Choose a mailbox of the same tenant."})
        if kind.validate:
            kind.validate(self)
        self._check_number()

    def _check_number(self) -> None:
        """No more than resolve() follows; beside new rows this is known once these are saved."""
        parent = self.rule_id or self.address_id
        if parent is None or not self._state.adding:
            return
        beside = Target.objects.filter(address=self.address_id, rule=self.rule_id)
        if beside.count() >= MAX_WIDTH:
            raise ValidationError({"kind": TOO_MANY})

    def _keep_what_is_needed(self, kind: TargetKind) -> None:
        missing = [name for name in kind.needs if not getattr(self, name)]
        if missing:
            raise ValidationError({missing[0]: f"A target of kind {kind.label} needs this."})
        if "mailbox" not in kind.needs:
            self.mailbox = None
        if "forward_to" not in kind.needs:
            self.forward_to = self.forward_key = ""
