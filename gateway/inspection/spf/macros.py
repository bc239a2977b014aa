"""Macro expansion in SPF records (RFC 7208 §7)."""

import re
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

from msgspec import Struct

DOMAIN_MAX_OCTETS = 253
_PIECE = re.compile(r"%(?:\{([a-z])([0-9]{0,3})(r?)([-.+,/_=]*)\}|([%_-]))|[^%]+", re.IGNORECASE)
_LITERALS = {"%": "%", "_": " ", "-": "%20"}


class Macros(Struct, frozen=True):
    """What the letters stand for; `validated` is %{p}, filled in where a record uses it."""

    sender: str
    helo: str
    client: IPv4Address | IPv6Address
    domain: str
    validated: str = "unknown"

    def expand(self, text: str) -> str:
        """A domain-spec as the name to look up, cut from the left to what DNS can hold (§7.3).

        It is made from the right: what would be cut off is not expanded.
        """
        name = ""
        for piece in reversed(list(_PIECE.finditer(text))):
            name = self._expand(piece) + name
            if len(name) > DOMAIN_MAX_OCTETS:
                last = name[-DOMAIN_MAX_OCTETS - 1 :]
                return last.partition(".")[2] or last
        return name

    def _expand(self, piece: re.Match[str]) -> str:
        letter, count, is_reversed, delimiters, literal = piece.groups()
        if literal:
            return _LITERALS[literal]
        if not letter:
            return piece[0]
        parts = re.split(f"[{re.escape(delimiters or '.')}]", self._value(letter.lower()))
        if is_reversed:
            parts.reverse()
        value = ".".join(parts[-int(count) :] if count else parts)
        return quote(value, safe="") if letter.isupper() else value

    def _value(self, letter: str) -> str:
        local_part, _, domain = self.sender.rpartition("@")
        values = {
            "s": self.sender,
            "l": local_part,
            "o": domain,
            "d": self.domain,
            "i": dotted(self.client),
            "p": self.validated,
            "v": "in-addr" if self.client.version == 4 else "ip6",
            "h": self.helo,
        }
        return values[letter]


def dotted(client: IPv4Address | IPv6Address) -> str:
    """The address as %{i}: IPv6 as nibbles with dots between."""
    return str(client) if client.version == 4 else ".".join(client.exploded.replace(":", ""))


def reverse_name(client: IPv4Address | IPv6Address) -> str:
    """The name whose PTR records are the client's host names."""
    return client.reverse_pointer
