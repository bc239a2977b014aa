"""The form that a source is read with: a dump, a database or map files become an inventory.

Databases and long files are left to a worker, whose job leads to the source; of a database the form
sees that its address is one, and asks nobody.

What cannot be read is an error at the field that it was given in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any
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
from tenants.moving_in.reading import (
    TOO_LONG,
    UnreadableSource,
    is_longer,
    read_dump,
    read_maps,
    require_database,
    shown,
)
from tenants.moving_in.sources.maps import Map
from tenants.octets import print_octets

# Unpacked: a small file may unpack to what fills the memory of the process.
UPLOAD_OCTETS = 64_000_000
READ_AT_ONCE = 1_000_000  # unpacked, some 6,000 addresses; a worker reads longer files
MAP_HELP = {
    Map.ALIASES: "Aliases and forwards: address, then targets.",
    Map.MAILBOXES: "Mailboxes: address, then where they are.",
    Map.DOMAINS: "Domains with mailboxes, one a line.",
    Map.ALIAS_DOMAINS: "Domains with aliases alone, one a line.",
    Map.RELAY_DOMAINS: "Domains whose mailboxes are on another server, one a line.",
    Map.RELAY_RECIPIENTS: "Recipients of these.",
    Map.TRANSPORT: "Servers of whole domains.",
}


@dataclass(frozen=True, slots=True)
class LongSource:
    """What a worker is to read, and what an operator calls it: files by their field, or a URL."""

    name: str
    files: Mapping[str, bytes]
    database: str = ""


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
        "executed; what is long is read by a worker. manage.py move_in takes longer ones.",
    )
    database = forms.CharField(
        label="Or a database",
        required=False,
        max_length=400,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text="postgresql://user:password@host/name or mysql://user:password@host/name. It is "
        "read once and read-only, by a worker, wherever it points; until then the address stands "
        "encrypted, and it is not kept.",
    )

    virtual_alias_maps = _map_field(Map.ALIASES)
    virtual_mailbox_maps = _map_field(Map.MAILBOXES)
    virtual_mailbox_domains = _map_field(Map.DOMAINS)
    virtual_alias_domains = _map_field(Map.ALIAS_DOMAINS)
    relay_domains = _map_field(Map.RELAY_DOMAINS)
    relay_recipient_maps = _map_field(Map.RELAY_RECIPIENTS)
    transport_maps = _map_field(Map.TRANSPORT)

    long: LongSource | None = None

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
                self._take(field, name, data)
            except UnreadableSource as error:
                raise ValidationError({field: str(error)}) from error
        return data

    def _take(self, field: str, name: str, data: dict[str, Any]) -> None:
        """Fill the source, or leave it to a worker. Raises UnreadableSource."""
        files = self._files(field, data)
        if field == "database":
            require_database(data[field])
            self.long = LongSource(name, {}, data[field])
        elif any(is_longer(file, READ_AT_ONCE) for file in files.values()):
            self.long = LongSource(name, {key: _whole(file) for key, file in files.items()})
        else:
            fill(self.instance, self._read(field, files, data), name=name)

    def _files(self, field: str, data: dict[str, Any]) -> dict[str, IO[bytes]]:
        """The files that it is read from, by their field; none where that is a database."""
        names: list[str] = {"database": [], "dump": ["dump"]}.get(field, list(MAP_HELP))
        return {str(name): data[name].file for name in names if data.get(name)}

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

    def _read(self, field: str, files: Mapping[str, IO[bytes]], data: dict[str, Any]) -> Inventory:
        product, domains = data["product"], data["domains"]
        if field == "dump":
            return read_dump(product, files[field], domains=domains, most_octets=UPLOAD_OCTETS)
        return read_maps(files, domains=domains, most_octets=UPLOAD_OCTETS)


def _whole(file: IO[bytes]) -> bytes:
    """Its octets, as they came. Raises UnreadableSource where they are too many unpacked."""
    if is_longer(file, UPLOAD_OCTETS):
        raise UnreadableSource(TOO_LONG.format(most=print_octets(UPLOAD_OCTETS)))
    return file.read()


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
