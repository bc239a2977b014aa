"""Authenticated load: what is signed verifies by what is published, and a server that checks
nothing is found out."""

import dkim
import pytest
from dnslib import QTYPE, DNSRecord
from dnslib.zoneresolver import ZoneResolver

from benchmarks import author
from benchmarks.measures.authenticated import lacks
from benchmarks.messages import SignedMessages

RESULTS = (
    b"Received: from a by b\r\nAuthentication-Results: b;\r\n\tspf=pass smtp.mailfrom=a;\r\n"
    b"\tdkim=pass header.d=a;\r\n\tdmarc=pass header.from=a\r\nSubject: x\r\n\r\n"
)


def published(name: bytes) -> bytes:
    """The TXT record that the author's zone holds at a name."""
    question = DNSRecord.question(name.decode(), "TXT")
    answer = ZoneResolver(author.zone()).resolve(question, None)
    found = [each for each in answer.rr if QTYPE[each.rtype] == "TXT"]
    return b"".join(found[0].rdata.data) if found else b""


def test_signed_messages_verify_and_differ():
    messages = SignedMessages(2_000, "1.test", author.secret())
    first, second = next(messages), next(messages)

    assert first != second
    for message in (first, second):
        assert dkim.verify(
            message.removesuffix(b".\r\n"), dnsfunc=lambda name, **_: published(name)
        )


def test_zone_lets_loopback_send():
    assert published(author.DOMAIN.encode()).startswith(b"v=spf1 ip4:127.0.0.0/8")


@pytest.mark.parametrize(
    ("message", "lacking"),
    [
        (RESULTS, []),
        (RESULTS.replace(b"dkim=pass", b"dkim=fail"), ["dkim=pass"]),
        (b"Subject: dmarc=pass\r\n\r\nspf=pass", ["spf=pass", "dkim=pass", "dmarc=pass"]),
    ],
)
def test_server_that_does_not_check_is_found_out(message, lacking):
    assert lacks(message) == lacking
