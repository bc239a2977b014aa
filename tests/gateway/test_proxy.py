"""PROXY headers: read from listed proxies alone, and their client is the client of everything."""

import struct
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from ssl import SSLContext
from typing import Any

import pytest

from gateway.models import Message
from gateway.routing import replies
from gateway.routing.replies import Reply
from gateway.smtpd.proxy import SIGNATURE, ProxyError, read_header
from tests.gateway.live import LiveGateway, Wire
from tests.gateway.stage import Stage
from tests.gateway.test_smtpd import stored_octets
from tests.gateway.test_starttls import encrypted

Opener = Callable[..., LiveGateway]


def binary(
    source: str, *, command: int = 1, family: int | None = None, extra: bytes = b""
) -> bytes:
    """A header of version 2."""
    address = ip_address(source)
    kind = family if family is not None else 0x11 if address.version == 4 else 0x21
    block = address.packed * 2 + struct.pack("!HH", 1, 25) + extra
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, kind, len(block)) + block


V4, V6 = b"PROXY TCP4 192.0.2.9 192.0.2.1 1000 25\r\n", "2001:db8::9"
READ = {
    "1: TCP4": (V4, "192.0.2.9"),
    "1: TCP6": (b"PROXY TCP6 2001:db8::9 2001:db8::1 1000 25\r\n", V6),
    "1: mapped": (b"PROXY TCP6 ::ffff:192.0.2.9 ::1 1000 25\r\n", "192.0.2.9"),
    "1: unknown": (b"PROXY UNKNOWN\r\n", None),
    "1: unknown with addresses": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    "2: TCP4": (binary("192.0.2.9"), "192.0.2.9"),
    "2: TCP6": (binary(V6), V6),
    "2: extensions": (binary("192.0.2.9", extra=b"\x04\x00\x02ab"), "192.0.2.9"),
    "2: local": (binary("192.0.2.9", command=0), None),
    "2: unspecified": (binary("192.0.2.9", family=0), None),
    "2: UNIX": (binary("192.0.2.9", family=0x31), None),
}
REFUSED = {
    "no header": b"EHLO client.example\r\n",
    "1: lower case": b"proxy TCP4 192.0.2.9 192.0.2.1 1 25\r\n",
    "1: other family": b"PROXY TCP4 ::1 ::1 1 25\r\n",
    "1: no address": b"PROXY TCP4 a b 1 25\r\n",
    "1: octal": b"PROXY TCP4 192.0.2.09 192.0.2.1 1 25\r\n",
    "1: zone": b"PROXY TCP6 fe80::1%eth0 ::1 1 25\r\n",
    "1: port": b"PROXY TCP4 192.0.2.9 192.0.2.1 65536 25\r\n",
    "1: spaces": b"PROXY  TCP4 192.0.2.9 192.0.2.1 1 25\r\n",
    "1: no end": b"PROXY UNKNOWN " + b"x" * 100,
    "2: version": SIGNATURE + b"\x31\x11\x00\x00",
    "2: command": SIGNATURE + b"\x22\x11\x00\x00",
    "2: short": SIGNATURE + b"\x21\x11\x00\x04abcd",
}


@pytest.mark.parametrize(("octets", "client"), READ.values(), ids=READ.keys())
def test_header_is_read_and_what_follows_is_left(octets: bytes, client: str | None):
    header = read_header(octets + b"EHLO x\r\n")

    assert header is not None
    assert header.client == (ip_address(client) if client else None)
    assert header.size_octets == len(octets)


@pytest.mark.parametrize(("octets", "client"), READ.values(), ids=READ.keys())
def test_part_of_a_header_waits_for_the_rest(octets: bytes, client: str | None):
    assert [read_header(octets[:size]) for size in range(len(octets))] == [None] * len(octets)


@pytest.mark.parametrize("octets", REFUSED.values(), ids=REFUSED.keys())
def test_anything_else_is_no_header(octets: bytes):
    with pytest.raises(ProxyError):
        read_header(octets)


# --- over sockets ------------------------------------------------------------


