"""Parses, normalises and prints mail addresses; both planes use this one class.

Grammar: RFC 5321 §4.1.2 with RFC 6531 §3.3 (UTF-8) and RFC 5890 (IDNA2008).
Look-up folds case; the octets that the sender typed are kept for delivery.
"""

import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

import idna
from msgspec import Struct

LOCAL_PART_MAX_OCTETS = 64
DOMAIN_MAX_OCTETS = 255
PATH_MAX_OCTETS = 256

# Every character that a domain may choose as a subaddress delimiter (RFC 5233).
DELIMITER_ALPHABET = "+-=_"

# UTF8-non-ascii without the C1 controls (U+0080-U+009F), which only forge logs and terminals.
_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u00a0-\U0010ffff]"
_DOT_STRING = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*\Z")
_QUOTED_STRING = re.compile(r'"((?:[ !#-\[\]-~\u00a0-\U0010ffff]|\\[ -~])*)"\Z')
_DELIMITER = re.compile(f"[{re.escape(DELIMITER_ALPHABET)}]")
_QUOTED_PAIR = re.compile(r"\\(.)")
_LDH_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)\Z")
_SOURCE_ROUTE = re.compile(r"@[A-Za-z0-9.\-\[\]:]+(?:,@[A-Za-z0-9.\-\[\]:]+)*:")


class AddressError(ValueError):
    """The text is not an address; the message names what is wrong with it."""


class Subaddress(Struct, frozen=True):
    """One way to split a local part into base and detail (RFC 5233)."""

    base_key: str
    delimiter: str
    detail: str


class Address(Struct, frozen=True):
    """A mailbox: the local part unquoted as typed, the domain as a lower-case A-label.

    `key` is the text that two equal addresses share: folded local part, `@`, A-label.
    """

    local_part: str
    domain: str
    key: str

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read `local@domain`, without angle brackets. The last `@` splits.

        Raises AddressError for what RFC 5321 §4.1.2 does not allow.
        """
        local_text, at, domain_text = text.rpartition("@")
        if not at or not local_text or not domain_text:
            raise AddressError("An address has the form local-part@domain.")
        local_part = parse_local_part(local_text)
        domain = parse_domain(domain_text)
        return cls(local_part, domain, f"{fold(local_part)}@{domain}")

    @classmethod
    def of_key(cls, key: str) -> "Address":
        """The address that a key is of, folded; a key has no quotes that could be read."""
        local_part, _, domain = key.rpartition("@")
        return cls(local_part, domain, key)

    @property
    def folded_local_part(self) -> str:
        """The local part as look-ups see it."""
        return self.key[: -len(self.domain) - 1]

    @property
    def written_key(self) -> str:
        """The key as an address that can be read again: its local part quoted where it must be."""
        return f"{quote_local_part(self.folded_local_part)}@{self.domain}"

    def matches(self, listed: Collection[str]) -> bool:
        """Whether a list names it: as a written key, or its domain as `@domain`."""
        return self.key in listed or f"@{self.domain}" in listed or self.written_key in listed

    def subaddresses(self) -> Iterator[Subaddress]:
        """Every split that some domain's delimiters could ask for, at most one a delimiter."""
        folded = self.folded_local_part
        if _DELIMITER.search(folded) is None:
            return  # as most addresses
        for delimiter in DELIMITER_ALPHABET:
            base, found, detail = folded.partition(delimiter)
            if found and base:
                yield Subaddress(f"{base}@{self.domain}", delimiter, detail)

    def subaddress(self, delimiters: str) -> Subaddress | None:
        """The split at the first of the domain's delimiters; None where there is none."""
        splits = [split for split in self.subaddresses() if split.delimiter in delimiters]
        return min(splits, key=lambda split: len(split.base_key), default=None)

    def lookup_keys(self) -> tuple[str, ...]:
        """The keys under which the address or a base of it may be stored."""
        return (self.key, *(split.base_key for split in self.subaddresses()))

    def __str__(self) -> str:
        return f"{quote_local_part(self.local_part)}@{self.domain}"


