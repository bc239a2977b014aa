"""Whom shadow mode asks about: a list, Postfix's log, or everything that a source names.

Controls are addresses that nobody has, so that what is accepted too easily shows as well.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from gateway.routing.address import Address, AddressError
from tenants.moving_in.inventory import Inventory
from tenants.moving_in.postfix import move

CONTROL = "nobody-has-this-address-4711"
# smtp(8), lmtp(8), virtual(8): what was delivered or not; orig_to is what the sender had written.
_DELIVERED = re.compile(r"\bto=<([^<>\s]+)>,(?: orig_to=<([^<>\s]+)>,)? ")
_REFUSED = re.compile(r"\bNOQUEUE: (?:reject|milter-reject)\b.*\bto=<([^<>\s]+)>")


def parse_recipients(lines: Iterable[str]) -> Iterator[str]:
    """The keys of the addresses in a list, one a line; empty lines and # are read over."""
    for line in lines:
        text = line.strip(" \t\r\n<>,;")
        if text and not text.startswith("#"):
            yield from _keys([text])


def parse_log(lines: Iterable[str]) -> Iterator[str]:
    """The keys of the recipients that senders named in a log of Postfix, with repetitions."""
    for line in lines:
        if refused := _REFUSED.search(line):
            yield from _keys([refused[1]])
        elif delivered := _DELIVERED.search(line):
            yield from _keys([delivered[2] or delivered[1]])


def parse_lines(lines: Iterable[str]) -> Iterator[str]:
    """A list or a log, told apart line by line."""
    for line in lines:
        yield from parse_log([line]) if "to=<" in line else parse_recipients([line])


def named_by(inventory: Inventory) -> set[str]:
    """The key of every address that a source answers for, those at alias domains too."""
    named = inventory.addresses()
    at_alias_domains = {
        move(key, each.name)
        for each in inventory.alias_domains.values()
        for key in named
        if key.endswith(f"@{each.target}")
    }
    return named | at_alias_domains


def controls(inventory: Inventory) -> set[str]:
    """An address on every domain that nobody has, and one below an address that somebody has."""
    domains = inventory.domains.keys() | inventory.alias_domains.keys()
    nobody = {f"{CONTROL}@{domain}" for domain in domains}
    some = islice(sorted(inventory.addresses()), 20)
    details = {f"{key.rpartition('@')[0]}+detail@{key.rpartition('@')[2]}" for key in some}
    return nobody | details


def counted(keys: Iterable[str]) -> Mapping[str, int]:
    """How often each address was asked for, the most frequent first."""
    counts: dict[str, int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _keys(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        try:
            yield Address.parse(text).key
        except AddressError:
            continue  # a log holds what strangers typed
