"""A mark on delivered mail, by which an address knows its own mail when that comes back to it.

It returns over providers, or the servers of mailboxes, that redirect it: no look at our own
addresses finds such a loop, and each round may multiply, so counting hops (RFC 5321 §6.3) ends it
late. The mark is an HMAC, so nobody else can make an address refuse mail, and it tells nothing
about the address. What goes on to another address, or is another message (an answer), passes.
"""

import hmac
from base64 import b32encode
from collections.abc import Iterable, Sequence
from hashlib import sha256

FIELD = "X-Loop-Guard"
_NAME = f"{FIELD}:".encode()


def mark(key: str, *, secret: bytes) -> str:
    """The header line, with its end, that mail delivered for the address of this key carries."""
    return f"{FIELD}: {_digest(key, secret).decode()}\r\n"


def is_back(header: bytes, keys: Iterable[str], *, secrets: Sequence[bytes]) -> bool:
    """Whether each of these addresses has delivered the message before.

    One that has not shall have it: then hops alone are counted.
    """
    if _NAME not in header:  # as nearly always; relays keep names as they are written
        return False
    lines = header.split(b"\r\n")
    found = {line[len(_NAME) :].strip() for line in lines if line.startswith(_NAME)}
    return all(any(_digest(key, each) in found for each in secrets) for key in keys)


def _digest(key: str, secret: bytes) -> bytes:
    mac = hmac.new(secret, f"loop {key}".encode(), sha256).digest()
    return b32encode(mac[:20]).lower()
