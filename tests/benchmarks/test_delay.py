"""The process that makes a database far away: the same octets, later."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from urllib.parse import quote

import pytest

from benchmarks.delay import POSTGRES_SOCKET, Delay

pytestmark = pytest.mark.usefixtures("socket_enabled")


@contextmanager
def echo(folder: Path) -> Iterator[str]:
    """The URL of a "database" that says back what it hears."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                while octets := client.recv(65_536):
                    client.sendall(octets)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / POSTGRES_SOCKET))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield f"postgresql://me:secret@/mail?host={quote(str(folder))}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_octets_come_back_whole_and_late(tmp_path: Path) -> None:
    delay = Delay(milliseconds=40, log=tmp_path / "delay.log")
    sent = bytes(range(256)) * 2_000
    with echo(tmp_path) as url:
        child = delay.start(url)
        try:
            port = int(delay.url(url).partition("?")[0].rpartition("/")[0].rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                started = monotonic()
                client.sendall(sent)
                received = b""
                while len(received) < len(sent):
                    received += client.recv(65_536)
                seconds = monotonic() - started
        finally:
            child.stop()
    assert received == sent
    assert seconds >= 0.040


def test_the_address_keeps_user_password_and_database() -> None:
    url = Delay(milliseconds=1, log=Path("unused")).url("postgresql://me:secret@/mail?host=/run/x")
    assert url.startswith("postgresql://me:secret@127.0.0.1:")
    assert url.endswith("/mail?sslmode=disable")
