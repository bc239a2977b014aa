"""A next hop that says what a test wants, octet for octet, and remembers what it was told.

Raw sockets and threads: what no mail server would do (hang, talk nonsense, close in the midst) is
one line of a script here.
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

# What is said to a command; "" says nothing, None closes the connection.
Answer = str | None
USUAL: dict[str, Answer] = {
    "greeting": "220 hop ESMTP",
    "EHLO": "250-hop\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250 8BITMIME",
    "LHLO": "250-hop\r\n250 PIPELINING",
    "HELO": "250 hop",
    "MAIL": "250 2.1.0 ok",
    "RCPT": "250 2.1.5 ok",
    "STAR": "220 2.0.0 go ahead",
    "RSET": "250 2.0.0 ok",
    "QUIT": "221 2.0.0 bye",
}


class ScriptedHop:
    """Listens on a loopback port. `script` may be changed while it runs; `heard` is every line.

    With `tls` it knows STARTTLS; it does not ask for it.
    """

    def __init__(
        self, script: Mapping[str, Answer] | None = None, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self.script = USUAL | dict(script or {})
        self.of_recipient: Callable[[str], Answer] = lambda _: self.script["RCPT"]
        self.heard: list[str] = []
        self.connections = 0
        self.most_at_once = 0
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]

    def said(self, verb: str) -> list[str]:
        """The lines that began with a verb."""
        return [line for line in self.heard if line.upper().startswith(verb)]

    def start(self) -> None:
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
            self.connections += 1
            self.most_at_once = max(self.most_at_once, len(self._open))
        with suppress(OSError), connection:
            if self._say(connection, self.script["greeting"]):
                self._converse(connection)
        with self._lock:
            self._open.discard(connection)

    def _converse(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            for line in lines:
                self.heard.append(line.decode(errors="replace").rstrip("\r\n"))
                if not self._say(connection, self._answer(self.heard[-1])):
                    return
                if self._tls is not None and self.heard[-1] == "STARTTLS":
                    break
            else:
                return
        with self._tls.wrap_socket(connection, server_side=True) as inside:
            self._converse(inside)

    def _answer(self, line: str) -> Answer:
        verb = line[:4].upper()
        return self.of_recipient(line) if verb == "RCPT" else self.script.get(verb, "500 what?")

    def _say(self, connection: socket.socket, answer: Answer) -> bool:
        """Whether the connection goes on."""
        if answer:
            connection.sendall(f"{answer}\r\n".encode())
        return answer is not None and not answer.startswith("421")


@contextmanager
def scripted_hop(
    script: Mapping[str, Answer] | None = None, *, tls: ssl.SSLContext | None = None
) -> Iterator[ScriptedHop]:
    hop = ScriptedHop(script, tls=tls)
    hop.start()
    try:
        yield hop
    finally:
        hop.stop()
