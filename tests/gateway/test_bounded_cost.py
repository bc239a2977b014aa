"""What runs on the event loop over a stranger's octets: four times as many cost about four times.

Sizes are such that a quadratic cost shows, which would be sixteen times.
"""

from collections.abc import Callable
from ipaddress import ip_address

import pytest

from gateway.inspection import claims, dmarc
from gateway.inspection.author import author_of
from gateway.inspection.dkim import canonical
from gateway.inspection.dkim.signature import DkimError, parse_signature
from gateway.inspection.spf import record as spf
from gateway.inspection.spf.macros import Macros
from gateway.routing.address import AddressError, parse_domain
from gateway.smtpd import trace
from tests.gateway.cpu import growth

Work = Callable[[int], Callable[[], object]]
MACROS = Macros("a." * 30 + "a@b.example", "h.example", ip_address("192.0.2.1"), "b.example")


def tried(call: Callable[[], object]) -> Callable[[], object]:
    """The call, which may refuse what it reads."""

    def run() -> object:
        try:
            return call()
        except (AddressError, DkimError, spf.SpfSyntaxError):
            return None

    return run


def author(unit: bytes) -> Work:
    return lambda size: lambda: author_of([(b"From", (unit * size)[:size])])


def stripped(unit: bytes, start: bytes = b"Authentication-Results: ") -> Work:
    return lambda size: lambda: claims.strip(start + (unit * size)[:size] + b"\r\n", "mx.example")


def parsed_spf(start: str, unit: str, end: str = "_ -all") -> Work:
    parse = spf.parse.__wrapped__
    return lambda size: tried(lambda: parse("v=spf1 " + start + (unit * size)[:size] + end))


def expanded(unit: str) -> Work:
    return lambda size: lambda: MACROS.expand((unit * size)[:size])


def signature(unit: bytes) -> Work:
    return lambda size: tried(lambda: parse_signature((unit * size)[:size]))


WORKS: dict[str, tuple[Work, int]] = {
    "From: open quotes": (author(b'"\\'), 1_000),
    "From: commas and quotes": (author(b',"'), 1_000),
    "From: comments": (author(b"(()"), 1_000),
    "From: angles": (author(b'"a" <'), 1_000),
    "claims: comments": (stripped(b"()"), 30_000),
    "claims: comments in comments": (stripped(b"((a)"), 60_000),
    "claims: open comments": (stripped(b"("), 60_000),
    "claims: quoted pairs": (stripped(b"(\\"), 60_000),
    "claims: a quote": (stripped(b"\\a", b'Authentication-Results: "'), 60_000),
    "claims: lines": (stripped(b"\r\n "), 60_000),
    "claims: fields": (stripped(b"x\r\nAuthentication-Results: ("), 60_000),
    "claims: marks": (stripped(b" ", b"X-Sender-Authentication"), 60_000),
    "SPF: a label": (parsed_spf("include:x.", "a"), 1_000),
    "SPF: hyphens": (parsed_spf("include:x.", "a-"), 1_000),
    "SPF: labels": (parsed_spf("include:x", ".a"), 1_000),
    "SPF: slashes": (parsed_spf("a:", "/"), 1_000),
    "SPF: macros": (parsed_spf("exists:", "%{d}"), 1_000),
    "SPF: broken macros": (parsed_spf("exists:", "%{d9"), 1_000),
    "SPF: digits": (parsed_spf("exists:%{d", "9"), 1_000),
    "SPF: delimiters": (parsed_spf("exists:%{d", "-"), 1_000),
    "SPF: modifiers": (parsed_spf("x=", "%{d}"), 1_000),
    "SPF: terms": (parsed_spf("", "a "), 1_000),
    "SPF: long senders": (expanded("%{s}."), 1_000),
    "SPF: dots": (expanded("a."), 100_000),
    "SPF: one label": (expanded("a"), 100_000),
    "DKIM: tags": (signature(b"a=b;"), 60_000),
    "DKIM: names": (signature(b"v=1;h=from:from:"), 60_000),
    "DKIM: blanks": (signature(b" \t"), 60_000),
    "DKIM: fields": (lambda size: lambda: canonical.split_fields(b"a:\r\n" * size), 5_000),
    "DKIM: a blank value": (
        lambda size: lambda: canonical.relaxed_field((b"a", b" \t" * size)),
        50_000,
    ),
    "DKIM: without b=": (lambda size: lambda: canonical.without_signature(b"; " * size), 50_000),
    "DMARC: tags": (
        lambda size: lambda: dmarc.parse.__wrapped__("a.example", "v=DMARC1" + ";p=x" * size),
        5_000,
    ),
    "a domain": (lambda size: tried(lambda: parse_domain.__wrapped__("ü." * size)), 5_000),
    "Message-ID: blanks": (
        lambda size: lambda: trace.message_id(b"message-id:" + b" " * size),
        60_000,
    ),
    "Message-ID: lines": (lambda size: lambda: trace.message_id(b"message-id:\r\n" * size), 5_000),
    "Received: lines": (lambda size: lambda: trace.count_hops(b"received:\r\n" * size), 5_000),
}


@pytest.mark.parametrize("name", WORKS)
def test_cost_grows_no_faster_than_the_octets(name: str) -> None:
    work, size = WORKS[name]

    assert growth(work, size) < 9
