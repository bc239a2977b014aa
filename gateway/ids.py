"""Identifiers: UUIDv7 (RFC 9562 §5.7), so that rows sort by the time they were made."""

import secrets
import time
from uuid import UUID

_ALPHABET = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"


def uuid7(*, now_ms: int | None = None) -> UUID:
    """A UUIDv7 of this moment."""
    stamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    value = stamp << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def queue_id(identifier: UUID) -> str:
    """The short name of a transaction in replies and logs: its UUID's 74 free bits and time."""
    value, text = identifier.int, ""
    while value:
        value, digit = divmod(value, len(_ALPHABET))
        text = _ALPHABET[digit] + text
    return text
