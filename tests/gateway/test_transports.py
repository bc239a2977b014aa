"""SMTP and LMTP over real sockets: what is said, and what comes of the answers."""

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from pytest_django import Settings

from gateway.routing.facts import Hop
from gateway.smarthost import Login
from gateway.transports import Envelope, Outcome, Result
from gateway.transports.lmtp import LmtpTransport
from gateway.transports.smtp import SmtpTransport
from mailrouting import certificate
from tests.gateway.sink import Sink, free_port, running

pytestmark = pytest.mark.usefixtures("socket_enabled")

CONTENT = b"Subject: x\r\n\r\nbody\r\n"
ASCII = Envelope(UUID(int=7), "ann@sender.example", "box@store.example", "bob@hosted.example")


def send(
    sink_or_port: Sink | int,
    envelope: Envelope = ASCII,
    *,
    octets: bytes = CONTENT,
    tls: str = "none",
    login: Login | None = None,
    kind: type[SmtpTransport] = SmtpTransport,
    host: str = "127.0.0.1",
) -> Outcome:
    """One message over a fresh connection."""
    port = sink_or_port if isinstance(sink_or_port, int) else sink_or_port.port
    protocol = "lmtp" if kind is LmtpTransport else "smtp"
    hop = Hop(1, protocol, host, port, tls)

    async def talk() -> Outcome:
        transport = kind(hop, hostname="gateway.example", login=login)
        try:
            return (await transport.send([envelope], octets))[0]
        finally:
            await transport.close()

    return asyncio.run(talk())


@pytest.fixture
def listen() -> Iterator[Callable[..., Sink]]:
    """Starts sinks with options of aiosmtpd; all are stopped at the end."""
    opened: list[AbstractContextManager[Sink]] = []

    def start(**options: object) -> Sink:
        opened.append(running(Sink(**options)))
        return opened[-1].__enter__()

    yield start
    for each in opened:
        each.__exit__(None, None, None)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    return certificate.ensure(tmp_path, hostname="localhost", now=datetime.now(UTC))


