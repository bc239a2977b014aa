"""One client connection, line by line: what a dialogue is spoken with. Needs no Django.

A dialogue is written as it goes over the wire: `C:` is sent, `S:` must be the start of the reply
(of its last line, where it has several). A line with neither is sent as it stands, inside DATA.
"""

import socket
from typing import Self

TIMEOUT_SECONDS = 10


class Wire:
    """One client connection, line by line."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._file = connection.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self.connection.close()

    def talk(self, dialogue: str) -> None:
        """Say and check every line of a dialogue."""
        for line in filter(None, map(str.strip, dialogue.strip().splitlines())):
            if line.startswith("S:"):
                expected, reply = line[2:].strip(), self.reply()
                assert reply.startswith(expected), f"expected {expected!r}, got {reply!r}"
            else:
                self.write((line[2:].strip() if line.startswith("C:") else line).encode() + b"\r\n")

    def command(self, line: str) -> str:
        """Send one command, return its reply."""
        self.write(line.encode() + b"\r\n")
        return self.reply()

    def send_content(self, content: bytes) -> str:
        """The content after 354, dots stuffed, and the final reply."""
        stuffed = content.replace(b"\r\n.", b"\r\n..")
        self.write((b"." if stuffed[:1] == b"." else b"") + stuffed + b".\r\n")
        return self.reply()

    def write(self, octets: bytes) -> None:
        self.connection.sendall(octets)

    def reply(self) -> str:
        """The last line of the next reply; empty once the server has closed."""
        line = self.line()
        while line[3:4] == "-":
            line = self.line()
        return line

    def line(self) -> str:
        """The next line; empty once the server has closed."""
        return self._file.readline().decode().rstrip("\r\n")

    def reply_or_end(self) -> str:
        """The last line of the next reply; empty however the server has closed."""
        try:
            return self.reply()
        except ConnectionError:
            return ""
