"""The header in which a proxy says whose connection it hands over (PROXY protocol 1 and 2).

Pure: octets in, the client's address out. Only whoever is listed as a proxy is read this way.
"""

import re
import struct
from ipaddress import IPv6Address, ip_address

from msgspec import Struct

from gateway.smtpd.limits import IpAddress

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_PREFIX = b"PROXY "
_LINE_MAX_OCTETS = 107
_FIXED = struct.Struct("!12sBBH")
_LINE = re.compile(r"PROXY TCP([46]) (\S+) (\S+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})\Z")
_UNKNOWN = re.compile(r"PROXY UNKNOWN(?: .*)?\Z")
# Family and transport of version 2, and how many octets its source address has.
_SOURCES = {0x11: 4, 0x21: 16}


class Header(Struct, frozen=True):
    """A whole header: `client` is None where the proxy speaks for itself or does not know."""

    client: IpAddress | None
    size_octets: int


class ProxyError(ValueError):
    """What came is no header."""


def read_header(octets: bytes) -> Header | None:
    """The header at the beginning; None while there is less than a whole one. Raises ProxyError."""
    if octets[: len(SIGNATURE)] == SIGNATURE[: len(octets)]:
        return _read_binary(octets)
    if octets[: len(_PREFIX)] == _PREFIX[: len(octets)]:
        return _read_line(octets)
    raise ProxyError("neither version of a PROXY header")


def _read_line(octets: bytes) -> Header | None:
    end = octets.find(b"\r\n", 0, _LINE_MAX_OCTETS)
    if end < 0:
        if len(octets) >= _LINE_MAX_OCTETS:
            raise ProxyError("a PROXY line without an end")
        return None
    line = octets[:end].decode("ascii", "replace")
    if _UNKNOWN.match(line):
        return Header(None, end + 2)
    match = _LINE.match(line)
    if match is None or any(int(port) > 65535 for port in match.group(4, 5)):
        raise ProxyError("a PROXY line of another form")
    _address(match[3], version=int(match[1]))
    return Header(_address(match[2], version=int(match[1])), end + 2)


def _address(text: str, *, version: int) -> IpAddress:
    try:
        address = ip_address(text)
    except ValueError:
        raise ProxyError("an address of a PROXY line") from None
    if address.version != version or "%" in text:
        raise ProxyError("an address of another family")
    return _unmapped(address)


def _read_binary(octets: bytes) -> Header | None:
    if len(octets) < _FIXED.size:
        return None
    _, version_and_command, family, length = _FIXED.unpack_from(octets)
    if version_and_command not in (0x20, 0x21):
        raise ProxyError("another version or command")
    if len(octets) < _FIXED.size + length:
        return None
    is_for_itself = version_and_command == 0x20
    block = octets[_FIXED.size : _FIXED.size + length]
    client = None if is_for_itself else _source(block, family)
    return Header(client, _FIXED.size + length)


def _source(block: bytes, family: int) -> IpAddress | None:
    """The client of version 2; what stands behind the addresses is read over."""
    size = _SOURCES.get(family)
    if size is None:
        return None
    if len(block) < 2 * size + 4:
        raise ProxyError("fewer addresses than promised")
    return _unmapped(ip_address(block[:size]))


def _unmapped(address: IpAddress) -> IpAddress:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
