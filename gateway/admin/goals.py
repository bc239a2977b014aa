"""Where deliveries are rerouted to, as an operator says it."""

from collections.abc import Collection
from typing import Any

from django import forms
from django.db.models import QuerySet
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from gateway.delivery.rerouting import Goal, ToAddress, ToMailbox
from gateway.routing.address import Address, AddressError
from tenants.models import Mailbox

OFFERED = 200
ROUTED, MAILBOX, ADDRESS = "routed", "mailbox", "address"
CHOICES = (
    (ROUTED, "Where the address that was written to routes now"),
    (MAILBOX, "A mailbox of the same tenant"),
    (ADDRESS, "Where another address of the same tenant routes now"),
)


class GoalForm(forms.Form):
    """Reads a goal for deliveries; mailboxes are those of the tenants that these belong to."""

    goal = forms.ChoiceField(
        label="Send to",
        choices=CHOICES,
        initial=ROUTED,
        widget=UnfoldAdminRadioSelectWidget(),
    )
    place = forms.CharField(
        label="Mailbox or address",
        required=False,
        max_length=320,
        widget=UnfoldAdminTextInputWidget(
            attrs={"placeholder": "name@example.com", "list": "mailboxes", "autocomplete": "off"}
        ),
        help_text="Not needed where mail goes on as it routes now.",
    )

    def __init__(self, data: Any, *, tenants: Collection[int]) -> None:
        super().__init__(data)
        self._tenants = tenants

    @property
    def mailboxes(self) -> QuerySet[Mailbox]:
        """Those offered while one types."""
        return Mailbox.objects.filter(tenant__in=self._tenants).order_by("address")[:OFFERED]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("goal") in (MAILBOX, ADDRESS):
            data["place"] = self._address(data.get("place", ""))
        return data

    def read(self) -> Goal | None:
        """The goal; None where something is wrong, which the fields say."""
        if not self.is_valid():
            return None
        if self.cleaned_data["goal"] == ROUTED:
            return ToAddress()
        address: Address = self.cleaned_data["place"]
        if self.cleaned_data["goal"] == ADDRESS:
            return ToAddress(address)
        return self._mailbox(address)

    def _address(self, text: str) -> Address | None:
        try:
            return Address.parse(text)
        except AddressError as error:
            self.add_error("place", f"Write the address in full: {error}.")
            return None

    def _mailbox(self, address: Address) -> Goal | None:
        rows = Mailbox.objects.filter(tenant__in=self._tenants, key=address.key)
        found = list(rows.select_related("next_hop")[:2])
        if len(found) == 1:
            return ToMailbox(found[0])
        many = f"Several tenants have {address}: choose deliveries of one tenant."
        none = f"The tenant has no mailbox {address}; add it first, or send mail to an address."
        self.add_error("place", many if found else none)
        return None
