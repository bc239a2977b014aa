"""A PostgreSQL that is some milliseconds away: a process that passes octets on, later.

`python -m benchmarks.delay PORT SOCKET MILLISECONDS` listens on loopback and takes half of the
time each way. Threads and blocking calls, since the timers of event loops count in whole
milliseconds; a gateway has a handful of connections.
"""

import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from time import monotonic, sleep
from urllib.parse import parse_qs, urlsplit, urlunsplit

from benchmarks.ports import HOST, await_open, free_port
from mailrouting.children import Child, StartError, start

CHUNK_OCTETS = 65_536
START_SECONDS = 10
POSTGRES_SOCKET = ".s.PGSQL.5432"

Chunks = SimpleQueue[tuple[float, bytes]]


class Delay:
    """The process, as the rig starts it in front of a database."""

    def __init__(self, *, milliseconds: int, log: Path) -> None:
        self._milliseconds = milliseconds
        self._port = 0
        self._log = log

    def start(self, database_url: str) -> Child:
        """Pass on to the server of this URL, which listens on a Unix socket."""
        self._port = free_port()
        folder = parse_qs(urlsplit(database_url).query)["host"][0]
        child = start(
            [
                *(sys.executable, "-m", "benchmarks.delay", str(self._port)),
                *(Path(folder) / POSTGRES_SOCKET, str(self._milliseconds)),
            ],
            name="delay",
            log=self._log,
        )
        if not await_open(self._port, within_seconds=START_SECONDS):
            child.stop()
            raise StartError(f"Nothing listens in front of PostgreSQL: see {self._log}.")
        return child

    def url(self, database_url: str) -> str:
        """The same database, reached through the process."""
        parts = urlsplit(database_url)
        place = f"{parts.netloc.rpartition('@')[0]}@{HOST}:{self._port}"
        return urlunsplit(parts._replace(netloc=place, query="sslmode=disable"))


def main(port: int, path: str, milliseconds: float) -> None:
    half_seconds = milliseconds / 2000
    with socket.create_server((HOST, port), backlog=64) as listener:
        while True:
            near, _ = listener.accept()
            near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far = socket.socket(socket.AF_UNIX)
            far.connect(path)
            _pass_on(near, far, half_seconds)
            _pass_on(far, near, half_seconds)


def _pass_on(source: socket.socket, sink: socket.socket, seconds: float) -> None:
    """What comes out of `source` goes into `sink` after so many seconds, until either ends."""
    chunks: Chunks = SimpleQueue()
    _run(lambda: _take(source, chunks, seconds))
    _run(lambda: _give(sink, chunks))


def _run(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def _take(source: socket.socket, chunks: Chunks, seconds: float) -> None:
    octets = b"."
    while octets:
        with suppress(OSError):  # it was closed from the other side: nothing more comes
            octets = b""
            octets = source.recv(CHUNK_OCTETS)
        chunks.put((monotonic() + seconds, octets))


def _give(sink: socket.socket, chunks: Chunks) -> None:
    with suppress(OSError):  # whoever it was for has gone
        while True:
            due, octets = chunks.get()
            sleep(max(0.0, due - monotonic()))
            if not octets:
                break
            sink.sendall(octets)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)  # ends the other direction as well


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
