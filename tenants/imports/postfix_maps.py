"""Postfix's indexed maps as rows: virtual(5), transport(5), lists of recipients, aliases(5).

Logical lines as postmap(1) reads them: a line that begins with a blank goes on with the one
before it; comments and empty lines may stand between. Rows are numbered by the line they begin on.
Maps of patterns (regexp, pcre) are not taken: what they match is no list of addresses.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.routing.address import Address, AddressError, parse_domain
from tenants.imports.errors import Unreadable
from tenants.imports.rows import Kind, Refusal, Refused, Row, RowError, make_row
from tenants.imports.values import Value, split_outside_quotes

LINE_MAX_CHARACTERS = 65_536
PATTERNS = (
    "Line {number} is a pattern, so this is a regexp or pcre map. Patterns are not imported: "
    "write the addresses that they stand for."
)
CATCH_ALL = (
    "Catch-alls cannot be imported: there are none here yet. List the addresses that it stands for."
)
NO_DOMAIN = "Write the whole address, as in {name}@example.com."
SUBDOMAINS = "Subdomains cannot be meant together: write a line for each domain."
NO_FILES = "Mail is not delivered to files, programs or lists in files here: write addresses."
NO_MX = (
    "Without brackets Postfix asks for the MX of the name; a next hop here is a host: "
    "write [mail.example.com], with :port where it is not 25."
)
NO_TRANSPORT = (
    "Only smtp, relay and lmtp:inet lead to a next hop; what Postfix does with “{name}” "
    "has to be set up here by hand."
)
_PATTERN = re.compile(r"!?/.*/[a-zA-Z]*\Z|(?:if|endif)\b", re.IGNORECASE)
_HOP = re.compile(r"\[(?P<host>[^\[\]\s]+)\](?::(?P<port>\d{1,5}))?\Z")
_LMTP = re.compile(r"inet:\[?(?P<host>[^\[\]\s]+?)\]?(?::(?P<port>\d{1,5}))?\Z")
PORTS = {"smtp": 25, "lmtp": 24}
# What an address may ask for that no line of a map does, by field, and how a comment says so.
LEFT_OUT = {
    "expires_at": "ends at {}",
    "allowed_senders": "mail from {} alone",
    "authentication": "senders prove {}",
    "rules": "subaddress {}",
    "max_message_octets": "at most {} octets",
    "rate_per_hour": "at most {} messages an hour",
    "filters_mail": "content filter: {}",
    "on_spam": "spam: {}",
    "on_suspicious": "suspicious mail: {}",
    "on_virus": "viruses: {}",
}


@dataclass(frozen=True, slots=True)
class Line:
    """A logical line: the number it begins on, its key and what it says of it."""

    number: int
    key: str
    value: str


def read_virtual(text: str) -> Iterator[Row | Refused]:
    """virtual_alias_maps: aliases with their targets; a domain alone is a domain."""
    return _rows(_lines(text), _virtual)


def read_recipients(text: str, *, next_hop: str) -> Iterator[Row | Refused]:
    """relay_recipient_maps or virtual_mailbox_maps: mailboxes at a next hop, each with its alias.

    Raises Unreadable where no next hop is given.
    """
    if not next_hop:
        raise Unreadable("Say at which next hop these mailboxes are: the map does not.")
    return _rows(_lines(text), lambda line: _recipient(line, next_hop))


def read_transport(text: str) -> Iterator[Row | Refused]:
    """transport_maps: next hops, once each, and the mailboxes that have one of their own."""
    seen: set[str] = set()
    return _rows(_lines(text), lambda line: _transport(line, seen))


def read_aliases(text: str, *, domain: str) -> Iterator[Row | Refused]:
    """/etc/aliases: names of one domain. Raises Unreadable where no domain is given."""
    if not domain:
        raise Unreadable("Say which domain the names of this file belong to: it does not.")
    return _rows(_lines(text, separator=":"), lambda line: _alias(line, domain))


def _rows(lines: Iterator[Line], read: Callable[[Line], Iterator[Row]]) -> Iterator[Row | Refused]:
    for line in lines:
        try:
            yield from list(read(line))
        except RowError as error:
            yield Refused(line.number, error.refusals, line.key[:320])


def _lines(text: str, *, separator: str = "") -> Iterator[Line]:
    for number, whole in _logical(text):
        if _PATTERN.match(whole.split(maxsplit=1)[0]):
            raise Unreadable(PATTERNS.format(number=number))
        key, value = _part(whole, separator)
        yield Line(number, key, value)


def _logical(text: str) -> Iterator[tuple[int, str]]:
    """Number and text of each logical line."""
    begun, parts = 0, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if parts and line[0] in " \t":
            parts.append(line.strip())
        else:
            if parts:
                yield begun, " ".join(parts)
            begun, parts = number, [line.strip()]
        if sum(map(len, parts)) > LINE_MAX_CHARACTERS:
            raise Unreadable(f"Line {begun} is longer than {LINE_MAX_CHARACTERS:,} characters.")
    if parts:
        yield begun, " ".join(parts)


def _part(whole: str, separator: str) -> tuple[str, str]:
    """Key and value; both may be quoted as addresses are."""
    match = re.match(rf'(?:"(?:[^"\\]|\\.)*"|[^\s"{separator}])+', whole)
    end = match.end() if match else 0
    rest = whole[end:].strip()
    if separator:
        rest = rest.removeprefix(separator).strip()
        return whole[:end].strip('"') if "@" not in whole[:end] else whole[:end], rest
    return whole[:end], rest


def _virtual(line: Line) -> Iterator[Row]:
    _refuse_wide(line.key)
    if "@" not in line.key:
        if "." not in line.key:
            raise _refused("address", NO_DOMAIN.format(name=line.key))
        yield make_row(line.number, Kind.DOMAIN, {"domain": line.key})
        return
    targets = list(_targets(line.value, domain=""))
    yield make_row(line.number, Kind.ALIAS, {"address": line.key, "targets": targets})


def _recipient(line: Line, next_hop: str) -> Iterator[Row]:
    _refuse_wide(line.key)
    if "@" not in line.key:
        raise _refused("address", NO_DOMAIN.format(name=line.key))
    box = {"address": line.key, "next_hop": next_hop}
    yield make_row(line.number, Kind.MAILBOX, box)
    alias = {"address": line.key, "targets": [f"mailbox {line.key}"]}
    yield make_row(line.number, Kind.ALIAS, alias)


def _transport(line: Line, seen: set[str]) -> Iterator[Row]:
    if line.key == "*" or line.key.startswith("."):
        raise _refused("domain", CATCH_ALL if line.key == "*" else SUBDOMAINS)
    _check_key(line.key)
    hop = _parse_hop(line.value)
    if str(hop["name"]) not in seen:
        seen.add(str(hop["name"]))
        yield make_row(line.number, Kind.HOP, hop)
    if "@" in line.key:
        box = {"address": line.key, "next_hop": hop["name"]}
        yield make_row(line.number, Kind.MAILBOX, box)


def _alias(line: Line, domain: str) -> Iterator[Row]:
    _refuse_wide(line.key)
    address = line.key if "@" in line.key else f"{line.key}@{domain}"
    targets = list(_targets(line.value, domain=domain))
    yield make_row(line.number, Kind.ALIAS, {"address": address, "targets": targets})


def _targets(value: str, *, domain: str) -> Iterator[str]:
    """What a key is replaced by; names without a domain get the one that is given."""
    for item in split_outside_quotes(value, ",;" if domain else ", \t"):
        plain = item.strip('"')
        if plain == "/dev/null":
            yield "discard"
        elif plain.startswith(("/", "|", ":include:")):
            raise _refused("targets", NO_FILES)
        elif item.startswith("@"):
            raise _refused("targets", f"“{item[:80]}” rewrites whole domains: write addresses.")
        elif "@" in item:
            yield item
        elif domain:
            yield f"{item.removeprefix(chr(92))}@{domain}"
        else:
            raise _refused("targets", NO_DOMAIN.format(name=item[:80]))


def _parse_hop(value: str) -> Mapping[str, object]:
    """A next hop, named by where it is. Raises RowError."""
    transport, _, place = value.partition(":")
    protocol = {"smtp": "smtp", "relay": "smtp", "": "smtp", "lmtp": "lmtp"}.get(transport)
    if protocol is None:
        raise _refused("next hop", NO_TRANSPORT.format(name=transport[:40]))
    match = (_LMTP if protocol == "lmtp" else _HOP).match(place.strip())
    if match is None:
        unix = protocol == "lmtp" and place.startswith("unix:")
        raise _refused("next hop", NO_TRANSPORT.format(name="lmtp:unix") if unix else NO_MX)
    port = int(match["port"] or PORTS[protocol])
    name = f"{protocol}:[{match['host']}]:{port}"
    return {"name": name, "protocol": protocol, "host": match["host"], "port": port}


def _check_key(key: str) -> None:
    try:
        Address.parse(key) if "@" in key else parse_domain(key)
    except AddressError as error:
        raise _refused("address" if "@" in key else "domain", str(error)) from None


def _refuse_wide(key: str) -> None:
    if key.startswith("@") or key == "*":
        raise _refused("address", CATCH_ALL)


def _refused(field: str, sentence: str) -> RowError:
    return RowError(Refusal(field, sentence))


def print_virtual(row: Row, *, now: datetime) -> str:
    """A line for virtual_alias_maps; a comment where Postfix alone cannot do the same.

    What the line leaves out of what is asked for here stands in a comment above it.
    """
    targets = row.values.get("targets")
    found = targets if isinstance(targets, tuple) else ()
    holder = row.values.get("holder")
    found = found or ((f"mailbox {holder}",) if holder else ())
    if closed := _why_closed(row, now):
        return f"# {row.name}: {closed}\n"
    if not found or set(found) & {"inbox", "discard"} or " " in row.name:
        return f"# {row.name}: {', '.join(found) or 'no target'}\n"
    places = ", ".join(target.partition(" ")[2] for target in found)
    return f"{_left_out(row)}{row.name} {places}\n"


def print_recipient(row: Row, *, now: datetime) -> str:
    """A line for relay_recipient_maps, as above; a comment where no mail is taken."""
    if closed := _why_closed(row, now):
        return f"# {row.name}: {closed}\n"
    return f"{_left_out(row)}{row.name} OK\n"


def _why_closed(row: Row, now: datetime) -> str:
    """Why the address takes no mail, in a word or two; empty where it does."""
    if row.values.get("enabled") is False:
        return "disabled"
    ends = row.values.get("expires_at")
    return f"expired at {ends}" if ends and datetime.fromisoformat(str(ends)) <= now else ""


def _left_out(row: Row) -> str:
    """A comment on what no line of a map can ask for; empty where nothing of it is."""
    rest = [
        words.format(each)
        for name, words in LEFT_OUT.items()
        if (value := row.values.get(name))
        for each in (value if isinstance(value, tuple) and name == "rules" else [_plain(value)])
    ]
    said = "; ".join(rest)
    return f"# {row.name}, not done by this line: {_on_one_line(said)}\n" if rest else ""


def _on_one_line(text: str) -> str:
    """The text with what could end the comment's line written out, as in \\n."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


def _plain(value: Value) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
