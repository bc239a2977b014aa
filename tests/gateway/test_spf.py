"""check_host(): the examples of RFC 7208 Appendix A, macros, limits and errors."""

import asyncio
from ipaddress import ip_address

import pytest

from gateway.inspection.notes import LONGEST_NOTE
from gateway.inspection.spf.check import check_host
from gateway.inspection.spf.macros import Macros
from gateway.inspection.spf.record import SpfSyntaxError, is_spf, parse
from gateway.routing.authentication import Result
from tests.gateway.memory_dns import MemoryDns

# RFC 7208 Appendix A: the zones that its examples are about.
ZONE = {
    "example.com MX": ("mail-a.example.com", "mail-b.example.com"),
    "example.com A": ("192.0.2.10", "192.0.2.11"),
    "mail-a.example.com A": ("192.0.2.129",),
    "mail-b.example.com A": ("192.0.2.130",),
    "amy.example.com A": ("192.0.2.65",),
    "bob.example.com A": ("192.0.2.66",),
    "mail-c.example.org A": ("192.0.2.140",),
    "example.org MX": ("mail-c.example.org",),
    "10.2.0.192.in-addr.arpa PTR": ("example.com",),
    "65.2.0.192.in-addr.arpa PTR": ("amy.example.com",),
    "140.2.0.192.in-addr.arpa PTR": ("mail-c.example.org",),
    "mail.v6.example AAAA": ("2001:db8::1:2",),
}
SENDER = "strong-bad@email.example.com"


def check(
    record: str, client: str = "192.0.2.129", *, dns: MemoryDns | None = None, **more: tuple[str]
) -> Result:
    """The result for a client of a domain with this record."""
    asked = dns or MemoryDns(ZONE | {key.replace("__", " "): value for key, value in more.items()})
    asked.records["example.com txt"] = (record,)
    host = ip_address(client)
    work = check_host(host, "example.com", "me@example.com", "helo.example", asked)
    return asyncio.run(work)[0]


@pytest.mark.parametrize(
    ("record", "client", "result"),
    [
        ("v=spf1 +all", "192.0.2.129", "pass"),
        ("v=spf1 a -all", "192.0.2.10", "pass"),
        ("v=spf1 a -all", "192.0.2.65", "fail"),
        ("v=spf1 a:example.org -all", "192.0.2.10", "fail"),
        ("v=spf1 mx -all", "192.0.2.129", "pass"),
        ("v=spf1 mx -all", "192.0.2.140", "fail"),
        ("v=spf1 mx:example.org -all", "192.0.2.140", "pass"),
        ("v=spf1 mx mx:example.org -all", "192.0.2.130", "pass"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.131", "pass"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.141", "pass"),
        ("v=spf1 mx/30 -all", "192.0.2.132", "fail"),
        ("v=spf1 ptr -all", "192.0.2.65", "pass"),
        ("v=spf1 ptr -all", "192.0.2.140", "fail"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.129", "pass"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.65", "fail"),
        ("v=spf1 ip6:2001:db8::/32 -all", "2001:db8::7", "pass"),
        ("v=spf1 a:mail.v6.example//112 -all", "2001:db8::1:ff", "pass"),
        ("v=spf1 ip4:192.0.2.129 -all", "::ffff:192.0.2.129", "pass"),
        ("v=spf1 ~all", "192.0.2.1", "softfail"),
        ("v=spf1 ?all", "192.0.2.1", "neutral"),
        ("v=spf1", "192.0.2.1", "neutral"),
        ("v=spf10 +all", "192.0.2.1", "none"),
    ],
)
def test_record_decides(record: str, client: str, result: str) -> None:
    assert check(record, client) == result


@pytest.mark.parametrize(
    ("included", "result"),
    [
        ("v=spf1 +all", "pass"),
        ("v=spf1 -all", "neutral"),
        ("v=spf1 ~all", "neutral"),
        ("v=spf1 a:", "permerror"),
        ("no policy", "permerror"),
    ],
)
def test_include_matches_a_pass_alone(included: str, result: str) -> None:
    assert check("v=spf1 include:far.example ?all", far__example="x", **{
        "far.example__TXT": (included,)}) == result  # fmt: skip


def test_redirect_takes_the_other_s_result() -> None:
    other = {"far.example__TXT": ("v=spf1 -all",)}
    assert check("v=spf1 redirect=far.example", **other) == "fail"
    assert check("v=spf1 redirect=nobody.example") == "permerror"


