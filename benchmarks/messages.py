"""The messages that a session sends: all of one size, and each unlike any other."""

from functools import cache

from benchmarks.population import SENDER

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


@cache
def _body(octets: int) -> bytes:
    """The part that all messages of a size share, with the final dot."""
    return _LINE * max(1, octets // len(_LINE)) + b".\r\n"
