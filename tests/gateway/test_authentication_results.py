"""Authentication-Results: what we write, and what nobody else may write in our name."""

import authres
import pytest

from gateway.inspection.authentication_results import field, strip
from gateway.routing.address import Address
from gateway.routing.authentication import Dmarc, Findings, Policy, Result, Signature, Spf

US = "mx.a.example"
REST = b"Subject: x\r\nFrom: ann@b.example\r\n"


@pytest.mark.parametrize(
    "claim",
    [
        b"Authentication-Results: mx.a.example; spf=pass\r\n",
        b"authentication-results:mx.a.example 1; spf=pass\r\n",
        b"AUTHENTICATION-RESULTS : \r\n\t MX.A.Example\r\n ;\r\n spf=pass\r\n",
        b'Authentication-Results: "mx.a.example"; none\r\n',
        b'Authentication-Results: "mx\\.a.example"; none\r\n',
        b"Authentication-Results: (a (nested \\) one)) (b) mx.a.example; none\r\n",
        b"Authentication-Results: " + b"(x)\r\n " * 5000 + b"mx.a.example; none\r\n",
        b"Authentication-Results: " + b"(" * 9 + b")" * 9 + b"mx.a.example; none\r\n",
        b"Authentication-Results: (it never ends mx.a.example; none\r\n",
        b"Authentication-Results: mx.a.example.; none\r\n",
        b"Authentication-Results: mx.a.example/1; none\r\n",
        b"Authentication-Results: mx.a.example(c); none\r\n",
    ],
)
def test_claim_to_be_ours_is_taken_out_wherever_it_stands(claim: bytes) -> None:
    first, last = REST.splitlines(keepends=True)
    assert strip(claim + REST, US) == REST
    assert strip(first + claim + last + claim, US) == REST


@pytest.mark.parametrize(
    "kept",
    [
        b"Authentication-Results: mx.b.example; spf=pass smtp.mailfrom=mx.a.example\r\n",
        b"Authentication-Results: (((((x))) (y))) mx.b.example (mx.a.example); none\r\n",
        b"Authentication-Results: ; none\r\n",
        b"Authentication-Results: notmx.a.example; none\r\n",
        b"X-Authentication-Results: mx.a.example; none\r\n",
        b"Subject: y\r\n Authentication-Results: mx.a.example; none\r\n",
        b"ARC-Authentication-Results: i=1; mx.a.example; none\r\n",
        b"",
    ],
)
def test_fields_of_others_stay(kept: bytes) -> None:
    assert strip(kept + REST, US) is None


def test_field_reads_as_it_was_meant() -> None:
    found = Findings(
        Address.parse("ann@b.example"),
        Spf(Result.FAIL, "c.example", note='a "note"\r\nX: forged'),
        (
            Signature(Result.PASS, "b.example", "s1", "rsa-sha256"),
            Signature(Result.NEUTRAL, note="selector is malformed"),
        ),
        Dmarc(Result.PASS, Policy.REJECT),
    )
    octets = field(US, found)
    assert octets.count(b"\r\n") == octets.count(b"\r\n\t") + 1
    parsed = authres.AuthenticationResultsHeader.parse(octets.decode().replace("\r\n\t", " "))
    assert parsed.authserv_id == US
    shown = [f"{each.method}={each.result}" for each in parsed.results]
    assert shown == ["spf=fail", "dkim=pass", "dkim=neutral", "dmarc=pass"]
    assert parsed.results[1].header_d == "b.example"
    [author] = parsed.results[3].properties
    assert (author.type, author.name, author.value) == ("header", "from", "b.example")


def test_nothing_found_is_said_so() -> None:
    found = Findings(None, Spf(Result.NONE, is_helo=True), (), Dmarc(Result.PERMERROR))
    methods = b";\r\n\tspf=none;\r\n\tdkim=none;\r\n\tdmarc=permerror\r\n"
    assert field(US, found) == b"Authentication-Results: mx.a.example" + methods


def test_header_that_was_cut_in_a_line_end_costs_no_more_than_another() -> None:
    """Backtracking would take years here: a stranger chooses where the limit cuts."""
    cut = b"Subject: x\r\nAuthentication-Results: " + b"a" * 1000 + b"\r\r\n"

    assert strip(cut, "mx.example") is None
