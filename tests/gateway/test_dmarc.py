"""Tree walk, organisational domain, policy and alignment: RFC 9989 as tables."""

import asyncio

import pytest

from gateway.inspection import dmarc
from gateway.inspection.alignment import align
from gateway.routing.address import Address
from gateway.routing.authentication import Findings, Policy, Result, Signature, Spf
from tests.gateway.memory_dns import MemoryDns

REJECT, NONE = "v=DMARC1; p=reject", "v=DMARC1; p=none"


def records(**texts: str) -> dict[str, tuple[str, ...]]:
    """DMARC records by domain, with `__` for a dot."""
    return {f"_dmarc.{name.replace('__', '.')} TXT": (text,) for name, text in texts.items()}


def walk(domain: str, dns: MemoryDns) -> dmarc.Walk:
    return asyncio.run(dmarc.walk(domain, dns))


def test_walk_asks_at_most_eight_names() -> None:
    dns = MemoryDns({})
    walk("a.b.c.d.e.f.g.h.i.j.mail.example.com", dns)
    assert dns.asked == [
        "_dmarc.a.b.c.d.e.f.g.h.i.j.mail.example.com TXT",
        "_dmarc.g.h.i.j.mail.example.com TXT",
        "_dmarc.h.i.j.mail.example.com TXT",
        "_dmarc.i.j.mail.example.com TXT",
        "_dmarc.j.mail.example.com TXT",
        "_dmarc.mail.example.com TXT",
        "_dmarc.example.com TXT",
        "_dmarc.com TXT",
    ]


@pytest.mark.parametrize(
    ("texts", "organisation"),
    [
        ({}, "a.mail.example.com"),
        ({"example__com": REJECT}, "example.com"),
        ({"mail__example__com": NONE, "example__com": REJECT}, "example.com"),
        ({"com": "v=DMARC1; psd=y"}, "example.com"),
        ({"example__com": "v=DMARC1; psd=y"}, "mail.example.com"),
        ({"mail__example__com": "v=DMARC1; psd=n", "example__com": REJECT}, "mail.example.com"),
        ({"a__mail__example__com": "v=DMARC1; psd=y", "com": NONE}, "com"),
        ({"example__com": "v=DMARC1; p=reject", "com": "v=DMARC1; psd=y"}, "example.com"),
    ],
)
def test_organisational_domain_follows_the_records(
    texts: dict[str, str], organisation: str
) -> None:
    assert walk("a.mail.example.com", MemoryDns(records(**texts))).organisation == organisation


def test_several_records_at_a_name_count_as_none() -> None:
    dns = MemoryDns({"_dmarc.example.com TXT": (REJECT, NONE)})
    assert walk("example.com", dns).records == ()
    beside = MemoryDns({"_dmarc.example.com TXT": (REJECT, "some other text")})
    assert len(walk("example.com", beside).records) == 1


@pytest.mark.parametrize(
    ("author", "texts", "exists", "policy"),
    [
        ("example.com", {"example__com": "v=DMARC1; p=reject; sp=none"}, True, "reject"),
        ("a.example.com", {"example__com": "v=DMARC1; p=reject; sp=none"}, True, "none"),
        ("a.example.com", {"example__com": "v=DMARC1; p=quarantine"}, True, "quarantine"),
        ("a.example.com", {"example__com": "v=DMARC1; p=none; np=reject"}, False, "reject"),
        ("a.example.com", {"example__com": "v=DMARC1; p=none; np=reject"}, True, "none"),
        ("a.example.com", {"example__com": "v=DMARC1; p=none; sp=reject"}, False, "reject"),
        ("example.com", {"example__com": "v=DMARC1; p=reject; t=y"}, True, "quarantine"),
        ("example.com", {"example__com": "v=DMARC1; p=quarantine; t=y"}, True, "none"),
        ("example.com", {"com": "v=DMARC1; psd=y; p=none; np=reject"}, False, "reject"),
        ("example.com", {"example__com": "v=DMARC1; pct=10; p=reject"}, True, "reject"),
        ("example.com", {"example__com": "v=DMARC1"}, True, "none"),
        ("example.com", {"example__com": "v=DMARC1; p=x; rua=mailto:d@example.com"}, True, "none"),
        (
            "a.mail.example.com",
            {"mail__example__com": NONE, "example__com": REJECT},
            True,
            "reject",
        ),
    ],
)
def test_policy_is_the_nearest_record_s(
    author: str, texts: dict[str, str], exists: bool, policy: str
) -> None:
    names = {f"{author} A": ("192.0.2.1",)} if exists else {}
    found = findings(author, MemoryDns(records(**texts) | names))
    assert (found.dmarc.result, found.dmarc.policy) == (Result.FAIL, policy)


