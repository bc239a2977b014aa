"""Bulk edits as an operator reads them: what they are called, what they ask for, what they do.

The work itself stands in tenants/jobs; here are its words and its forms. Whoever is named in a
form (mailbox, domain, next hop, user) is looked for among the tenants of the rows chosen.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextInputWidget,
)

from tenants.clock import database_now
from tenants.imports.rows import Kind, key_of
from tenants.models import Domain, Mailbox, Membership, NextHop
from tenants.models.fields import parse_address

OFFERED = 200
NOBODY = "Leave it empty for nobody."


class DeedForm(forms.Form):
    """What a bulk edit needs to be told; `tenants` are those of the rows it is about."""

    def __init__(self, data: Any = None, *, tenants: Collection[int] = ()) -> None:
        super().__init__(data)
        self.tenants = tenants
        for field in self.fields.values():
            if isinstance(field, NamedField):
                field.tenants = tenants

    @property
    def parameters(self) -> dict[str, Any]:
        """For the job, once the form is valid."""
        return dict(self.cleaned_data)

    @property
    def told(self) -> str:
        """What stands behind the title, as in "Extend by: 7 days"."""
        return ""


class NamedField(forms.CharField):
    """A row that is named in words; its id is the value."""

    tenants: Collection[int] = ()
    missing = ""

    def __init__(self, **options: Any) -> None:
        name = f"offered-{type(self).__name__.lower()}"
        widget = UnfoldAdminTextInputWidget(attrs={"list": name, "autocomplete": "off"})
        super().__init__(**{"max_length": 320, "widget": widget, **options})
        self.offered_id = name

    def rows(self) -> QuerySet[Any]:
        """Those that may be named."""
        raise NotImplementedError

    def named(self, text: str) -> Q:
        """Which of them a text names."""
        raise NotImplementedError

    def meant(self, text: str) -> list[Any]:
        """The row that is meant; two where that cannot be told."""
        return list(self.rows().filter(self.named(text))[:2])

    def offered(self) -> list[str]:
        """What is offered while one types."""
        raise NotImplementedError

    def clean(self, value: Any) -> Any:
        text = super().clean(value).strip()
        if not text:
            return None
        found = self.meant(text)
        if not found:
            raise ValidationError(self.missing)
        if len(found) > 1:
            raise ValidationError("Several tenants have one of this name: choose rows of one.")
        return found[0].pk


class MailboxField(NamedField):
    missing = "No tenant of these rows has this mailbox: write its address, or add it first."

    def rows(self) -> QuerySet[Any]:
        return Mailbox.objects.filter(tenant__in=self.tenants)

    def named(self, text: str) -> Q:
        return Q(address__iexact=text) | Q(key=key_of(Kind.MAILBOX, text))

    def offered(self) -> list[str]:
        return list(self.rows().values_list("address", flat=True)[:OFFERED])


class HopField(NamedField):
    missing = "There is no next hop of this name for the tenants of these rows."

    def rows(self) -> QuerySet[Any]:
        return NextHop.objects.filter(Q(tenant=None) | Q(tenant__in=self.tenants))

    def named(self, text: str) -> Q:
        return Q(name__iexact=text)

    def meant(self, text: str) -> list[Any]:
        """The one tenant's own before everyone's, as in an import, and as it is written first."""
        rows = self.rows().filter(self.named(text))
        own = rows.filter(tenant__in=self.tenants) if len(self.tenants) == 1 else rows.none()
        asked = (own.filter(name=text), own, rows.filter(name=text), rows)
        return next((found for each in asked if (found := list(each[:2]))), [])

    def offered(self) -> list[str]:
        return list(self.rows().values_list("name", flat=True)[:OFFERED])


class DomainField(NamedField):
    missing = "There is no such domain that is claimed here: write its name, as in example.com."

    def rows(self) -> QuerySet[Any]:
        return Domain.objects.claimed().order_by("name")

    def named(self, text: str) -> Q:
        return Q(name=text.lower()) | Q(u_label=text.lower())

    def meant(self, text: str) -> list[Any]:
        """The tenants' own claim before those of others, a verified one before others."""
        claims: Any = self.rows().filter(self.named(text))
        own = claims.filter(tenant__in=self.tenants)
        asked = (own.receiving(), own, claims.receiving(), claims)
        return next((found for each in asked if (found := list(each[:2]))), [])

    def offered(self) -> list[str]:
        own = self.rows().filter(tenant__in=self.tenants)
        return list(own.values_list("name", flat=True)[:OFFERED])