def test_dns_trouble_is_no_result() -> None:
    zone = MemoryDns(ZONE, broken=["far.example"])
    assert check("v=spf1 a:far.example +all", dns=zone) == "temperror"
    assert check("v=spf1 +all", dns=MemoryDns({}, broken=["example.com"])) == "temperror"


def test_two_policies_are_an_error() -> None:
    both = MemoryDns({"example.com TXT": ("v=spf1 +all", "v=spf1 -all")})
    host = ip_address("192.0.2.1")
    work = check_host(host, "example.com", "me@example.com", "helo.example", both)
    assert asyncio.run(work)[0] == "permerror"


@pytest.mark.parametrize(
    ("terms", "result"),
    [
        (["a:example.org.a{n}.example" for _ in range(2)], "pass"),
        (["exists:n{n}.example" for _ in range(3)], "permerror"),  # a third void look-up
        (["a:example.com" for _ in range(10)], "pass"),
        (["a:example.com" for _ in range(11)], "permerror"),
    ],
)
def test_look_ups_are_bounded(terms: list[str], result: str) -> None:
    """RFC 7208 §4.6.4."""
    text = " ".join(term.replace("{n}", str(number)) for number, term in enumerate(terms))
    assert check(f"v=spf1 {text} +all", "198.51.100.1") == result


def test_mx_with_more_than_ten_hosts_is_an_error() -> None:
    hosts = tuple(f"m{number}.example.org" for number in range(11))
    dns = MemoryDns(ZONE | {"many.example MX": hosts})
    assert check("v=spf1 mx:many.example -all", dns=dns) == "permerror"


@pytest.mark.parametrize(
    "term",
    ["-all.", "a:", "ip4:1.2.3", "ip4:192.0.2.1/33", "ip6:192.0.2.1", "include", "exists", "mx/33",
     "a//129", "all:x.example", "redirect=", "unknown", "a:%{x}.example", "a:%{c}.example",
     "a:x.example/08", "a:x.1", "a:x.-a", "a:x.a-", "exists:%{d1000}.a", "x=" + "a" * 4096,
     "exists:%{d" + "9" * 4000 + "}.a", "redirect=a.example redirect=b.example", "ip4:192.0.2.1/"],
)  # fmt: skip
def test_syntax_error_anywhere_spoils_the_record(term: str) -> None:
    with pytest.raises(SpfSyntaxError):
        parse(f"v=spf1 +all {term}")


@pytest.mark.parametrize("label", ["a", "a1", "1a", "1-1", "a-b", "1a1", "xn--a", "a.", "1-a-2."])
def test_last_label_is_no_number(label: str) -> None:
    [mechanism] = parse(f"v=spf1 a:x.{label}").mechanisms
    assert mechanism.domain == f"x.{label}"


def test_note_is_short_and_can_be_shown() -> None:
    """It is stored in the trace of each recipient."""
    dns = MemoryDns({"example.com TXT": ("v=spf1 x\0\x9b" + "y" * 4000,)})
    host = ip_address("192.0.2.1")
    result, note = asyncio.run(check_host(host, "example.com", "me@example.com", "h.example", dns))
    assert (result, len(note)) == (Result.PERMERROR, LONGEST_NOTE)
    assert note.startswith("syntax of example.com: x??yyy")


def test_unknown_modifiers_are_passed_over() -> None:
    assert len(parse("v=spf1 moo=%{d} -all").mechanisms) == 1
    assert not is_spf("v=spf1x")


@pytest.mark.parametrize(
    ("text", "name"),
    [  # RFC 7208 §7.4
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l-}", "strong.bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
        ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
        ("%%%_%-", "% %20"),
    ],
)
def test_macros_expand(text: str, name: str) -> None:
    macros = Macros(SENDER, "helo.example", ip_address("192.0.2.3"), "email.example.com")
    assert macros.expand(text) == name


def test_macros_expand_ipv6_and_cut_long_names() -> None:
    macros = Macros(SENDER, "helo.example", ip_address("2001:db8::cb01"), "email.example.com")
    nibbles = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"
    assert macros.expand("%{ir}.%{v}") == f"{nibbles}.ip6"
    assert macros.expand("%{d}." + "label." * 50 + "end") == "label." * 41 + "end"
    assert macros.expand("%{s}." * 500 + "a" * 253) == "a" * 253
    assert macros.expand("%{l}" * 100 + ".a") == "a"
    assert len(macros.expand("%{l}" * 100)) == 254  # what no name can be stays none
