"""Sender Rewriting Scheme: a return path of our own for forwarded mail, and the way back.

SRS0=HHHH=TT=domain=local and SRS1=HHHH=first-hop==rest, after the SRS draft of 2003 (Shevek):
HMAC over the parts, TT the day modulo 1,024 in base 32. Only the envelope is rewritten.
Where that would be longer than 64 octets, R0=HHHH=id names the delivery instead.
"""

import hmac
from base64 import b32decode, b32encode
from binascii import Error as DecodingError
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from gateway.routing.address import (
    LOCAL_PART_MAX_OCTETS,
    Address,
    AddressError,
    quote_local_part,
)

VALID_DAYS = 21
_DAYS = 1024
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_HASH_LENGTH = 8


class SrsError(ValueError):
    """The return path was not issued by us, or too long ago."""


def rewrite(sender: Address, *, bounce_domain: str, secret: bytes, day: int) -> Address:
    """The envelope sender for a forward. A path that is SRS already becomes SRS1.

    Raises SrsError where the rewritten local part would exceed 64 octets.
    """
    if sender.domain == bounce_domain:
        return sender
    upper = sender.local_part[:5].upper()
    if upper in ("SRS0=", "SRS1="):
        body = _first_hop(sender, upper)
        local = f"SRS1={_digest(secret, body)}={body}"
    else:
        body = f"{_stamp(day)}={sender.domain}={sender.local_part}"
        local = f"SRS0={_digest(secret, body)}={body}"
    quoted = quote_local_part(local)
    if len(quoted.encode()) > LOCAL_PART_MAX_OCTETS:
        raise SrsError("The rewritten return path is longer than 64 octets.")
    return Address.parse(f"{quoted}@{bounce_domain}")


def reverse(local_part: str, *, secrets: Sequence[bytes], day: int) -> Address:
    """Where a bounce to this return path goes. Raises SrsError."""
    if not is_return_path(local_part):
        raise SrsError("This is no return path.")
    kind, _, rest = local_part.partition("=")
    digest, _, body = rest.partition("=")
    _require_signature(body, digest, secrets)
    try:
        return _reverse_first(body, day) if kind.upper() == "SRS0" else _reverse_next(body)
    except AddressError as error:
        raise SrsError("The return path holds no address.") from error


def is_return_path(local_part: str) -> bool:
    return local_part[:5].upper() in ("SRS0=", "SRS1=")


def opaque(delivery_id: UUID, *, bounce_domain: str, secret: bytes) -> Address:
    """A return path that holds no address: the delivery's row knows the sender."""
    body = b32encode(delivery_id.bytes).decode().lower().rstrip("=")
    return Address.parse(f"R0={_digest(secret, body)}={body}@{bounce_domain}")


def read_opaque(local_part: str, *, secrets: Sequence[bytes]) -> UUID:
    """The delivery that an opaque return path was issued for. Raises SrsError."""
    _, _, rest = local_part.partition("=")
    digest, _, body = rest.lower().partition("=")
    _require_signature(body, digest, secrets)
    try:
        return UUID(bytes=b32decode(f"{body.upper()}======"))
    except (DecodingError, ValueError) as error:
        raise SrsError("The return path names no delivery.") from error


def is_opaque(local_part: str) -> bool:
    return local_part[:3].upper() == "R0="


def _reverse_first(body: str, day: int) -> Address:
    stamp, _, rest = body.partition("=")
    domain, _, local = rest.partition("=")
    age = (day - _unstamp(stamp)) % _DAYS
    if age > VALID_DAYS:
        raise SrsError("The return path has expired.")
    return Address.parse(f"{quote_local_part(local)}@{domain}")


def _reverse_next(body: str) -> Address:
    domain, _, rest = body.partition("==")
    return Address.parse(f"{quote_local_part(f'SRS0={rest}')}@{domain}")


def _first_hop(sender: Address, kind: str) -> str:
    if kind == "SRS0=":
        return f"{sender.domain}=={sender.local_part[5:]}"
    return sender.local_part[5:].partition("=")[2]


def _require_signature(body: str, digest: str, secrets: Sequence[bytes]) -> None:
    given = digest.lower().encode()  # octets: compare_digest takes no text beyond ASCII
    if not any(hmac.compare_digest(_digest(key, body).encode(), given) for key in secrets):
        raise SrsError("The return path carries no valid signature.")


def _digest(secret: bytes, body: str) -> str:
    mac = hmac.new(secret, body.lower().encode(), sha256).digest()
    return b32encode(mac).decode().lower()[:_HASH_LENGTH]


def _stamp(day: int) -> str:
    return _DIGITS[day % _DAYS >> 5] + _DIGITS[day % 32]


def _unstamp(stamp: str) -> int:
    try:
        high, low = (_DIGITS.index(digit) for digit in stamp.lower())
    except ValueError:
        raise SrsError("The return path carries no day.") from None
    return high * 32 + low
