"""What an SMTP server says, octets in, replies out (RFC 5321 §4.2): no socket, no clock.

A reply is three digits and a text, over several lines where a hyphen follows the digits. Lines may
end in LF alone. What is no reply, or has no end, is trouble and never guessed at.
"""

from collections.abc import Iterator
from typing import NamedTuple

LONGEST_REPLY_OCTETS = 32 * 1024


class BadReply(ConnectionError):
    """The other side says what is no SMTP reply; nothing after it can be trusted."""


class Reply(NamedTuple):
    """A complete reply; the texts of its lines are joined by line feeds."""

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}"

    @property
    def is_positive(self) -> bool:
        """Done as asked (2yz, RFC 5321 §4.2.1)."""
        return 200 <= self.code < 300

    @property
    def is_intermediate(self) -> bool:
        """More is waited for (3yz): never the last word on anything."""
        return 300 <= self.code < 400

    @property
    def is_permanent(self) -> bool:
        return self.code >= 500


class ReplyReader:
    """Cuts a stream into replies, however its octets come."""

    def __init__(self) -> None:
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0

    def feed(self, octets: bytes) -> Iterator[Reply]:
        """The replies that these octets complete, each when it is taken. Raises BadReply."""
        *lines, self._rest = (self._rest + octets).split(b"\n")
        for line in lines:
            if (reply := self._take(line)) is not None:
                yield reply
        if self._size + len(self._rest) > LONGEST_REPLY_OCTETS:
            raise BadReply("The reply has no end")

    def _take(self, line: bytes) -> Reply | None:
        """The reply that ends with this line, if one does."""
        code, mark = line[:3], line[3:4]
        if not (code.isdigit() and b"200" <= code < b"600" and mark in b" -\r"):
            raise BadReply(f"Malformed SMTP reply: {line[:200].decode(errors='replace').strip()}")
        self._lines.append(line[4:].strip())
        self._size += len(line) + 1
        if mark == b"-":
            return None
        text = b"\n".join(self._lines).decode(errors="replace")
        self._lines, self._size = [], 0
        return Reply(int(code), text)
