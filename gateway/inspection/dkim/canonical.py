"""Canonicalisation of header fields and bodies (RFC 6376 §3.4).

A body is read in pieces, so that hashing a large one on a thread never keeps the event loop from
its turn for long.
"""

import re
from collections.abc import Callable, Iterator
from hashlib import sha256

PIECE_OCTETS = 64 * 1024
_UNSIGNED = re.compile(rb"(\A|;)([ \t\r\n]*b[ \t\r\n]*=)[^;]*")

Field = tuple[bytes, bytes]
"""A header field: its name and its value, both as they came, without the last line end."""


def split_fields(header: bytes) -> list[Field]:
    """The fields of a header section in order; lines that are none are left out."""
    fields = re.split(rb"\r\n(?![ \t])", header)
    split = (field.partition(b":") for field in fields)
    return [(name, value) for name, colon, value in split if colon]


def name_of(field: Field) -> bytes:
    """The field's name as it is compared."""
    return field[0].rstrip(b" \t").lower()


def simple_field(field: Field) -> bytes:
    """The field as it came (§3.4.1), without its last line end."""
    return b":".join(field)


def relaxed_field(field: Field) -> bytes:
    """Unfolded, its name lowered, its blanks made single (§3.4.2), without the last line end."""
    value = field[1].replace(b"\r\n", b"")
    return name_of(field) + b":" + _single_blanks(value).strip(b" ")


def without_signature(value: bytes) -> bytes:
    """A DKIM-Signature's value with an empty b= (§3.7)."""
    return _UNSIGNED.sub(rb"\1\2", value, count=1)


def digest_body(body: memoryview, *, is_relaxed: bool, limit: int | None) -> tuple[bytes, int]:
    """SHA-256 of the canonical body, of its first `limit` octets, and its whole length."""
    hashing, length = sha256(), 0
    for piece in _relaxed(body) if is_relaxed else _simple(body):
        if limit is None:
            hashing.update(piece)
        elif length < limit:
            hashing.update(piece[: limit - length])
        length += len(piece)
    return hashing.digest(), length


def _simple(body: memoryview) -> Iterator[bytes | memoryview]:
    """Empty lines at the end become one line end, which an empty body gets too."""
    end = _text_end(body, b"\r\n")
    yield from _pieces(body[:end], lambda piece: piece)
    yield b"\r\n"


def _relaxed(body: memoryview) -> Iterator[bytes | memoryview]:
    """Blanks at line ends go, runs of them become one; an empty body stays empty."""
    end = _text_end(body, b" \t\r\n")
    if end == 0:
        return
    yield from _pieces(body[:end], _relax)
    yield b"\r\n"


def _relax(piece: bytes) -> bytes:
    return _single_blanks(piece).replace(b" \r\n", b"\r\n")


def _single_blanks(octets: bytes) -> bytes:
    """Measured: over ten times as fast as an expression, which stops at each blank."""
    octets = octets.replace(b"\t", b" ")
    while b"  " in octets:
        octets = octets.replace(b"  ", b" ")
    return octets


def _text_end(body: memoryview, blanks: bytes) -> int:
    """Where the last line with more than blanks ends, looked for from the end."""
    end = len(body)
    while end:
        start = max(0, end - PIECE_OCTETS)
        kept = len(bytes(body[start:end]).rstrip(blanks))
        if kept:
            return start + kept
        end = start
    return 0


def _pieces(body: memoryview, change: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """The body in pieces that end with a line."""
    rest = b""
    for start in range(0, len(body), PIECE_OCTETS):
        piece = rest + bytes(body[start : start + PIECE_OCTETS])
        cut = piece.rfind(b"\r\n") + 2 if b"\r\n" in piece else 0
        rest = piece[cut:]
        if cut:
            yield change(piece[:cut])
    if rest:
        yield change(rest)