@pytest.mark.parametrize(
    "text",
    [
        "v=DMARC2; p=reject",
        "p=reject",
        "v=DMARC1 p=reject",
        "V=dmarc1",
        "v=DMARC1; p=reject; x=" + "x" * dmarc.LONGEST_OCTETS,
    ],
)
def test_other_texts_are_no_records(text: str) -> None:
    assert dmarc.parse("example.com", text) is None


def test_record_without_a_readable_policy_means_no_dmarc() -> None:
    dns = MemoryDns(records(example__com="v=DMARC1; p=refuse"))
    assert findings("example.com", dns).dmarc.result is Result.NONE


PASS = Result.PASS


def findings(author: str, dns: MemoryDns, *, spf: Spf | None = None, **dkim: Result) -> Findings:
    signatures = tuple(
        Signature(result, domain.replace("__", ".")) for domain, result in dkim.items()
    )
    ann = Address.parse(f"ann@{author}")
    return asyncio.run(align(ann, spf or Spf(Result.NONE), signatures, dns))


@pytest.mark.parametrize(
    ("tags", "spf", "result"),
    [
        ("", "example.com", "pass"),
        ("", "bounce.example.com", "pass"),
        ("; aspf=s", "bounce.example.com", "fail"),
        ("; aspf=s", "example.com", "pass"),
        ("; adkim=s", "bounce.example.com", "pass"),
        ("", "notexample.com", "fail"),
        ("", "com", "fail"),
    ],
)
def test_spf_is_aligned(tags: str, spf: str, result: str) -> None:
    dns = MemoryDns(records(example__com=REJECT + tags))
    assert findings("example.com", dns, spf=Spf(PASS, spf)).dmarc.result == result


def test_any_aligned_signature_passes() -> None:
    dns = MemoryDns(records(example__com=f"{REJECT}; adkim=s"))
    assert findings("example.com", dns, list__example=PASS).dmarc.result is Result.FAIL
    assert findings("example.com", dns, a__example__com=PASS).dmarc.result is Result.FAIL
    both = findings("example.com", dns, list__example=PASS, example__com=PASS)
    assert both.dmarc.result is PASS
    assert [each.is_aligned for each in both.signatures] == [False, True]


def test_neighbours_below_a_public_suffix_are_not_aligned() -> None:
    dns = MemoryDns(records(example="v=DMARC1; psd=y; p=reject", a__example=REJECT))
    assert findings("a.example", dns, spf=Spf(PASS, "b.example")).dmarc.result is Result.FAIL


def test_without_records_only_the_very_domain_is_aligned() -> None:
    assert findings("example.com", MemoryDns({}), spf=Spf(PASS, "example.com")).spf.is_aligned
    below = findings("example.com", MemoryDns({}), spf=Spf(PASS, "a.example.com"))
    assert below.spf.is_aligned is False
    assert below.dmarc.result is Result.NONE


def test_dns_trouble_leaves_dmarc_open() -> None:
    lost = MemoryDns({}, broken=["_dmarc.example.com"])
    found = findings("example.com", lost, spf=Spf(PASS, "b.example.com"), example__com=PASS)
    assert found.dmarc.result is Result.TEMPERROR
    assert found.spf.is_aligned is None
    assert found.signatures[0].is_aligned is True
    dns = MemoryDns(records(example__com=REJECT))
    late = Spf(Result.TEMPERROR, "example.com")
    assert findings("example.com", dns, spf=late).dmarc.result is Result.TEMPERROR
    assert findings("example.com", dns, spf=Spf(Result.TEMPERROR, "x.test")).dmarc.policy == Policy(
        "reject"
    )
