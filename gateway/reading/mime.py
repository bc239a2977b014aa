"""The parts of a message (RFC 2045, RFC 2046): its text, its header, and what is attached by name.

A walker of our own instead of the standard library's parser, whose time grows with depth times
lines: here each level looks through its octets once, and levels, parts and decoded octets end.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.reading.parameters import read_parameter
from gateway.reading.words import (
    decode_charset,
    decode_transfer,
    decode_words,
    escape_octets,
    html_to_text,
    show,
)

MOST_PARTS = 100
# With containers, which may hold nothing but more of them.
MOST_VISITED = 2 * MOST_PARTS
MOST_DEPTH = 8
MOST_HEADER_OCTETS = 64 * 1024
MOST_FIELDS = 300
MOST_VALUE_OCTETS = 4 * 1024
MOST_TEXT_OCTETS = 512 * 1024
MOST_RAW_OCTETS = 256 * 1024

_HEADER_END = re.compile(rb"\r?\n\r?\n|\A\r?\n")
_FIELD_START = re.compile(rb"([!-9;-~]{1,80})[ \t]*:")
_LINE_END = re.compile(rb"\r?\n(?![ \t])")
_TOKEN = re.compile(r"[ \t]*([!#$%&'*+./0-9A-Z^_`a-z{|}~-]{1,100})")

NO_BOUNDARY = "A multipart without its boundary: shown as it came."
TOO_DEEP = f"More than {MOST_DEPTH} levels of parts: the inner ones are not shown."
TOO_MANY = f"More than {MOST_PARTS} parts: the rest is not shown."
CUT = f"Only the first {MOST_TEXT_OCTETS // 1024} KiB of the text are shown."
NO_TEXT = "There is no text in it."


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is named and never shown; the size is of its octets as they came."""

    name: str
    kind: str
    size_octets: int


@dataclass(slots=True)
class Readable:
    """What there is to read: header fields in order, text, attachments, and what is to be said.

    `is_raw` tells that the text is the message's octets, since it could not be taken apart.
    """

    header: list[tuple[str, str]] = field(default_factory=list)
    text: str = ""
    attachments: list[Attachment] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    is_raw: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """A header's fields by their lower-cased names, the first of each, and the octets below."""

    fields: list[tuple[str, str]]
    octets: bytes
    depth: int = 0

    def value(self, name: str) -> str:
        """The first field of this name; empty where there is none."""
        return next((value for each, value in self.fields if each.lower() == name), "")

    @property
    def kind(self) -> str:
        """The media type, text/plain where nothing or nonsense is said (RFC 2045 §5.2)."""
        found = _TOKEN.match(self.value("content-type"))
        return found[1].lower() if found and "/" in found[1] else "text/plain"

    @property
    def is_container(self) -> bool:
        """Whether it holds parts instead of content."""
        return self.kind.startswith("multipart/")

    def parameter(self, field_name: str, name: str) -> str:
        """A parameter of a field; empty where there is none."""
        return read_parameter(self.value(field_name), name)

    @property
    def name(self) -> str:
        """The file name that its sender gave it."""
        called = self.parameter("content-disposition", "filename")
        return show(decode_words(called or self.parameter("content-type", "name")))[:200]

    @property
    def is_attached(self) -> bool:
        """Whether it is to be named instead of shown."""
        disposition = self.value("content-disposition").strip().lower()
        return disposition.startswith("attachment") or self.kind not in ("text/plain", "text/html")


def read(octets: bytes) -> Readable:
    """A message as text."""
    readable = Readable()
    whole = _part(octets)
    readable.header = [(name, show(decode_words(value))) for name, value in whole.fields]
    texts = _Texts(readable)
    for part in _leaves(whole, readable):
        texts.take(part)
    readable.text = texts.joined()
    if readable.is_raw:
        readable.text = show(escape_octets(octets[:MOST_RAW_OCTETS]))
    elif not readable.text:
        readable.notes.append(NO_TEXT)
    return readable


class _Texts:
    """Gathers the texts of parts as long as there is room, plain ones before HTML."""

    def __init__(self, readable: Readable) -> None:
        self._readable = readable
        self._room = MOST_TEXT_OCTETS
        self._plain: list[str] = []
        self._html: list[str] = []

    def take(self, part: Part) -> None:
        if part.is_attached:
            named = Attachment(part.name or "without a name", part.kind, len(part.octets))
            self._readable.attachments.append(named)
        elif self._room:
            self._add(part)

    def joined(self) -> str:
        """HTML is read only where nothing says the same in plain text."""
        return "\n\n".join(self._plain or self._html)

    def _add(self, part: Part) -> None:
        encoding = part.value("content-transfer-encoding").strip().lower()
        octets = decode_transfer(part.octets, encoding, most=self._room + 1)
        if len(octets) > self._room:
            self._readable.notes.append(CUT)
        octets = octets[: self._room]
        self._room -= len(octets)
        text = decode_charset(octets, part.parameter("content-type", "charset") or "utf-8")
        if part.kind == "text/html":
            self._html.append(show(html_to_text(text)))
        elif text.strip():
            self._plain.append(show(text))


def _leaves(whole: Part, readable: Readable) -> Iterator[Part]:
    """The parts that are no containers, in order, as far as they are shown."""
    leaves = 0
    for visited, part in enumerate(_parts(whole, readable)):
        if leaves == MOST_PARTS or visited == MOST_VISITED:
            readable.notes.append(TOO_MANY)
            return
        if not part.is_container:
            leaves += 1
            yield part


def _parts(part: Part, readable: Readable) -> Iterator[Part]:
    """The part, and what is in it."""
    yield part
    if not part.is_container:
        return
    if part.depth == MOST_DEPTH:
        if TOO_DEEP not in readable.notes:
            readable.notes.append(TOO_DEEP)
        return
    pieces = list(_pieces(part))
    if not pieces and part.depth == 0:
        readable.is_raw = True
        readable.notes.append(NO_BOUNDARY)
    for piece in pieces:
        yield from _parts(_part(piece, depth=part.depth + 1), readable)


def _pieces(part: Part) -> Iterator[bytes]:
    """What stands between the delimiter lines (RFC 2046 §5.1.1), one more than are shown."""
    boundary = part.parameter("content-type", "boundary")
    if not boundary:
        return
    line = re.escape(b"--" + boundary.encode("utf-8", "replace"))
    delimiter = re.compile(rb"(?:\A|\r?\n)" + line + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    start = None
    for number, found in enumerate(delimiter.finditer(part.octets)):
        if start is not None:
            yield part.octets[start : found.start()]
        if found[1] or number > MOST_PARTS:
            return
        start = found.end()
    if start is not None:
        yield part.octets[start:]


def _part(octets: bytes, *, depth: int = 0) -> Part:
    octets = octets.removeprefix(b"\r\n") if depth else octets
    end = _HEADER_END.search(octets, 0, MOST_HEADER_OCTETS)
    header = octets[: end.start()] if end else octets[:MOST_HEADER_OCTETS]
    body = octets[end.end() :] if end else b""
    if depth and end is None and not _FIELD_START.match(octets):
        header, body = b"", octets
    return Part(list(_fields(header)), body, depth)


def _fields(header: bytes) -> Iterator[tuple[str, str]]:
    """Names and unfolded values, in order."""
    for line in _LINE_END.split(header, MOST_FIELDS)[:MOST_FIELDS]:
        if found := _FIELD_START.match(line):
            value = escape_octets(line[found.end() : found.end() + MOST_VALUE_OCTETS])
            yield found[1].decode("ascii"), re.sub(r"\r?\n[ \t]+", " ", value).strip()
