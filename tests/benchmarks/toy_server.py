"""A mail server of a few lines for the load generator: right by default, wrong where told."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

STRANGER = b"<stranger."


@dataclass
class Manner:
    """How the server behaves, and what it took."""

    stranger_code: bytes = b"550"
    chunk_octets: int = 0  # replies are written in pieces of this size; 0 is whole
    busy_times: int = 0  # so many DATA are answered 452
    cuts_after: int = 0  # a session ends without a word after so many commands
    stored: int = 0
    sessions: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        manner: Manner = self.server.manner  # type: ignore[attr-defined]
        with manner.lock:
            manner.sessions += 1
        self._say(manner, b"220 toy")
        for number, line in enumerate(self.rfile, start=1):
            if manner.cuts_after and number > manner.cuts_after:
                return
            self._say(manner, self._answer(manner, line))
            if line.upper().startswith(b"QUIT"):
                return

    def _answer(self, manner: Manner, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"EHLO":
            return b"250-toy\r\n250 PIPELINING"
        if verb == b"RCPT" and STRANGER in line:
            return manner.stranger_code + b" stranger"
        if verb == b"DATA":
            return self._take(manner)
        return {b"QUIT": b"221 bye"}.get(verb, b"250 ok")

    def _take(self, manner: Manner) -> bytes:
        with manner.lock:
            if manner.busy_times:
                manner.busy_times -= 1
                return b"452 later"
        self._say(manner, b"354 go on")
        for line in self.rfile:
            if line == b".\r\n":
                break
        with manner.lock:
            manner.stored += 1
        return b"250 queued"

    def _say(self, manner: Manner, reply: bytes) -> None:
        octets = reply + b"\r\n"
        size = manner.chunk_octets or len(octets)
        for start in range(0, len(octets), size):
            self.wfile.write(octets[start : start + size])


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no error here."""


@contextmanager
def running(manner: Manner) -> Iterator[int]:
    """The port of a server that behaves so."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.manner = manner  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
