"""The wire's state machine, pure: octets in, events out, the same however the octets are cut.

It knows lines, message content (RFC 5321 §2.3.8, §4.1.1.4, §4.5.2) and chunks (RFC 3030 §2), and
nothing of commands. Only CR LF dot CR LF ends content: a bare CR or LF never does, so nothing is
smuggled behind one. Content leaves in pieces as it comes; this file never holds a whole message.
"""

from collections.abc import Callable

from msgspec import Struct

END_OF_CONTENT = b"\r\n.\r\n"


class Line(Struct, frozen=True):
    """One command line without its line end."""

    octets: bytes


class LineTooLong(Struct, frozen=True):
    """A command line over the limit; its octets are gone."""


class Piece(Struct, frozen=True):
    """Octets of a message, dots unstuffed; `is_last` ends the content or the chunk."""

    octets: bytes
    is_last: bool


Event = Line | LineTooLong | Piece


def readable(line: bytes) -> bytes:
    """A command line as it is; empty where a CR or NUL stands within it.

    Such a line is no command of any kind (RFC 5321 §2.3.8, §4.1.2), so nothing is read out of it.
    """
    return b"" if b"\r" in line or b"\0" in line else line


class Wire:
    """Feed it octets; ask it for the next event until there is none.

    It reads lines, after `start_content` or `start_chunk` one run of pieces, then lines again.
    """

    def __init__(self, *, line_limit: int) -> None:
        self._line_limit = line_limit
        self._buffer = bytearray()
        self._next: Callable[[], Event | None] = self._next_line
        self._searched = 0
        self._is_overlong = False
        self._skipped_octets = 0
        self._chunk_octets = 0

    def __len__(self) -> int:
        """Octets that wait to become events."""
        return len(self._buffer)

    @property
    def is_in_content(self) -> bool:
        return self._next != self._next_line

    def feed(self, octets: bytes) -> None:
        self._buffer += octets

    def clear(self) -> None:
        """Forget what waits: nothing said before STARTTLS counts after it (RFC 3207 §4.2)."""
        self._buffer.clear()
        self._searched = 0
        self._is_overlong = False

    def upcoming(self, verb: bytes, *, most: int) -> list[bytes]:
        """The whole lines that come next, as far as they are this command; they go on waiting."""
        lines: list[bytes] = []
        start = 0
        while len(lines) < most and (end := self._buffer.find(b"\n", start)) >= 0:
            line = bytes(self._buffer[start:end]).removesuffix(b"\r")
            if line[: len(verb) + 1].upper() != verb + b" " or len(line) > self._line_limit:
                break
            lines.append(readable(line))
            start = end + 1
        return lines

    def take_rest(self) -> bytes:
        """What waits to become events, which then waits no more."""
        rest = bytes(self._buffer)
        self.clear()
        return rest

    def start_content(self) -> None:
        """What follows is a message, up to a line with nothing but a dot."""
        # It may be a lone dot: the CR LF of the command before it begins its first line.
        self._buffer[:0] = b"\r\n"
        self._skipped_octets = 2
        self._next = self._next_content

    def start_chunk(self, size_octets: int) -> None:
        """What follows is a chunk of so many octets, whatever they are."""
        self._chunk_octets = size_octets
        self._next = self._next_chunk

    def next_event(self) -> Event | None:
        """The next event; None until more octets come."""
        return self._next()

    def _next_line(self) -> Line | LineTooLong | None:
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            if len(self._buffer) > self._line_limit + 1:  # one more may be the CR
                self._is_overlong = True
                self._buffer.clear()
            self._searched = len(self._buffer)
            return None
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        self._searched = 0
        if self._is_overlong or len(line) > self._line_limit:
            self._is_overlong = False
            return LineTooLong()
        return Line(readable(line))

    def _next_content(self) -> Piece | None:
        """All that is surely content: what may yet turn out to be the end stays."""
        # Most large messages are base64, where no dot is: they need no search for longer texts.
        has_dots = b"." in self._buffer
        end = self._buffer.find(END_OF_CONTENT) if has_dots else -1
        if end >= 0:
            self._next = self._next_line
            octets = self._unstuffed(end + 2)
            del self._buffer[:3]
            return Piece(octets, is_last=True)
        end = len(self._buffer) - self._open_end()
        octets = self._unstuffed(end) if end > 0 else b""
        return Piece(octets, is_last=False) if octets else None

    def _unstuffed(self, end: int) -> bytes:
        """Take what stands before `end`, without the dots that senders double."""
        octets = bytes(self._buffer[:end])
        if b"." in octets:
            octets = octets.replace(b"\r\n.", b"\r\n")
        octets = octets[self._skipped_octets :]
        del self._buffer[:end]
        self._skipped_octets = 0
        return octets

    def _open_end(self) -> int:
        """How many octets at the end of the buffer may be the beginning of the end of content."""
        tail = bytes(self._buffer[-len(END_OF_CONTENT) + 1 :])
        sizes = range(len(tail), 0, -1)
        return next((size for size in sizes if END_OF_CONTENT.startswith(tail[-size:])), 0)

    def _next_chunk(self) -> Piece | None:
        if not self._buffer and self._chunk_octets:
            return None
        octets = bytes(self._buffer[: self._chunk_octets])
        del self._buffer[: self._chunk_octets]
        self._chunk_octets -= len(octets)
        if not self._chunk_octets:
            self._next = self._next_line
        return Piece(octets, is_last=not self._chunk_octets)
