"""Which mailbox may send as which address."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.decorators import display

from tenants.admin.base import PanelAdmin
from tenants.admin.filters import ExpiryFilter
from tenants.models import SendAsIdentity

STATE_COLOURS = {
    SendAsIdentity.State.PENDING: "warning",
    SendAsIdentity.State.VERIFIED: "success",
    SendAsIdentity.State.REVOKED: "default",
}


@admin.register(SendAsIdentity)
class SendAsIdentityAdmin(PanelAdmin):
    row_label = "key"
    list_display = ("address", "mailbox", "tenant", "state_label", "granted_by", "expires_at")
    list_select_related = ("mailbox__tenant", "granted_by")
    list_filter = (
        ("mailbox__tenant", AutocompleteSelectFilter),
        ("state", ChoicesDropdownFilter),
        ExpiryFilter,
    )
    search_fields = ("key__startswith",)
    autocomplete_fields = ("mailbox", "granted_by")
    fixed_fields = ("mailbox",)
    readonly_fields = ("doubt",)
    empty_hint = "An identity lets a mailbox send as an address that delivers to it."
    fieldsets = (
        (None, {"fields": ("mailbox", "address")}),
        ("State", {"fields": ("state", "doubt", "granted_by", "expires_at")}),
    )

    @display(description="tenant", ordering="mailbox__tenant__name")
    def tenant(self, identity: SendAsIdentity) -> str:
        return str(identity.mailbox.tenant)

    @display(description="state", ordering="state", label=STATE_COLOURS)
    def state_label(self, identity: SendAsIdentity) -> tuple[str, str]:
        return identity.state, identity.get_state_display()
