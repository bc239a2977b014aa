"""A next hop that speaks a dialogue to the octet, with pipelining or without, SMTP or LMTP."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.gateway.sink import free_port

DROP = "drop"


@dataclass
class Hop:
    """What it answers, and what it heard. An answer of DROP cuts the connection.

    `finals` answers the content: one for SMTP, for LMTP one a recipient that was taken.
    """

    is_lmtp: bool = False
    is_pipelined: bool = True
    recipients: dict[str, str] = field(default_factory=dict)
    finals: Callable[[list[str]], list[str]] = lambda taken: ["250 2.0.0 taken"] * len(taken)
    mail: str = "250 2.1.0 ok"
    data: str = "354 go on"
    port: int = field(default_factory=free_port)
    connections: int = 0
    commands: list[str] = field(default_factory=list)
    contents: list[tuple[list[str], bytes]] = field(default_factory=list)
    # How many commands came in one piece with the first of each transaction.
    groups: list[int] = field(default_factory=list)

    def serve(self, opened: socket.socket) -> None:
        self.connections += 1
        with opened, suppress(OSError, _Dropped):
            self._talk(opened, Lines(opened))

    def _talk(self, opened: socket.socket, lines: "Lines") -> None:
        taken: list[str] = []
        self._say(opened, "220 hop.example")
        while line := lines.read():
            command = line.decode().strip()
            self.commands.append(command)
            match command.split(":")[0].upper().split()[0]:
                case "EHLO" | "LHLO":
                    offers = ["250-hop.example"] + ["250-PIPELINING"] * self.is_pipelined
                    self._say(opened, *offers, "250 SIZE 1000000")
                case "MAIL":
                    taken = []
                    self.groups.append(1 + lines.waiting)
                    self._say(opened, self.mail)
                case "RCPT":
                    address = command.split("<")[1].rstrip(">")
                    reply = self.recipients.get(address, "250 2.1.5 ok")
                    taken += [address] if reply.startswith("2") else []
                    self._say(opened, reply)
                case "DATA" if taken:
                    self._say(opened, self.data)
                    if self.data.startswith("354"):
                        self._take(opened, lines, taken)
                case "DATA":
                    self._say(opened, "554 5.5.1 no valid recipients")
                case "QUIT":
                    self._say(opened, "221 bye")
                    return
                case _:
                    self._say(opened, "250 ok")

    def _take(self, opened: socket.socket, lines: "Lines", taken: list[str]) -> None:
        content = b""
        while (line := lines.read()) not in (b".\r\n", b""):
            content += line
        self.contents.append((taken, content))
        finals = self.finals(taken)
        for reply in finals if self.is_lmtp else finals[:1]:
            self._say(opened, reply)

    def _say(self, opened: socket.socket, *lines: str) -> None:
        if DROP in lines:
            raise _Dropped
        opened.sendall("".join(f"{line}\r\n" for line in lines).encode())


class _Dropped(Exception):
    """The script says so."""


class Lines:
    """What a client sends, line by line."""

    def __init__(self, opened: socket.socket) -> None:
        self._opened = opened
        self._octets = b""

    @property
    def waiting(self) -> int:
        """How many lines have come that nobody has read."""
        return self._octets.count(b"\n")

    def read(self) -> bytes:
        """The next line; empty at the end."""
        while not self.waiting:
            more = self._opened.recv(65536)
            if not more:
                return b""
            self._octets += more
        line, _, self._octets = self._octets.partition(b"\n")
        return line + b"\n"


@contextmanager
def listening(hop: Hop) -> Iterator[Hop]:
    """The hop on its port, each connection in a thread."""
    server = socket.create_server(("127.0.0.1", hop.port))

    def accept() -> None:
        with suppress(OSError):
            while True:
                opened, _ = server.accept()
                threading.Thread(target=hop.serve, args=(opened,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield hop
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(5)