class MemberField(NamedField):
    missing = "No tenant of these rows has a member of this name."

    def rows(self) -> QuerySet[Any]:
        members = Membership.objects.filter(tenant__in=self.tenants).values("user")
        users: Any = Membership._meta.get_field("user").related_model
        rows: QuerySet[Any] = users.objects.filter(pk__in=members)
        return rows

    def named(self, text: str) -> Q:
        return Q(username=text)

    def offered(self) -> list[str]:
        return list(self.rows().values_list("username", flat=True)[:OFFERED])


class ExpiryForm(DeedForm):
    at = forms.DateTimeField(
        label="Expires at",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local", "class": "panel-input"}),
        help_text="In UTC. Empty: never; what only its expiry switched off is switched on again.",
    )

    def clean_at(self) -> datetime | None:
        at: datetime | None = self.cleaned_data["at"]
        if at is not None and at <= database_now():
            raise ValidationError("Choose a moment to come; Disable switches off at once.")
        return at

    @property
    def parameters(self) -> dict[str, Any]:
        at = self.cleaned_data["at"]
        return {"at": at.isoformat() if at else None}

    @property
    def told(self) -> str:
        at = self.cleaned_data["at"]
        return f"{at:%Y-%m-%d %H:%M %Z}" if at else "never"


class ExtensionForm(DeedForm):
    days = forms.IntegerField(
        label="Days",
        min_value=1,
        max_value=3650,
        initial=30,
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="Counted from the expiry of each, or from now where that has passed.",
    )

    @property
    def told(self) -> str:
        days = self.cleaned_data["days"]
        return f"{days} day{'s' if days > 1 else ''}"


class RetargetForm(DeedForm):
    kind = forms.ChoiceField(
        label="Deliver to",
        choices=(
            ("mailbox", "a mailbox"),
            ("forward", "another address (forward)"),
            ("inbox", "the stored inbox"),
            ("discard", "nowhere (discard)"),
        ),
        initial="mailbox",
        widget=UnfoldAdminRadioSelectWidget(),
    )
    mailbox = MailboxField(label="Mailbox", required=False, help_text="For a mailbox.")
    forward_to = forms.CharField(
        label="Forward to",
        required=False,
        max_length=320,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "name@example.com"}),
        help_text="For a forward.",
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        kind = data.get("kind")
        if kind == "mailbox" and "mailbox" in data and not data["mailbox"]:
            self.add_error("mailbox", "Write the mailbox's address.")
        if kind == "forward":
            data["forward_to"] = self._parse_forward(data.get("forward_to", ""))
        return {
            "kind": kind,
            "mailbox": data.get("mailbox") if kind == "mailbox" else None,
            "forward_to": data.get("forward_to", "") if kind == "forward" else "",
        }

    def _parse_forward(self, text: str) -> str:
        """The address as a target has it; what is none is told here, not once for each row."""
        try:
            if text:
                return str(parse_address(text, "forward_to"))
            self.add_error("forward_to", "Write the address to forward to.")
        except ValidationError as error:
            self.add_error(None, error)
        return ""

    @property
    def told(self) -> str:
        kind = self.cleaned_data["kind"]
        typed = self.data.get("mailbox") if kind == "mailbox" else self.data.get("forward_to")
        return {"inbox": "stored inbox", "discard": "discard"}.get(kind, f"{kind} {typed}")


class ExchangeForm(DeedForm):
    old = MailboxField(label="Mailbox to replace")
    new = MailboxField(label="By this mailbox")

    @property
    def told(self) -> str:
        return f"{self.data['old']} by {self.data['new']}"


class MoveForm(DeedForm):
    domain = DomainField(
        label="Domain",
        help_text="An address keeps its domain, so it is made anew there, with targets and rules.",
    )
    old = forms.ChoiceField(
        label="The address it leaves",
        choices=(
            ("forward", "forwards to the new one"),
            ("disable", "is disabled"),
            ("delete", "is deleted"),
            ("keep", "stays as it is"),
        ),
        initial="forward",
        widget=UnfoldAdminRadioSelectWidget(),
    )

    @property
    def told(self) -> str:
        return str(self.data["domain"])


