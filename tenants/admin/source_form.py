"""The form that a source is read with: a dump, a database or map files become an inventory.

What cannot be read is an error at the field that it was given in.
"""

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from tenants.admin.forms import PanelForm
from tenants.models import Source
from tenants.models.fields import normalise_domain
from tenants.moving_in.inventory import Inventory
from tenants.moving_in.keeping import fill
from tenants.moving_in.reading import UnreadableSource, read_dump, read_live, read_maps, shown
from tenants.moving_in.sources.maps import Map
from tenants.octets import print_octets

# Unpacked: a small file may unpack to what fills the memory of the process.
UPLOAD_OCTETS = 64_000_000
MAP_HELP = {
    Map.ALIASES: "Aliases and forwards: address, then targets.",
    Map.MAILBOXES: "Mailboxes: address, then where they are.",
    Map.DOMAINS: "Domains with mailboxes, one a line.",
    Map.ALIAS_DOMAINS: "Domains with aliases alone, one a line.",
    Map.RELAY_DOMAINS: "Domains whose mailboxes are on another server, one a line.",
    Map.RELAY_RECIPIENTS: "Recipients of these.",
    Map.TRANSPORT: "Servers of whole domains.",
}


def _map_field(name: Map) -> forms.FileField:
    return forms.FileField(
        label=name.value,
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text=f"{MAP_HELP[name]} The text that postmap reads, not the .db or .lmdb it makes.",
    )


class SourceForm(PanelForm):
    """A source to be read, for a tenant and its mailboxes' next hop."""

    dump = forms.FileField(
        label="Dump",
        required=False,
        widget=UnfoldAdminFileFieldWidget,
        help_text="What mysqldump, mariadb-dump, pg_dump --format=plain or sqlite3's .dump wrote, "
        f"packed by gzip or not, at most {print_octets(UPLOAD_OCTETS)} unpacked. Nothing in it is "
        "executed. From some 200,000 addresses on, manage.py move_in is the better way.",
    )
    database = forms.CharField(
        label="Or a database",
        required=False,
        max_length=400,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="postgresql://user:password@host/name or mysql://user:password@host/name. It is "
        "read once and read-only, by this process, wherever it points; the password is not kept.",
    )

    virtual_alias_maps = _map_field(Map.ALIASES)
    virtual_mailbox_maps = _map_field(Map.MAILBOXES)
    virtual_mailbox_domains = _map_field(Map.DOMAINS)
    virtual_alias_domains = _map_field(Map.ALIAS_DOMAINS)
    relay_domains = _map_field(Map.RELAY_DOMAINS)
    relay_recipient_maps = _map_field(Map.RELAY_RECIPIENTS)
    transport_maps = _map_field(Map.TRANSPORT)

    class Meta:
        model = Source
        fields = ("tenant", "next_hop", "product", "domains")

    def clean_domains(self) -> list[str]:
        try:
            return [normalise_domain(name, "domains") for name in self.cleaned_data["domains"]]
        except ValidationError as error:
            raise ValidationError(error.messages) from None

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if not self.errors:
            field, name = self._given(data)
            try:
                fill(self.instance, self._read(field, data), name=name)
            except UnreadableSource as error:
                raise ValidationError({field: str(error)}) from error
        return data

    def _given(self, data: dict[str, Any]) -> tuple[str, str]:
        """The field that the source stands in, and what was read. Raises ValidationError."""
        if data["product"] == Source.Product.MAPS:
            files = [data[name] for name in MAP_HELP if data.get(name)]
            if not files:
                raise ValidationError({Map.ALIASES.value: "Choose the files of your maps."})
            return Map.ALIASES.value, shown([file.name for file in files])
        if data.get("dump"):
            return "dump", shown([data["dump"].name])
        if data.get("database"):
            if urlsplit(data["database"]).scheme.startswith("sqlite"):
                raise ValidationError({"database": "Upload a dump of it (sqlite3 file .dump)."})
            return "database", self._shown_database(data["database"])
        raise ValidationError({"dump": "Choose a dump, or name a database below."})

    def _shown_database(self, url: str) -> str:
        try:
            return shown([url])
        except ValueError as error:
            raise ValidationError({"database": str(error)}) from error

    def _read(self, field: str, data: dict[str, Any]) -> Inventory:
        domains = data["domains"]
        if field == "dump":
            dump = data["dump"].file
            return read_dump(data["product"], dump, domains=domains, most_octets=UPLOAD_OCTETS)
        if field == "database":
            return read_live(data["product"], data["database"], domains=domains)
        files = {name.value: data[name].file for name in MAP_HELP if data.get(name)}
        return read_maps(files, domains=domains, most_octets=UPLOAD_OCTETS)


class RecipientsForm(forms.Form):
    """Whom shadow mode asks about, and who answers for the old system."""

    recipients = forms.FileField(
        label="A list of addresses, or Postfix's log",
        required=False,
        help_text="One address a line, or the lines of mail.log; empty asks about every address "
        "that the source names, and about some that nobody has.",
    )
    live = forms.ChoiceField(
        label="Who answers for the old system",
        required=False,
        widget=UnfoldAdminSelectWidget(),
        choices=lambda: [
            ("", "The rules of the source, as they were read"),
            *((name, f"The running Postfix {name}, now") for name in settings.SHADOW_POSTFIX),
        ],
        help_text="A running Postfix is asked by a worker, through its own look-ups.",
        error_messages={"invalid_choice": "No Postfix of that name is in SHADOW_POSTFIX any more."},
    )
