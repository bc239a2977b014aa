"""STARTTLS (RFC 3207): nothing said outside counts inside, and it is done once."""

import ssl
from collections.abc import Callable

import pytest

from gateway.models import Message
from gateway.routing import replies
from tests.gateway.live import LiveGateway, Wire
from tests.gateway.stage import Stage
from tests.waiting import wait_until

Opener = Callable[..., LiveGateway]


def encrypted(wire: Wire, *, injected: bytes = b"") -> Wire:
    """The same connection inside TLS; `injected` is sent in the clear with the STARTTLS."""
    wire.write(b"STARTTLS\r\n" + injected)
    assert wire.reply() == "220 Ready to start TLS"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return Wire(context.wrap_socket(wire.connection))


@pytest.fixture
def gateway(opened: Opener, tls: ssl.SSLContext) -> LiveGateway:
    return opened({"tls": tls})


def keywords(wire: Wire) -> list[str]:
    """What EHLO offers."""
    wire.write(b"EHLO client.example\r\n")
    lines = []
    while not lines or lines[-1][3:4] == "-":
        lines.append(wire.line())
    return [line[4:].split()[0] for line in lines[1:]]


def test_offered_outside_alone_and_auth_never(gateway: LiveGateway):
    with gateway.connect() as outside:
        assert "STARTTLS" in keywords(outside)
        assert "AUTH" not in keywords(outside)
        assert outside.command("AUTH PLAIN AGEAYg==").startswith("502")
        with encrypted(outside) as wire:
            offered = keywords(wire)
            assert {"SIZE", "8BITMIME", "SMTPUTF8", "PIPELINING", "CHUNKING"} <= set(offered)
            assert {"STARTTLS", "AUTH"}.isdisjoint(offered)
            assert wire.command("AUTH PLAIN AGEAYg==").startswith("502")


def test_second_one_is_refused(gateway: LiveGateway):
    with gateway.connect() as outside, encrypted(outside) as wire:
        assert wire.command("STARTTLS") == str(replies.TLS_ALREADY)
        assert wire.command("NOOP") == str(replies.OK)


def test_state_is_forgotten(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    with gateway.connect() as outside:
        outside.talk(f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{stage.address('hello')}>\nS: 250")
        with encrypted(outside) as wire:
            assert wire.command("DATA") == str(replies.NEEDS_RCPT)
            assert wire.command("MAIL FROM:<>") == str(replies.NEEDS_HELO)
            wire.command("EHLO client.example")
            assert wire.command("MAIL FROM:<>") == str(replies.SENDER_OK)


def test_state_is_forgotten_amid_chunks(gateway: LiveGateway, stage: Stage):
    stage.alias("hello")
    with gateway.connect() as outside:
        outside.talk(f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{stage.address('hello')}>\nS: 250")
        outside.write(b"BDAT 3\r\nx\r\n")
        assert outside.reply() == str(replies.OK)
        with encrypted(outside) as wire:
            assert wire.command("BDAT 0 LAST") == str(replies.NEEDS_RCPT)
    assert gateway.server.services.data_in_flight == 0


@pytest.mark.parametrize(
    "injected", [b"NOOP\r\n", b"RSET\r\nMAIL FROM:<evil@x.example>\r\n", b"EHLO evil.example\r\nMA"]
)
def test_what_was_injected_before_the_handshake_is_never_heard(
    gateway: LiveGateway, injected: bytes
):
    with gateway.connect() as outside, encrypted(outside, injected=injected) as wire:
        wire.command("EHLO client.example")
        assert wire.command("MAIL FROM:<>") == str(replies.SENDER_OK)
        assert wire.command("QUIT").startswith("221")


def test_client_that_ends_inside_after_the_final_dot_has_its_message_stored(
    gateway: LiveGateway, stage: Stage
):
    stage.alias("hello")
    with gateway.connect() as outside, encrypted(outside) as wire:
        wire.talk("C: EHLO client.example\nS: 250 ")
        wire.talk(f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{stage.address('hello')}>\nS: 250")
        wire.talk("C: DATA\nS: 354")
        wire.write(b"Subject: x\r\n\r\nx\r\n.\r\n")

    wait_until(lambda: Message.objects.filter(records__domain=stage.domain).count() == 1)
