"""Parameters of a field's value (RFC 2045 §5.1), also in pieces and character sets (RFC 2231)."""

import re
from collections.abc import Iterator
from itertools import count, takewhile
from urllib.parse import unquote_to_bytes

from gateway.reading.words import decode_charset

_PARAMETER = re.compile(r';[ \t\r\n]*([!-:<>-~]{1,60}?)[ \t]*=[ \t]*(?:"([^"]{0,500})"|([^;"\s]*))')

# A text, and whether its octets are written as %XX.
Piece = tuple[str, bool]


def read_parameter(value: str, name: str) -> str:
    """What a field says under a name in lower case, the first of each form; empty where nothing.

    The form with a character set stands before one in pieces (§3), and both before the plain one,
    which is there for programs that know neither.
    """
    found: dict[str, Piece] = {}
    for place, piece in _pieces(value, name):
        found.setdefault(place, piece)
    numbers = takewhile(found.__contains__, map(str, count()))
    pieces = [found[place] for place in (["*"] if "*" in found else numbers)]
    return _join(pieces) if pieces else found.get("", ("", False))[0]


def _pieces(value: str, name: str) -> Iterator[tuple[str, Piece]]:
    """Each with its place: its number, "*" for a whole one with a character set, or nothing."""
    for key, quoted, plain in _PARAMETER.findall(value):
        base, star, section = key.lower().partition("*")
        if base == name:
            yield section.removesuffix("*") or star, (quoted or plain, key.endswith("*"))


def _join(pieces: list[Piece]) -> str:
    """One text of pieces; a character set stands in the first, and a letter may lie across two."""
    charset, texts = "", [text for text, _ in pieces]
    if pieces[0][1] and texts[0].count("'") >= 2:
        charset, _, texts[0] = texts[0].split("'", 2)
    octets = (
        unquote_to_bytes(text) if is_coded else text.encode()
        for text, (_, is_coded) in zip(texts, pieces, strict=True)
    )
    return decode_charset(b"".join(octets), charset or "utf-8")