@pytest.fixture
def server_tls(files: tuple[Path, Path]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context


def test_mail_carries_the_parameters_that_are_offered_and_needed(
    listen: Callable[..., Sink],
) -> None:
    sink = listen(enable_SMTPUTF8=True)
    envelope = Envelope(UUID(int=7), "änn@sender.example", "böx@store.example", "b@h.example", True)
    assert send(sink, envelope, octets=b"Subject: \xc3\xa4\r\n\r\n\xe4\r\n").result == "delivered"
    [received] = sink.received
    assert set(received.mail_options) == {
        f"SIZE={len(received.octets)}",
        "BODY=8BITMIME",
        "SMTPUTF8",
    }
    assert received.recipients == ("böx@store.example",)


def test_internationalised_mail_fails_where_the_hop_cannot_take_it(
    listen: Callable[..., Sink],
) -> None:
    sink = listen(enable_SMTPUTF8=False)
    envelope = Envelope(UUID(int=7), "", "böx@store.example", "b@hosted.example", True)
    outcome = send(sink, envelope)
    assert outcome.result is Result.FAILED
    assert outcome.reply.startswith("553 5.6.7")
    assert not sink.received


def test_smtputf8_without_need_does_not_shut_out_an_older_hop(listen: Callable[..., Sink]) -> None:
    envelope = Envelope(UUID(int=7), "", "box@store.example", "b@hosted.example", smtputf8=True)
    sink = listen(enable_SMTPUTF8=False)
    assert send(sink, envelope, octets=b"Subject: x\r\n\r\n\xe4\r\n").result == "delivered"


def test_message_above_the_hop_size_fails_before_it_is_sent(listen: Callable[..., Sink]) -> None:
    sink = listen(data_size_limit=100)
    outcome = send(sink, octets=CONTENT + b"x" * 200 + b"\r\n")
    assert (outcome.result, outcome.reply[:9]) == (Result.FAILED, "552 5.3.4")
    assert not sink.received


def test_message_without_a_last_line_end_gets_one(listen: Callable[..., Sink]) -> None:
    sink = listen()
    send(sink, octets=b"Subject: x\r\n\r\nno end")
    assert sink.received[0].content == b"Subject: x\r\n\r\nno end\r\n"


# --- TLS --------------------------------------------------------------------


def test_starttls_is_used_when_offered_whatever_the_certificate(
    listen: Callable[..., Sink], server_tls: ssl.SSLContext
) -> None:
    sink = listen(tls_context=server_tls, require_starttls=True)
    assert send(sink, tls="opportunistic").result == "delivered"


def test_opportunistic_goes_on_without_tls_where_it_is_broken(
    listen: Callable[..., Sink], server_tls: ssl.SSLContext
) -> None:
    server_tls.set_ciphers("NULL:@SECLEVEL=0")
    server_tls.maximum_version = ssl.TLSVersion.TLSv1_2
    sink = listen(tls_context=server_tls)
    assert send(sink, tls="opportunistic").result == "delivered"


def test_required_tls_checks_the_certificate(
    listen: Callable[..., Sink],
    server_tls: ssl.SSLContext,
    files: tuple[Path, Path],
    settings: Settings,
) -> None:
    sink = listen(tls_context=server_tls)
    outcome = send(sink, tls="required")
    assert (outcome.result, outcome.is_unreachable) == (Result.DEFERRED, True)
    assert "certificate" in outcome.reply
    settings.DELIVERY_TLS_CA_FILE = str(files[0])
    assert send(sink, tls="required").result == "delivered"


def test_required_tls_that_is_not_offered_defers(listen: Callable[..., Sink]) -> None:
    outcome = send(listen(), tls="required")
    assert outcome.result is Result.DEFERRED
    assert "STARTTLS" in outcome.reply


def test_implicit_tls(
    listen: Callable[..., Sink],
    server_tls: ssl.SSLContext,
    files: tuple[Path, Path],
    settings: Settings,
) -> None:
    settings.DELIVERY_TLS_CA_FILE = str(files[0])
    sink = listen(ssl_context=server_tls)
    assert send(sink, tls="implicit").result == "delivered"


def test_password_is_sent_inside_tls_only(
    listen: Callable[..., Sink],
    server_tls: ssl.SSLContext,
    files: tuple[Path, Path],
    settings: Settings,
) -> None:
    asked: list[LoginPassword] = []

    def check(_server: SMTP, _session: object, _envelope: object, _how: str, said: LoginPassword):  # type: ignore[no-untyped-def]
        asked.append(said)
        return AuthResult(success=said.password == b"right", handled=False)

    settings.DELIVERY_TLS_CA_FILE = str(files[0])
    sink = listen(tls_context=server_tls, authenticator=check, auth_required=True)
    right, wrong = Login("me", "right"), Login("me", "wrong")
    assert send(sink, tls="required", login=right).result == "delivered"
    outcome = send(sink, tls="required", login=wrong)
    assert (outcome.result, outcome.is_unreachable) == (Result.DEFERRED, True)
    assert outcome.reply.startswith("535")
    del asked[:]
    bare = send(listen(), tls="opportunistic", login=right)
    assert "password is not sent" in bare.reply
    assert not asked


# --- hops that misbehave ----------------------------------------------------


@pytest.mark.parametrize(
    ("dialogue", "expected"),
    [
        (b"554 5.3.2 no service\r\n", "554 5.3.2 no service"),
        (b"garbage\r\n", "Malformed"),
        (b"", "Error connecting"),
        (b"220 hello\r\n", ""),
    ],
)
def test_hop_that_does_not_get_to_mail_is_unreachable(dialogue: bytes, expected: str) -> None:
    async def main() -> Outcome:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(dialogue)
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            transport = SmtpTransport(
                Hop(1, "smtp", "127.0.0.1", port, "none"), hostname="g.example"
            )
            return (await transport.send([ASCII], CONTENT))[0]

    outcome = asyncio.run(main())
    assert (outcome.result, outcome.is_unreachable) == (Result.DEFERRED, True)
    assert expected in outcome.reply


def test_nobody_listening_is_unreachable() -> None:
    outcome = send(free_port())
    assert (outcome.result, outcome.is_unreachable) == (Result.DEFERRED, True)


def test_name_that_cannot_be_found_is_unreachable() -> None:
    async def talk() -> Outcome:
        hop = Hop(1, "smtp", "no-such-host.invalid", 25, "none")
        transport = SmtpTransport(hop, hostname="gateway.example")
        return (await transport.send([ASCII], CONTENT))[0]

    assert asyncio.run(talk()).is_unreachable


@pytest.fixture
def dead() -> Iterator[tuple[str, int]]:
    """Where connecting takes for ever: a listener whose queue is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for each in (first, second):
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        yield listener.getsockname()


@pytest.fixture
def known_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Gives every host these addresses."""

    def set_addresses(*places: tuple[str, int]) -> None:
        async def find(*_arguments: object, **_options: object) -> list[tuple[object, ...]]:
            kind = socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, ""
            return [(*kind, place) for place in places]

        monkeypatch.setattr(asyncio.BaseEventLoop, "getaddrinfo", find)

    return set_addresses


def test_hop_with_a_dead_first_address_is_reached_at_the_next(
    listen: Callable[..., Sink],
    dead: tuple[str, int],
    known_at: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.transports.smtp.CONNECT_SECONDS", 0.4)
    sink = listen()
    known_at(dead, ("127.0.0.1", sink.port))
    assert send(sink, host="mx.store.example").result == Result.DELIVERED


def test_hop_that_no_address_reaches_says_why_of_each(
    dead: tuple[str, int], known_at: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transports.smtp.CONNECT_SECONDS", 0.2)
    known_at(("127.0.0.1", free_port()), dead)
    outcome = send(25, host="mx.store.example")
    assert (outcome.result, outcome.is_unreachable) == (Result.DEFERRED, True)
    assert outcome.reply == (
        "Error connecting to mx.store.example on port 25: 127.0.0.1: Connection refused; "
        "127.0.0.1: no answer in time"
    )


def test_long_reply_is_cut() -> None:
    assert len(Outcome(Result.DEFERRED, "x" * 5000).reply) == 1000


# --- LMTP -------------------------------------------------------------------


def test_lmtp_greets_with_lhlo_and_takes_the_one_reply(listen: Callable[..., Sink]) -> None:
    sink = listen(is_lmtp=True)
    sink.script.recipients = {"gone@store.example": "550 5.1.1 no such mailbox"}
    assert send(sink, kind=LmtpTransport).result == "delivered"
    gone = Envelope(UUID(int=8), "", "gone@store.example", "bob@hosted.example")
    outcome = send(sink, gone, kind=LmtpTransport)
    assert (outcome.result, outcome.reply) == (Result.FAILED, "550 5.1.1 no such mailbox")
    assert [each.recipients for each in sink.received] == [("box@store.example",)]


def test_smtp_server_in_place_of_lmtp_is_unreachable(listen: Callable[..., Sink]) -> None:
    outcome = send(listen(), kind=LmtpTransport)
    assert outcome.is_unreachable
