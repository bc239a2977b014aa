"""Webhooks whose other side is hostile: slow, endless, packed, or another one than it was."""

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.watch import webhook
from gateway.watch.outcome import Undelivered
from gateway.watch.webhook import Posting, post
from tests.gateway.sink import free_port
from tests.gateway.watch.http_sink import http_sink

pytestmark = pytest.mark.usefixtures("socket_enabled")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
START = b"HTTP/1.1 200 OK\r\n"
PIECE = b"x" * 65_536
BOMB = gzip.compress(b"x" * 50_000_000)


class Hostile:
    """A server that takes one connection and answers it by a script, until that is closed."""

    def __init__(self, answer: Callable[["Hostile"], None]) -> None:
        self.sent = 0
        self.over = threading.Event()
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def send(self, octets: bytes) -> None:
        self._peer.sendall(octets)
        self.sent += len(octets)

    def _serve(self) -> None:
        self._peer, _ = self._listener.accept()
        with self._peer, suppress(OSError):
            self._peer.recv(65_536)
            self._answer(self)
        self.over.set()

    @contextmanager
    def running(self) -> Iterator["Hostile"]:
        self._thread.start()
        with self._listener:
            yield self
            self._thread.join(10)
        assert not self._thread.is_alive()


def drip(start: bytes, drop: bytes) -> Callable[[Hostile], None]:
    def answer(server: Hostile) -> None:
        server.send(start)
        while not server.over.wait(0.02):
            server.send(drop)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(drip(b"", b"H"), id="status"),
        pytest.param(drip(START, b"x-slow: yes\r\n"), id="header"),
        pytest.param(drip(START + b"content-length: 250\r\n\r\n", b"x"), id="body"),
    ],
)
def test_answer_that_drips_is_left_at_the_deadline(
    answer: Callable[[Hostile], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "DEADLINE_SECONDS", 0.3)
    began = time.monotonic()
    with Hostile(answer).running() as server:
        with pytest.raises(Undelivered):
            post(Posting(server.url, "1", b"{}", allows_private=True), now=NOW)
        assert time.monotonic() - began < 3


def test_answer_without_an_end_is_read_no_further_than_it_is_shown() -> None:
    def answer(server: Hostile) -> None:
        server.send(START + b"\r\n")
        while True:
            server.send(PIECE)

    with Hostile(answer).running() as server:
        said = post(Posting(server.url, "1", b"{}", allows_private=True), now=NOW)
    assert said == f"200 {'x' * webhook.SHOWN_OCTETS}"
    assert server.sent < 32 * 1024 * 1024  # what the kernel holds between the two


def test_packed_answer_is_not_unpacked() -> None:
    def answer(server: Hostile) -> None:
        length = f"content-length: {len(BOMB)}\r\n\r\n"
        server.send(START + b"content-encoding: gzip\r\n" + length.encode() + BOMB)

    with Hostile(answer).running() as server:
        said = post(Posting(server.url, "1", b"{}", allows_private=True), now=NOW)
    assert "xxx" not in said
    assert len(said) <= webhook.SHOWN_OCTETS + len("200 ")


@contextmanager
def looked_up(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> Iterator[list[str]]:
    """`rebinding.example` stands for one list of addresses after the other."""
    known, left, asked = socket.getaddrinfo, list(answers), []

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host != "rebinding.example":
            return known(host, port, *args, **options)
        asked.append(host)
        addresses = left.pop(0) if len(left) > 1 else left[0]
        return [each for text in addresses for each in known(text, port, *args, **options)]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        patch.setattr("tenants.dns.resolver.is_public", lambda address: address == "127.0.0.1")
        yield asked


def test_address_that_was_judged_is_the_one_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as stack:
        hook = stack.enter_context(http_sink())
        inside = stack.enter_context(socket.create_server(("127.0.0.2", hook.port)))
        inside.settimeout(0)
        asked = stack.enter_context(looked_up(monkeypatch, ["127.0.0.1"], ["127.0.0.2"]))
        url = f"http://rebinding.example:{hook.port}/"

        assert post(Posting(url, "1", b"{}"), now=NOW) == "200 ok"
        assert len(asked) == 1
        with pytest.raises(Undelivered, match="private network"):
            post(Posting(url, "1", b"{}"), now=NOW)
        with pytest.raises(BlockingIOError):
            inside.accept()
    assert hook.received[0][0]["host"] == f"rebinding.example:{hook.port}"


def test_one_private_address_among_others_is_enough_to_refuse(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with http_sink() as hook, looked_up(monkeypatch, ["127.0.0.1", "127.0.0.2"]):
        with pytest.raises(Undelivered, match="private network"):
            post(Posting(f"http://rebinding.example:{hook.port}/", "1", b"{}"), now=NOW)
        assert hook.received == []


def test_refusal_does_not_tell_what_is_inside() -> None:
    """An open port, a closed one and a redirect into the network look alike from outside."""
    with http_sink() as hook:
        told = {refusal(f"http://127.0.0.1:{port}/") for port in (hook.port, free_port())}
        assert hook.received == []
    assert len(told) == 1


def test_redirect_leads_nowhere() -> None:
    with http_sink() as inside, http_sink() as outside:
        outside.status, outside.location = 307, inside.url
        said = refusal(outside.url, allows_private=True)
    assert said.startswith("307")
    assert inside.received == []


def refusal(url: str, *, allows_private: bool = False) -> str:
    with pytest.raises(Undelivered) as told:
        post(Posting(url, "1", b"{}", allows_private=allows_private), now=NOW)
    return str(told.value)