@pytest.fixture
def proxied(opened: Opener) -> Opener:
    """Opens a gateway for which this machine is a proxy."""

    def open_gateway(options: dict[str, Any] | None = None, **limits: Any) -> LiveGateway:
        return opened(options, proxies=(ip_network("127.0.0.0/8"),), **limits)

    return open_gateway


def introduce(gateway: LiveGateway, header: bytes) -> Wire:
    """A connection that begins with the header, up to the reply to EHLO."""
    wire = gateway.open()
    wire.write(header)
    wire.talk("S: 220 localhost ESMTP\nC: EHLO client.example\nS: 250 ")
    return wire


@pytest.mark.parametrize("header", [V4, binary("192.0.2.9")], ids=["1", "2"])
def test_proxied_client_is_recorded_and_shown(proxied: Opener, stage: Stage, header: bytes):
    stage.alias("hello")
    with introduce(proxied(), header) as wire:
        wire.talk(
            f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{stage.address('hello')}>\nS: 250\n"
            f"C: RCPT TO:<nobody@{stage.domain.name}>\nS: 550\nC: DATA\nS: 354"
        )
        reply = wire.send_content(b"x\r\n")

    message = Message.objects.get(queue_id=reply.rpartition(" ")[2])
    assert message.client == "192.0.2.9"
    assert message.records.get().client == "192.0.2.9"
    assert stored_octets(message).startswith(b"Received: from client.example ([192.0.2.9])")


def test_header_in_single_octets_with_commands_behind_it(proxied: Opener):
    with proxied().open() as wire:
        for octet in V4 + b"EHLO client.example\r\nNOOP\r\n":
            wire.write(bytes([octet]))
        wire.talk("S: 220 \nS: 250 \nS: 250 2.0.0")
    with proxied().open() as wire:
        wire.write(V4 + b"EHLO client.example\r\nNOOP\r\n")
        wire.talk("S: 220 \nS: 250 \nS: 250 2.0.0")


def test_limits_are_those_of_the_proxied_client(proxied: Opener):
    gateway = proxied(max_connections_per_client=1)
    with introduce(gateway, V4), introduce(gateway, binary(V6)), gateway.open() as third:
        third.write(V4)
        assert third.reply() == str(replies.TOO_MANY_OF_CLIENT)


def test_proxy_that_speaks_for_itself_is_the_client(proxied: Opener, stage: Stage):
    stage.alias("hello")
    with introduce(proxied(), b"PROXY UNKNOWN\r\n") as wire:
        wire.talk(f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{stage.address('hello')}>\nS: 250")
        wire.talk("C: DATA\nS: 354")
        reply = wire.send_content(b"x\r\n")

    assert Message.objects.get(queue_id=reply.rpartition(" ")[2]).client == "127.0.0.1"


@pytest.mark.parametrize(
    ("octets", "reply"),
    [
        (b"", replies.IDLE),
        (b"PROXY TCP4", replies.IDLE),
        (b"\r\n\r\n", replies.IDLE),
        (b"EHLO client.example\r\n", replies.UNINTRODUCED),
    ],
)
def test_proxy_without_a_header_is_cut_with_421(proxied: Opener, octets: bytes, reply: Reply):
    with proxied(handshake_seconds=0.3).open() as wire:
        wire.write(octets)
        assert wire.reply_or_end() == str(reply)
        assert wire.reply_or_end() == ""


@pytest.mark.parametrize("header", [V4, binary("192.0.2.9")], ids=["1", "2"])
def test_header_of_a_stranger_is_a_syntax_error(gateway: LiveGateway, stage: Stage, header: bytes):
    with gateway.connect() as wire:
        wire.write(header)
        assert wire.reply().startswith("500 5.5.")


def test_proxied_client_is_kept_over_starttls(proxied: Opener, stage: Stage, tls: SSLContext):
    stage.alias("hello")
    with introduce(proxied({"tls": tls}), V4) as outside, encrypted(outside) as wire:
        wire.talk("C: EHLO client.example\nS: 250 ")
        wire.talk(f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{stage.address('hello')}>\nS: 250")
        wire.talk("C: DATA\nS: 354")
        reply = wire.send_content(b"x\r\n")

    assert Message.objects.get(queue_id=reply.rpartition(" ")[2]).client == "192.0.2.9"
