"""The socketmap protocol of Postfix's tables (socketmap_table(5)), pure: octets in, look-ups out.

A request is one netstring of `name key`, a reply one netstring of a status and a text.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

# An address has at most 320 octets; Postfix asks with a name of ours before it.
REQUEST_MAX_OCTETS = 4096
REPLY_MAX_OCTETS = 100_000
_LENGTH = re.compile(rb"(0|[1-9][0-9]{0,5}):")
_INCOMPLETE_LENGTH = re.compile(rb"(0|[1-9][0-9]{0,5})?\Z")


class ProtocolError(ValueError):
    """What came is no request; the connection that it came on ends."""


class Status(StrEnum):
    """What a look-up came to. TEMP makes Postfix defer; PERM it treats as a broken set-up."""

    OK = "OK"
    NOT_FOUND = "NOTFOUND"
    TEMP = "TEMP"
    PERM = "PERM"


@dataclass(frozen=True, slots=True)
class Lookup:
    """One question to one table."""

    table: str
    key: str


@dataclass(frozen=True, slots=True)
class Result:
    """The answer to a look-up: its data where it is OK, else the reason or nothing."""

    status: Status
    text: str = ""

    def encode(self) -> bytes:
        """The netstring of the reply."""
        octets = f"{self.status} {self.text}".encode()[:REPLY_MAX_OCTETS]
        return b"%d:%s," % (len(octets), octets)


NOT_FOUND = Result(Status.NOT_FOUND)


def take(buffer: bytearray) -> Lookup | None:
    """Cut the first look-up out of the buffer; None until it is whole. Raises ProtocolError."""
    found = _LENGTH.match(buffer)
    if found is None:
        if _INCOMPLETE_LENGTH.match(buffer):
            return None
        raise ProtocolError("a netstring starts with its length")
    start, size = found.end(), int(found[1])
    if size > REQUEST_MAX_OCTETS:
        raise ProtocolError(f"a look-up of {size} octets")
    if len(buffer) <= start + size:
        return None
    if buffer[start + size] != ord(","):
        raise ProtocolError("a netstring ends with a comma")
    payload = bytes(buffer[start : start + size])
    del buffer[: start + size + 1]
    return _lookup(payload)


def _lookup(payload: bytes) -> Lookup:
    name, space, key = payload.decode("utf-8", "surrogateescape").partition(" ")
    if not name or not space:
        raise ProtocolError("a look-up names a table and a key")
    return Lookup(name, key)
