"""Plain Postfix: the texts that postmap(1) reads, by the parameter that names them in main.cf."""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

from tenants.moving_in.inventory import DomainKind, Inventory, OldHop
from tenants.moving_in.sources.values import split_targets, transport


class Map(StrEnum):
    ALIASES = "virtual_alias_maps"
    MAILBOXES = "virtual_mailbox_maps"
    DOMAINS = "virtual_mailbox_domains"
    ALIAS_DOMAINS = "virtual_alias_domains"
    RELAY_DOMAINS = "relay_domains"
    RELAY_RECIPIENTS = "relay_recipient_maps"
    TRANSPORT = "transport_maps"


_PARTS = re.compile(r"[,\s]+")


def read_lines(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Key and value of each entry: comments go, a line that begins blank continues the one before.

    postmap(1), "INPUT FILE FORMAT".
    """
    entry = ""
    for line in (*lines, "end"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t":
            entry = f"{entry} {line.strip()}"
            continue
        if entry:
            key, _, value = entry.partition(" ")
            yield key, value.strip()
        entry = " ".join(line.split(None, 1))


def take(maps: Mapping[Map, Iterable[str]]) -> Inventory:
    """The inventory of these maps; a map that is missing is empty."""
    entries = {name: list(read_lines(maps.get(name, ()))) for name in Map}
    found = Inventory()
    hops = _hops(entries[Map.TRANSPORT], found)
    for name in _names(entries[Map.DOMAINS], entries[Map.ALIAS_DOMAINS]):
        found.take_domain(name, hop=hops.get(name.lower()))
    has_recipients = bool(entries[Map.RELAY_RECIPIENTS])
    kind = DomainKind.RELAYED if has_recipients else DomainKind.RELAYED_WHOLE
    for name in _names(entries[Map.RELAY_DOMAINS]):
        found.take_domain(name, kind=kind, hop=hops.get(name.lower()))
    _take_addresses(entries, found)
    return found


def _names(*maps: list[tuple[str, str]]) -> Iterator[str]:
    """A list of domains, one a line, with or without a value beside it."""
    for entries in maps:
        for key, _value in entries:
            yield key


def _take_addresses(entries: Mapping[Map, list[tuple[str, str]]], found: Inventory) -> None:
    for key, _place in entries[Map.MAILBOXES]:
        if key.startswith("@"):
            found.leave(f"mailbox {key}", "Mailboxes are listed one by one here.")
        else:
            found.take_mailbox(key, name="", active=True)
    for key, value in entries[Map.ALIASES]:
        if "@" in key:
            found.take_alias(key, _targets(value))
        elif "." in key:
            found.take_domain(key)  # virtual(5): a domain's own line makes it an alias domain
        else:
            found.leave(f"alias {key}", "A name without a domain: write name@example.com.")
    for key, _value in entries[Map.RELAY_RECIPIENTS]:
        if key.startswith("@"):
            found.leave(f"relay recipient {key}", "Recipients are listed one by one here.")
        elif key.lower() not in found.aliases:
            found.take_alias(key, [key])


def _targets(value: str) -> list[str]:
    """Addresses with commas between them; programs and files keep their blanks."""
    if value.startswith(("|", '"', "/", ":include:")):
        return [value]
    return [part for text in split_targets(value) for part in _PARTS.split(text.strip())]


def _hops(entries: list[tuple[str, str]], found: Inventory) -> dict[str, OldHop]:
    hops = {}
    for key, value in entries:
        hop = transport(value)
        if hop is None or "@" in key or key.startswith("."):
            why = "Only whole domains' lmtp:inet:host:port and hosts in brackets are taken over."
            found.leave(f"transport of {key}: {value}", why)
        else:
            hops[key.lower()] = hop
    return hops
