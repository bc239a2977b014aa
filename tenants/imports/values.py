"""Kinds of value in an imported or exported row: read from a cell or from JSON, printed for a cell.

A value as it is kept: text, yes or no, a whole number, nothing, or a tuple of texts. Each kind
prints what it reads back to the same value. Sentences say how to mend the cell.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.routing.address import Address, AddressError, parse_domain
from tenants.octets import parse_octets, print_octets

Value = str | bool | int | tuple[str, ...] | None

LIST_MAX_ITEMS = 1_000
NUMBER_MAX = 2**31 - 1
YES = frozenset({"yes", "y", "true", "t", "on", "1", "active"})
NO = frozenset({"no", "n", "false", "f", "off", "0", "inactive"})
_PLACES = {"inbox": "inbox", "stored inbox": "inbox", "discard": "discard"}
_TARGET = re.compile(r"(?i:(mailbox|forward to|forward))[ :]+(?=\S)")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PLAIN_DETAIL = re.compile(r"[^\s\";:,\\]+\Z")
_DETAIL = re.compile(rf"\s*({_QUOTED}|[^\s\";:,\\]+)\s*[:=]\s*")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Text:
    """Any text; blanks around it are not kept."""

    def parse(self, raw: object) -> Value:
        return _text(raw)

    def print(self, value: Value) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Note(Text):
    """A text whose blanks and line ends are the author's."""

    def parse(self, raw: object) -> Value:
        return _plain(raw)


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    def parse(self, raw: object) -> Value:
        if isinstance(raw, bool):
            return raw
        word = _text(raw).lower()
        if word not in YES | NO:
            raise ValueError(f"“{word}” is neither yes nor no: write yes or no.")
        return word in YES

    def print(self, value: Value) -> str:
        return "yes" if value else "no"


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number; empty is no number."""

    def parse(self, raw: object) -> Value:
        text = _text(raw)
        if not text:
            return None
        if not text.isascii() or not text.isdigit() or len(text) > 10 or int(text) > NUMBER_MAX:
            raise ValueError(
                f"“{text[:40]}” is no whole number: write digits, {NUMBER_MAX:,} at most."
            )
        return int(text)

    def print(self, value: Value) -> str:
        return "" if value is None else str(value)


@dataclass(frozen=True, slots=True)
class Octets:
    """A size, as in 25 MB; empty is none."""

    def parse(self, raw: object) -> Value:
        text = _text(raw)
        return parse_octets(text) if text else None

    def print(self, value: Value) -> str:
        return print_octets(value) if isinstance(value, int) else ""


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment as in 2026-12-31T18:00:00Z (ISO 8601), kept in UTC; without an offset it is UTC."""

    def parse(self, raw: object) -> Value:
        text = _text(raw)
        if not text:
            return ""
        try:
            moment = datetime.fromisoformat(text)
            return print_moment(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        except (ValueError, OverflowError):
            raise ValueError(f"“{text[:40]}” is no moment: write 2026-12-31T18:00:00Z.") from None

    def print(self, value: Value) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class MailAddress:
    """A mail address; empty is none."""

    def parse(self, raw: object) -> Value:
        text = _text(raw)
        return parse_mail_address(text) if text else ""

    def print(self, value: Value) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class HostName:
    """A domain name as an A-label."""

    def parse(self, raw: object) -> Value:
        text = _text(raw)
        try:
            return parse_domain(text) if text else ""
        except AddressError as error:
            raise ValueError(f"“{text[:80]}”: {error} Write it as example.com.") from None

    def print(self, value: Value) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Words:
    """Several texts; in a cell they are parted by commas, semicolons or line ends."""

    def parse(self, raw: object) -> Value:
        return tuple(self.item(text) for text in _items(raw, ",;\n"))

    def item(self, text: str) -> str:
        """One of them as it is kept. Raises ValueError."""
        return text

    def print(self, value: Value) -> str:
        return ", ".join(value) if isinstance(value, tuple) else ""


@dataclass(frozen=True, slots=True)
class Targets(Words):
    """Where mail goes: `mailbox …`, `forward …`, `inbox`, `discard`.

    An address alone is left as it is: the mailbox of that name, or else a forward.
    """

    def item(self, text: str) -> str:
        return parse_target(text)


@dataclass(frozen=True, slots=True)
class Rules:
    """What happens to details: `spam: refuse; news: deliver; x: forward a@example.com, inbox`."""

    def parse(self, raw: object) -> Value:
        return tuple(sorted(_parse_rule(text) for text in _items(raw, ";\n")))

    def print(self, value: Value) -> str:
        return "; ".join(value) if isinstance(value, tuple) else ""


Shape = Text | Flag | Number | Octets | Moment | MailAddress | HostName | Words | Rules


def print_moment(moment: datetime) -> str:
    """The moment in UTC, to the microsecond where it has any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def parse_mail_address(text: str) -> str:
    """The address as it is printed. Raises ValueError with a sentence."""
    try:
        return str(Address.parse(text))
    except AddressError as error:
        raise ValueError(f"“{text[:80]}”: {error} Write it as name@example.com.") from None


def parse_target(text: str) -> str:
    """One target as it is printed. Raises ValueError with a sentence."""
    words = " ".join(text.split()).lower()
    if words in _PLACES:
        return _PLACES[words]
    if match := _TARGET.match(text):
        kind = match[1].lower().removesuffix(" to")
        return f"{kind} {parse_mail_address(text[match.end() :].strip())}"
    if "@" not in text:
        raise ValueError(
            f"“{text[:80]}” is no target: write mailbox name@example.com, "
            "forward name@example.com, inbox or discard."
        )
    return parse_mail_address(text)


def split_target(target: str) -> tuple[str, str]:
    """Kind and address of a printed target; the kind is empty where only an address was given."""
    kind, _, address = target.partition(" ")
    if kind in ("mailbox", "forward"):
        return kind, address
    return (target, "") if target in _PLACES else ("", target)


def print_rule(detail: str, action: str, targets: tuple[str, ...] = ()) -> str:
    """One rule as text; targets stand in place of the action that takes them."""
    escaped = detail.replace("\\", "\\\\").replace('"', '\\"')
    shown = detail if _PLAIN_DETAIL.match(detail) else f'"{escaped}"'
    return f"{shown}: {', '.join(targets) or action}"


def split_rule(rule: str) -> tuple[str, str, tuple[str, ...]]:
    """Detail, action (deliver, refuse or retarget) and targets. Raises ValueError."""
    match = _DETAIL.match(rule)
    if match is None:
        raise ValueError(f"“{rule[:80]}” is no rule: write detail: refuse, or detail: a target.")
    quoted = match[1].startswith('"')
    detail = _QUOTED_PAIR.sub(r"\1", match[1][1:-1]) if quoted else match[1]
    rest = rule[match.end() :].strip()
    if rest.lower() in ("deliver", "refuse", "retarget"):
        return detail, rest.lower(), ()
    return detail, "retarget", tuple(parse_target(item) for item in split_outside_quotes(rest, ","))


def split_outside_quotes(text: str, separators: str) -> list[str]:
    """The parts between separators that stand in no quotation; blank parts are left out."""
    part = re.compile(rf'(?:{_QUOTED}|[^{re.escape(separators)}"]|")+', re.DOTALL)
    return [found for match in part.finditer(text) if (found := match[0].strip())]


def _parse_rule(text: str) -> str:
    return print_rule(*split_rule(text))


def _items(raw: object, separators: str) -> list[str]:
    texts = [_text(item) for item in raw] if isinstance(raw, list | tuple) else None
    items = split_outside_quotes(_text(raw), separators) if texts is None else texts
    if len(items) > LIST_MAX_ITEMS:
        raise ValueError(f"These are {len(items):,} values; {LIST_MAX_ITEMS:,} are the most.")
    return items


def _text(raw: object) -> str:
    return _plain(raw).strip()


def _plain(raw: object) -> str:
    """What JSON or a cell holds as text. Raises ValueError for what is no single value."""
    if raw is None:
        return ""
    if isinstance(raw, str):
        if "\x00" in raw:
            raise ValueError("Take out the null character.")
        return raw
    if isinstance(raw, bool):
        return "yes" if raw else "no"
    if isinstance(raw, int):
        return str(raw)
    raise ValueError("Write a single value here.")
