"""Mailboxes and the next hops that hold them."""

from django.contrib import admin
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    BooleanRadioFilter,
    ChoicesDropdownFilter,
)
from unfold.decorators import display

from tenants.admin.base import PanelAdmin
from tenants.admin.bulk import bulk_action
from tenants.admin.deeds import REHOUSE
from tenants.admin.exports import ExportMixin
from tenants.models import Mailbox, NextHop


@admin.register(NextHop)
class NextHopAdmin(ExportMixin, PanelAdmin):
    list_display = ("name", "tenant", "protocol", "where", "tls")
    list_select_related = ("tenant",)
    list_filter = (
        ("tenant", AutocompleteSelectFilter),
        ("protocol", ChoicesDropdownFilter),
        ("tls", ChoicesDropdownFilter),
        ("calls_ahead", BooleanRadioFilter),
    )
    search_fields = ("name__istartswith", "host__startswith")
    autocomplete_fields = ("tenant",)
    empty_hint = "A next hop is a server that takes mail over SMTP or LMTP. Mailboxes need one."
    fieldsets = (
        (
            None,
            {
                "fields": ("name", "tenant"),
                "description": "Without a tenant the next hop may be used by everyone.",
            },
        ),
        ("Where mail is handed over", {"fields": ("protocol", "host", "port", "tls")}),
        ("Before mail is accepted", {"fields": ("calls_ahead",)}),
    )

    @display(description="host and port")
    def where(self, hop: NextHop) -> str:
        return f"{hop.host}:{hop.port}"


@admin.register(Mailbox)
class MailboxAdmin(ExportMixin, PanelAdmin):
    row_label = "address"
    list_display = ("address", "name", "kind", "tenant", "next_hop")
    list_select_related = ("tenant", "next_hop")
    list_filter = (
        ("tenant", AutocompleteSelectFilter),
        ("kind", ChoicesDropdownFilter),
        ("next_hop", AutocompleteSelectFilter),
    )
    search_fields = ("key__startswith", "name__istartswith")
    actions = (bulk_action(REHOUSE, label="address"),)
    autocomplete_fields = ("tenant", "next_hop")
    fixed_fields = ("tenant",)
    empty_hint = (
        "A mailbox is where a person or a team reads mail. Add a next hop first, then the mailbox; "
        "mail reaches it through an alias."
    )
    fieldsets = (
        (None, {"fields": ("tenant", "address", "name", "kind")}),
        ("Where it is", {"fields": ("next_hop",)}),
    )
