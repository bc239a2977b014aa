"""An SPF record as values (RFC 7208 §4.6, §5, §6, §12): parsed whole before any of it is used.

A syntax error anywhere makes the whole record a permanent error. This runs on the event loop over
what strangers publish, and errors are not remembered: records are bounded, and expressions without
two ways to read the same characters.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from msgspec import Struct

from gateway.routing.authentication import Result

VERSION = "v=spf1"
# Eight times what a record should fit into (§3.4).
LONGEST_OCTETS = 4096

_QUALIFIERS = {
    "+": Result.PASS,
    "-": Result.FAIL,
    "~": Result.SOFTFAIL,
    "?": Result.NEUTRAL,
}
# A name has at most 127 labels, so that more digits count nothing.
_MACRO = r"%(?:\{[slodiphcrtv][0-9]{0,3}r?[-.+,/_=]*\}|[%_-])"
_MACRO_STRING = re.compile(rf"(?:{_MACRO}|[!-$&-~])*\Z", re.IGNORECASE)
# Letters, digits and inner hyphens, but not digits alone.
_TOP_LABEL = r"(?!-)(?=[0-9]*+[a-z-])[a-z0-9-]++(?<!-)"
_DOMAIN_SPEC = re.compile(rf"(?:{_MACRO}|[!-$&-~])*(?:\.{_TOP_LABEL}\.?|{_MACRO})\Z", re.IGNORECASE)
# c, r and t are for explanations alone.
_EXPLAINS_ONLY = re.compile(r"%\{[crt]", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9._-]*)=(.*)\Z", re.IGNORECASE)
_MECHANISM = re.compile(r"([-+?~]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?=[:/]|\Z)", re.IGNORECASE)
_LENGTHS = re.compile(r"(?:/(0|[1-9]\d?))?(?://(0|[1-9]\d{0,2}))?\Z")


class SpfSyntaxError(ValueError):
    """The record breaks the grammar or is too long; the message is the term, or says so."""


class Mechanism(Struct, frozen=True):
    """One mechanism and what a match results in.

    `domain` is its domain-spec, empty for the current domain; `network` is set for ip4 and ip6.
    """

    name: str
    result: Result
    domain: str = ""
    network: IPv4Network | IPv6Network | None = None
    prefix4: int = 32
    prefix6: int = 128


class Record(Struct, frozen=True):
    """The mechanisms in order, and where a record without a match sends on to."""

    mechanisms: tuple[Mechanism, ...]
    redirect: str = ""


def is_spf(text: str) -> bool:
    """Whether a TXT record is a policy of this version (§4.5)."""
    return text[: len(VERSION)].lower() == VERSION and text[len(VERSION) :][:1] in ("", " ")


@lru_cache(maxsize=512)  # a record of the longest length takes 300 KB as values
def parse(text: str) -> Record:
    """The record. Raises SpfSyntaxError."""
    if len(text) > LONGEST_OCTETS:
        raise SpfSyntaxError(f"more than {LONGEST_OCTETS} octets")
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, str] = {}
    for term in filter(None, text[len(VERSION) :].split(" ")):
        if modifier := _MODIFIER.match(term):
            _take_modifier(modifiers, modifier[1].lower(), modifier[2], term)
        else:
            mechanisms.append(_mechanism(term))
    return Record(tuple(mechanisms), modifiers.get("redirect", ""))


def _take_modifier(modifiers: dict[str, str], name: str, value: str, term: str) -> None:
    """redirect and exp stand once and name a domain (§6); what is unknown is passed over."""
    if name in ("redirect", "exp"):
        if name in modifiers:
            raise SpfSyntaxError(term)
        modifiers[name] = _domain_spec(value, term)
    elif not _MACRO_STRING.match(value):
        raise SpfSyntaxError(term)


def _mechanism(term: str) -> Mechanism:
    found = _MECHANISM.match(term)
    if found is None:
        raise SpfSyntaxError(term)
    result = _QUALIFIERS[found[1] or "+"]
    name, rest = found[2].lower(), term[found.end() :]
    if name == "all" and not rest:
        return Mechanism(name, result)
    if name in ("ip4", "ip6") and rest.startswith(":"):
        return Mechanism(name, result, network=_network(name, rest[1:], term))
    if name in ("a", "mx"):
        domain, prefix4, prefix6 = _split_lengths(rest, term)
        return Mechanism(name, result, domain, None, prefix4, prefix6)
    if name in ("include", "exists") or (name == "ptr" and rest):
        return Mechanism(name, result, _after_colon(rest, term))
    if name == "ptr":
        return Mechanism(name, result)
    raise SpfSyntaxError(term)


def _split_lengths(rest: str, term: str) -> tuple[str, int, int]:
    """`[:domain][/4-prefix][//6-prefix]`; slashes inside a macro belong to the domain."""
    for start in _slashes(rest):
        if lengths := _LENGTHS.match(rest, start):
            prefix4, prefix6 = int(lengths[1] or 32), int(lengths[2] or 128)
            if prefix4 > 32 or prefix6 > 128:
                raise SpfSyntaxError(term)
            domain = _after_colon(rest[:start], term) if rest[:start] else ""
            return domain, prefix4, prefix6
    raise SpfSyntaxError(term)


def _slashes(rest: str) -> Iterator[int]:
    yield from (index for index, character in enumerate(rest) if character == "/")
    yield len(rest)


def _after_colon(rest: str, term: str) -> str:
    if not rest.startswith(":"):
        raise SpfSyntaxError(term)
    return _domain_spec(rest[1:], term)


def _domain_spec(text: str, term: str) -> str:
    if not _DOMAIN_SPEC.match(text) or _EXPLAINS_ONLY.search(text) or _has_zero_labels(text):
        raise SpfSyntaxError(term)
    return text


def _has_zero_labels(text: str) -> bool:
    return re.search(r"%\{[a-z]0+r?[^0-9]", text, re.IGNORECASE) is not None


def _network(name: str, text: str, term: str) -> IPv4Network | IPv6Network:
    address, slash, length = text.partition("/")
    if slash and not re.fullmatch(r"0|[1-9]\d{0,2}", length):
        raise SpfSyntaxError(term)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise SpfSyntaxError(term) from None
    if "%" in address or network.version != (4 if name == "ip4" else 6):
        raise SpfSyntaxError(term)
    return network