def parse_path(text: str) -> Address | None:
    """Read a path in angle brackets (RFC 5321 §4.1.2); None for the null path `<>`.

    A source route is read over, as §4.1.1.3 asks. `<postmaster>` has no domain: see
    `is_bare_postmaster`. Raises AddressError.
    """
    if len(text) < 2 or text[0] != "<" or text[-1] != ">":
        raise AddressError("A path stands in angle brackets.")
    if len(text.encode("utf-8", "surrogateescape")) > PATH_MAX_OCTETS:
        raise AddressError(f"A path is at most {PATH_MAX_OCTETS} octets long.")
    inner = text[1:-1]
    if not inner:
        return None
    if route := _SOURCE_ROUTE.match(inner):
        inner = inner[route.end() :]
    return Address.parse(inner)


def is_bare_postmaster(path: str) -> bool:
    """Whether the path is `<postmaster>`, which every server accepts (RFC 5321 §4.5.1)."""
    return path.lower() == "<postmaster>"


def parse_local_part(text: str) -> str:
    """The local part without its quotes. Raises AddressError."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise AddressError("The local part is not valid UTF-8.") from None
    if size > LOCAL_PART_MAX_OCTETS:
        raise AddressError(f"A local part is at most {LOCAL_PART_MAX_OCTETS} octets long.")
    if _DOT_STRING.match(text):
        return text
    if quoted := _QUOTED_STRING.match(text):
        return _QUOTED_PAIR.sub(r"\1", quoted[1])
    raise AddressError("The local part holds a character that is not allowed there.")


def quote_local_part(text: str) -> str:
    """The local part as it is written in a path: quoted only where it must be."""
    if _DOT_STRING.match(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@lru_cache(maxsize=65536)
def parse_domain(text: str) -> str:
    """The domain as a lower-case A-label without trailing dot. Raises AddressError.

    Address literals (RFC 5321 §4.1.3) come back in brackets, normalised.
    """
    if text.startswith("["):
        return _parse_literal(text)
    name = text.removesuffix(".")
    labels = (name.lower() if name.isascii() else _to_a_label(name)).split(".")
    domain = ".".join(labels)
    if len(domain) > DOMAIN_MAX_OCTETS or not all(map(_LDH_LABEL.match, labels)):
        raise AddressError("The domain is not a valid host name.")
    return domain


def to_u_label(domain: str) -> str:
    """The domain as people read it (RFC 5890 §2.3.2.1); the A-label where it cannot be decoded."""
    try:
        return idna.decode(domain)
    except idna.IDNAError:
        return domain


def begin_key(text: str) -> str:
    """A beginning of an address as keys have it: what is of the domain already is an A-label.

    Empty where the local part is.
    """
    local_text, at, domain = text.rpartition("@")
    if not at:
        return fold(text)
    if not local_text:
        return ""
    try:
        local_part = parse_local_part(local_text)
    except AddressError:
        local_part = local_text
    return f"{fold(local_part)}@{begin_domain(domain)}"


def begin_domain(text: str) -> str:
    """A beginning of a domain as A-label, with its last dot; folded as it stands where it is none.

    Half a label that needs encoding is encoded too, and then begins no longer one.
    """
    try:
        return parse_domain(text) + ("." if text.endswith(".") else "")
    except AddressError:
        return fold(text)


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """Case and composition folded for look-ups: NFC of the casefolded text."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _to_a_label(name: str) -> str:
    try:
        return idna.encode(name, uts46=True).decode().lower()
    except (idna.IDNAError, UnicodeError):
        raise AddressError("The domain is not a valid internationalised name.") from None


def _parse_literal(text: str) -> str:
    inner = text[1:-1] if text.endswith("]") else ""
    tagged = inner[:5].lower() == "ipv6:"
    try:
        if "%" in inner:
            raise ValueError("a zone is of no use to others (RFC 4007 §6)")
        literal = ip_address(inner[5:] if tagged else inner)
    except ValueError:
        raise AddressError("The address literal is not an IP address.") from None
    if tagged is not isinstance(literal, IPv6Address):
        raise AddressError("An IPv6 address literal starts with IPv6:.")
    return f"[IPv6:{literal}]".lower() if tagged else f"[{literal}]"