class ValueForm(DeedForm):
    """One value, which the told title ends with."""

    @property
    def told(self) -> str:
        return str(self.data["value"] or "nobody")


class OwnerForm(ValueForm):
    value = MemberField(label="Owner", required=False, help_text=NOBODY)


class HolderForm(ValueForm):
    value = MailboxField(
        label="Holder", required=False, help_text="Empty takes the holder of the domain."
    )


class HopForm(ValueForm):
    value = HopField(label="Next hop", help_text="The server that holds these mailboxes.")


class RelayForm(ValueForm):
    value = HopField(label="Relay", required=False, help_text="Empty takes the installation's.")


@dataclass(frozen=True, slots=True)
class Deed:
    """A bulk edit: its name among a list's actions, its kind of job, its words, its form.

    What changes targets takes the right to change these besides.
    """

    name: str
    kind: str
    title: str
    effect: str
    form: type[DeedForm] | None = None
    is_dangerous: bool = False
    noun: str = "rows"  # where its items are no rows of one table
    verb: str = "change"  # the right to it, of the rows' model
    changes_targets: bool = False


ENABLE = Deed("enable", "addresses.enable", "Enable", "From the next message on, they take mail.")
DISABLE = Deed(
    "disable",
    "addresses.disable",
    "Disable",
    "From the next message on, senders are refused.",
    is_dangerous=True,
)
EXPIRE = Deed(
    "expire", "addresses.expire", "Expire", "From that moment on, senders are refused.", ExpiryForm
)
EXTEND = Deed("extend", "addresses.extend", "Extend by", "They take mail longer.", ExtensionForm)
RETARGET = Deed(
    "retarget",
    "addresses.retarget",
    "Deliver to",
    "This target stands in place of all that each of them has now.",
    RetargetForm,
    changes_targets=True,
)
EXCHANGE = Deed(
    "exchange",
    "addresses.exchange",
    "Replace mailbox",
    "Wherever these addresses use the first mailbox, they use the second one.",
    ExchangeForm,
    changes_targets=True,
)
MOVE = Deed(
    "move", "addresses.move", "Move to", "They take mail on the other domain at once.", MoveForm
)
OWN = Deed("own", "addresses.owner", "Set owner to", "Who answers for them.", OwnerForm)
HOLD = Deed(
    "hold_role", "addresses.holder", "Set holder to", "Who gets the mail of the role.", HolderForm
)
REHOUSE = Deed(
    "rehouse",
    "mailboxes.hop",
    "Set next hop to",
    "Mail that is accepted from now on is handed to that server.",
    HopForm,
)
RELAY = Deed(
    "relay",
    "domains.smarthost",
    "Set relay to",
    "Forwards of these domains leave through it.",
    RelayForm,
)
ROLE_HOLDER = Deed(
    "hold_roles",
    "domains.holder",
    "Set role holder to",
    "Gets postmaster and abuse where no role address says otherwise.",
    HolderForm,
)
DELETE = Deed(
    "delete_rows",
    "rows.delete",
    "Delete",
    "They go with what belongs to them; what has an address is refused from the next message on. "
    "Their history stays, and the job can be undone.",
    is_dangerous=True,
    verb="delete",
)
DELETE_FOR_GOOD = replace(
    DELETE,
    kind="rows.delete for good",
    effect="They go with what belongs to them. It cannot be undone.",
)
ERASE = Deed(
    "erase",
    "erase person",
    "Erase",
    "It cannot be undone. The rows stay, with the pseudonym in the address’s place; bodies go.",
    is_dangerous=True,
    noun="parts",
)
DEEDS = {
    deed.kind: deed
    for deed in (
        *(ENABLE, DISABLE, EXPIRE, EXTEND, RETARGET, EXCHANGE),
        *(MOVE, OWN, HOLD, REHOUSE, RELAY, ROLE_HOLDER, DELETE, DELETE_FOR_GOOD, ERASE),
    )
}
