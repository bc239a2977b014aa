"""The wire's state machine, pure: octets in, events out, the same however the octets are cut.

It knows lines and message content (RFC 5321 §2.3.8, §4.1.1.4, §4.5.2) and nothing of commands.
Only CR LF dot CR LF ends content: a bare CR or LF never does, so nothing is smuggled behind one.
"""

from msgspec import Struct

END_OF_CONTENT = b"\r\n.\r\n"


class Line(Struct, frozen=True):
    """One command line without its line end."""

    octets: bytes


class LineTooLong(Struct, frozen=True):
    """A command line over the limit; its octets are gone."""


class Content(Struct, frozen=True):
    """A whole message, dots unstuffed, every line with its CR LF."""

    octets: bytes


class ContentTooLarge(Struct, frozen=True):
    """The end of a message over the limit; its octets are gone."""


Event = Line | LineTooLong | Content | ContentTooLarge


def readable(line: bytes) -> bytes:
    """A command line as it is; empty where a CR or NUL stands within it.

    Such a line is no command of any kind (RFC 5321 §2.3.8, §4.1.2), so nothing is read out of it.
    """
    return b"" if b"\r" in line or b"\0" in line else line


class Wire:
    """Feed it octets; ask it for the next event until there is none.

    It reads lines, and after `start_content` one message; then lines again.
    """

    def __init__(self, *, line_limit: int) -> None:
        self._line_limit = line_limit
        self._content_limit: int | None = None
        self._buffer = bytearray()
        self._searched = 0
        self._is_overlong = False

    def __len__(self) -> int:
        """Octets that wait to become events."""
        return len(self._buffer)

    @property
    def is_in_content(self) -> bool:
        return self._content_limit is not None

    def feed(self, octets: bytes) -> None:
        self._buffer += octets

    def clear(self) -> None:
        """Forget what waits: nothing said before STARTTLS counts after it (RFC 3207 §4.2)."""
        self._buffer.clear()
        self._searched = 0
        self._is_overlong = False

    def start_content(self, limit: int) -> None:
        """What follows is a message of at most `limit` octets, as it goes over the wire."""
        self._content_limit = limit
        self._is_overlong = False
        # A message may be a lone dot: the CR LF of the command before it begins its first line.
        self._buffer[:0] = b"\r\n"
        self._searched = 0

    def next_event(self) -> Event | None:
        """The next event; None until more octets come."""
        if self._content_limit is not None:
            return self._next_content(self._content_limit)
        return self._next_line()

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

    def _next_content(self, limit: int) -> Content | ContentTooLarge | None:
        end = self._buffer.find(END_OF_CONTENT, self._searched)
        if end < 0:
            if len(self._buffer) > limit + len(END_OF_CONTENT):
                self._is_overlong = True
                del self._buffer[: -len(END_OF_CONTENT)]
            self._searched = max(0, len(self._buffer) - len(END_OF_CONTENT) + 1)
            return None
        stuffed = bytes(self._buffer[: end + 2])
        del self._buffer[: end + len(END_OF_CONTENT)]
        self._searched = 0
        self._content_limit = None
        if self._is_overlong or len(stuffed) - 2 > limit:
            self._is_overlong = False
            return ContentTooLarge()
        return Content(stuffed.replace(b"\r\n.", b"\r\n")[2:])
