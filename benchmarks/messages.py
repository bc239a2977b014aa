"""The messages that a session sends: all of one size, and each unlike any other."""

from functools import cache

from benchmarks import author
from benchmarks.population import SENDER

SIGNED_BEFOREHAND = 100
_LINE = b"All work and no play makes a dull benchmark, as everybody should know.\r\n"


class Messages:
    """Endless messages of about `octets`; unique, since a server may recognise a repeat."""

    def __init__(self, octets: int, session: str) -> None:
        self._body = _body(octets)
        self._session = session
        self._sent = 0
        self.octets = len(self._body) + 500  # with a header, which is shorter than that

    def __next__(self) -> bytes:
        self._sent += 1
        head = (
            f"From: <{SENDER}>\r\nTo: undisclosed-recipients:;\r\n"
            f"Date: Mon, 05 Jan 2026 12:00:00 +0000\r\nSubject: load {self._sent}\r\n"
            f"Message-ID: <{self._sent}.{self._session}@load.bench.example>\r\n\r\n"
        )
        return head.encode() + self._body


class SignedMessages(Messages):
    """Endless messages with their author's DKIM signature; they differ in a field beside it.

    Signing costs more than sending: a hundred are signed beforehand and sent in turn.
    """

    def __init__(self, octets: int, session: str, key: str) -> None:
        super().__init__(octets, session)
        self._signed = _signed(octets, key)

    def __next__(self) -> bytes:
        self._sent += 1
        signed = self._signed[self._sent % len(self._signed)]
        return f"X-Load: {self._sent}.{self._session}\r\n".encode() + signed


@cache
def _signed(octets: int, key: str) -> list[bytes]:
    plain = Messages(octets, "signed")
    end = b".\r\n"
    return [author.sign(next(plain).removesuffix(end), key) + end for _ in range(SIGNED_BEFOREHAND)]


@cache
def _body(octets: int) -> bytes:
    """The part that all messages of a size share, with the final dot."""
    return _LINE * max(1, octets // len(_LINE)) + b".\r\n"
