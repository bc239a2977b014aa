"""From octets to rows: what is too much or no text is refused as a whole, in one sentence.

Every reader yields Row for what it can read and Refused for what it cannot, in the file's order.
Memory is bounded by the octets of the file; of its rows one is held at a time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from tenants.imports import csv_rows, json_rows, postfix_maps
from tenants.imports.errors import Unreadable
from tenants.imports.rows import Kind, Refused, Row
from tenants.octets import print_octets


class Format(StrEnum):
    """How a file is written."""

    CSV = "csv"
    JSON = "json"
    VIRTUAL = "virtual"
    RECIPIENTS = "recipients"
    TRANSPORT = "transport"
    ALIASES = "aliases"


LABELS = {
    Format.CSV: "CSV",
    Format.JSON: "JSON",
    Format.VIRTUAL: "Postfix virtual (virtual_alias_maps)",
    Format.RECIPIENTS: "Postfix recipients (relay_recipient_maps, virtual_mailbox_maps)",
    Format.TRANSPORT: "Postfix transport (transport_maps)",
    Format.ALIASES: "Aliases file (/etc/aliases)",
}

MEND = "import it in parts, or with `manage.py import_addresses --max-rows`"


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that one file may hold."""

    octets: int = 32_000_000
    rows: int = 200_000


@dataclass(frozen=True, slots=True)
class Hints:
    """What a file leaves unsaid: the kind of its rows, the next hop of its mailboxes, the domain
    of names without one. Empty or None where nobody said it."""

    kind: Kind | None = None
    next_hop: str = ""
    domain: str = ""


def read(
    octets: bytes, written: Format, *, hints: Hints = Hints(), limits: Limits = Limits()
) -> Iterator[Row | Refused]:
    """The rows of a file. Raises Unreadable, also midway, where all of it has to be refused."""
    if len(octets) > limits.octets:
        raise Unreadable(f"The file has more than {print_octets(limits.octets)}: {MEND}.")
    return _limited(_read(decode(octets), written, hints), limits.rows)


def decode(octets: bytes) -> str:
    """The text of a file in UTF-8, with a byte order mark or without. Raises Unreadable."""
    if octets.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("The file is in UTF-16: save it as UTF-8 (in Excel: “CSV UTF-8”).")
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise Unreadable(
            f"The file is not in UTF-8: line {line} holds the octet 0x{octets[error.start]:02X}. "
            "It is probably in Latin-1 (ISO 8859-1, Windows-1252): save it as UTF-8 "
            "(in Excel: “CSV UTF-8”)."
        ) from None
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise Unreadable(f"Line {line} holds a null character, so this is no text file.")
    return text


def guess_format(name: str, octets: bytes) -> Format | None:
    """What a file is, by its name and then by how it begins; None where neither tells."""
    ending = name.lower().rpartition(".")[2]
    if ending in ("csv", "tsv", "json"):
        return Format.JSON if ending == "json" else Format.CSV
    for written in (Format.VIRTUAL, Format.RECIPIENTS, Format.TRANSPORT, Format.ALIASES):
        if written.value in name.lower():
            return written
    begin = octets[:4_000].decode("utf-8-sig", "replace").lstrip()
    if begin.startswith(("[", "{")):
        return Format.JSON
    return Format.CSV if csv_rows.has_header(begin) else None


def _read(text: str, written: Format, hints: Hints) -> Iterator[Row | Refused]:
    if written == Format.CSV:
        return csv_rows.read(text, kind=hints.kind)
    if written == Format.JSON:
        return json_rows.read(text, kind=hints.kind)
    if written == Format.VIRTUAL:
        return postfix_maps.read_virtual(text)
    if written == Format.RECIPIENTS:
        return postfix_maps.read_recipients(text, next_hop=hints.next_hop)
    if written == Format.TRANSPORT:
        return postfix_maps.read_transport(text)
    return postfix_maps.read_aliases(text, domain=hints.domain)


def _limited(rows: Iterable[Row | Refused], most: int) -> Iterator[Row | Refused]:
    for count, row in enumerate(rows, start=1):
        if count > most:
            raise Unreadable(f"The file has more than {most:,} rows: {MEND}.")
        yield row
