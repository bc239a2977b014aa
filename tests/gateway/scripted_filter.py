"""A content filter that answers what a test wants, over HTTP on a raw socket, and remembers what it
was asked: silence, nonsense, endless answers, statuses.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its fields in order, names in lower case, and its body."""

    request: str
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name.lower()]


def answer(action: str = "no action", *, status: str = "200 OK", **more: object) -> bytes:
    """A response with an answer of Rspamd's form."""
    body = json.dumps({"action": action, "score": 1.5, "required_score": 15, "symbols": {}} | more)
    return respond(body.encode(), status=status)


def respond(body: bytes, *, status: str = "200 OK", fields: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    return head.encode() + body


class ScriptedFilter:
    """`script` makes the octets of each answer, at once or piece by piece as it yields them.

    None says nothing and keeps the connection.
    """

    def __init__(self) -> None:
        self.script: Callable[[Asked], bytes | Iterable[bytes] | None] = lambda _: answer()
        self.asked: list[Asked] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self._open: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def start(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        """Let nobody in, and drop who is there."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as lines:
            while request := lines.readline().decode().strip():
                fields = []
                while line := lines.readline().decode().strip():
                    name, _, value = line.partition(":")
                    fields.append((name.lower(), value.strip()))
                body = lines.read(int(dict(fields).get("content-length", "0")))
                self.asked.append(Asked(request, tuple(fields), body))
                said = self.script(self.asked[-1])
                for piece in [said] if isinstance(said, bytes) else said or ():
                    connection.sendall(piece)


@contextmanager
def scripted_filter() -> Iterator[ScriptedFilter]:
    listening = ScriptedFilter()
    listening.start()
    try:
        yield listening
    finally:
        listening.stop()
