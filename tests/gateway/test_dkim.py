"""Verifying signatures that another implementation made, and refusing what must not pass."""

import asyncio
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.inspection.dkim import canonical
from gateway.inspection.dkim.signature import DkimError, parse_key, parse_signature
from gateway.inspection.dkim.verify import MOST_SIGNATURES, prepare, verify
from gateway.routing.authentication import Result, Signature
from tests.gateway import signers
from tests.gateway.memory_dns import MemoryDns

NAME = "s._domainkey.a.example TXT"
HEADER = signers.content("a.example").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
LINES = b"Lorem  ipsum \t dolor \r\n\r\nsit amet\r\n"
BODIES = {
    "empty": b"",
    "an empty line": b"\r\n",
    "blanks alone": b" \t\r\n \r\n",
    "empty lines at the end": b"a \r\n\r\n\r\n",
    "more than one piece": LINES * 5000 + b"\r\n \r\n",
    "one long line": b"x" * 200_000 + b" y\r\n",
}
METHODS = [(h, b) for h in (b"simple", b"relaxed") for b in (b"simple", b"relaxed")]


def check(octets: bytes, now: int | None = None, **records: str) -> list[Signature]:
    zone = {NAME: (signers.rsa_signer().record(),)}
    dns = MemoryDns(zone | {key.replace("__", " "): (text,) for key, text in records.items()})
    return verified(octets, dns, now=now or int(time.time()))


def verified(octets: bytes, dns: MemoryDns, *, now: int) -> list[Signature]:
    async def verify_all() -> list[Signature]:
        fields = canonical.split_fields(octets.partition(b"\r\n\r\n")[0].removesuffix(b"\r\n"))
        prepared = await prepare(fields, dns, now=now)
        return list(await verify(fields, octets, prepared, executor=executor))

    with ThreadPoolExecutor(1) as executor:
        return asyncio.run(verify_all())


def results(octets: bytes, **records: str) -> list[str]:
    return [each.result.value for each in check(octets, **records)]


@pytest.mark.parametrize("methods", METHODS, ids=lambda pair: b"/".join(pair).decode())
@pytest.mark.parametrize("body", BODIES)
def test_signature_of_another_hand_passes(body: str, methods: tuple[bytes, bytes]) -> None:
    octets = signers.sign(HEADER + BODIES[body], "a.example", canonicalize=methods)
    assert results(octets) == ["pass"]
    assert results(octets.replace(b"Subject: Hello", b"Subject: Hallo")) == ["fail"]
    assert results(octets + b"more\r\n") == ["fail"]


def test_ed25519_passes_beside_rsa() -> None:
    """RFC 8463: two signatures, two keys."""
    key = signers.ed25519_signer()
    once = signers.sign(HEADER + LINES, "a.example")
    twice = signers.sign(once, "a.example", key, selector="e")
    found = check(twice, **{"e._domainkey.a.example__TXT": key.record()})
    assert [(each.result, each.algorithm) for each in found] == [
        (Result.PASS, "ed25519-sha256"),
        (Result.PASS, "rsa-sha256"),
    ]


def test_key_in_pkcs1_form_is_read() -> None:
    record = signers.rsa_signer().record(PublicFormat.PKCS1)
    assert results(signers.sign(HEADER + LINES, "a.example"), **{NAME: record}) == ["pass"]


SIGNED = signers.sign(HEADER + LINES, "a.example")
PUBLIC = signers.rsa_signer().record().partition("p=")[2]


@pytest.mark.parametrize(
    ("record", "result", "note"),
    [
        (f"v=DKIM1; p={PUBLIC}; t=y", "pass", ""),
        (f"p={PUBLIC}", "pass", ""),
        ("v=DKIM1; p=", "permerror", "revoked"),
        ("v=DKIM1; k=rsa", "permerror", "no key"),
        ("v=DKIM1; p=AAAA", "permerror", "malformed"),
        ("v=DKIM1; p=*", "permerror", "base64"),
        (f"v=DKIM1; h=sha1; p={PUBLIC}", "permerror", "another hash"),
        (f"v=DKIM1; s=other; p={PUBLIC}", "permerror", "not for mail"),
        (f"v=DKIM1; k=ed25519; p={PUBLIC}", "permerror", "another kind"),
        (f"k=rsa; v=DKIM1; p={PUBLIC}", "permerror", "version"),
        (signers.rsa_signer(1024).record(), "fail", "header"),
    ],
)
def test_key_record_decides(record: str, result: str, note: str) -> None:
    [found] = check(SIGNED, **{NAME: record})
    assert (found.result, note in found.note) == (result, True), found.note


def test_short_keys_and_sha1_never_pass() -> None:
    """RFC 8301 §3."""
    short = RSAPublicNumbers(65537, 2**1000 + 9).public_key()
    octets = short.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    [found] = check(SIGNED, **{NAME: f"p={b64encode(octets).decode()}"})
    assert (found.result, found.note) == (Result.PERMERROR, "key has only 1001 bits")
    old = signers.sign(HEADER + LINES, "a.example", signature_algorithm=b"rsa-sha1")
    assert results(old) == ["permerror"]


@pytest.mark.parametrize(
    ("exponent", "bits", "note"),
    [
        (2**2000 + 1, 2048, "key has an exponent of more than 32 bits"),
        (2**32 + 1, 2048, "key has an exponent of more than 32 bits"),
        (65537, 4097, "key has more than 4096 bits"),
    ],
    ids=["as long as the key", "33 bits", "a long key"],
)
def test_keys_that_cost_too_much_are_not_tried(exponent: int, bits: int, note: str) -> None:
    """Each check would hold the loop for as long as the key's author likes."""
    key = RSAPublicNumbers(exponent, 2 ** (bits - 1) + 9).public_key()
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    [found] = check(SIGNED, **{NAME: f"p={b64encode(octets).decode()}"})
    assert (found.result, found.note) == (Result.POLICY, note)


@pytest.mark.parametrize(
    ("exponent", "bits"), [(3, 1024), (65537, 1024), (2**32 - 1, 2048), (65537, 4096)]
)
def test_keys_of_the_usual_kinds_are_tried(exponent: int, bits: int) -> None:
    key = RSAPublicNumbers(exponent, 2 ** (bits - 1) + 9).public_key()
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    [found] = check(SIGNED, **{NAME: f"p={b64encode(octets).decode()}"})
    assert found.note == "header has been changed"


@pytest.mark.parametrize(
    ("old", "new", "note", "algorithm"),
    [
        (b"a=rsa-sha256", b"a=x\0\x1b[2Jy", "x??[2jy is not accepted", "x??[2jy"),
        (b"a=rsa-sha256", b"a=" + b"x" * 5000, "x" * 20 + " is not accepted", "x" * 200),
        (b"v=1", b"v\0=1", r"tag list is broken at 'v\x00'", ""),
    ],
)
def test_note_is_short_and_can_be_shown(old: bytes, new: bytes, note: str, algorithm: str) -> None:
    """It is stored in the trace of each recipient."""
    [found] = check(SIGNED.replace(old, new, 1))
    assert (found.note, found.algorithm) == (note, algorithm)


def test_part_of_a_body_is_not_the_body() -> None:
    whole = signers.sign(HEADER + LINES, "a.example", length=True)
    assert results(whole) == ["pass"]
    assert results(whole + b"an advertisement\r\n") == ["policy"]


def test_absent_key_and_lost_key_stay_apart() -> None:
    elsewhere = signers.sign(HEADER + LINES, "b.example")
    assert results(elsewhere) == ["permerror"]
    dns = MemoryDns({}, broken=["s._domainkey.b.example"])
    assert [each.result for each in verified(elsewhere, dns, now=0)] == [Result.TEMPERROR]


def test_expired_signature_does_not_pass() -> None:
    dated = SIGNED.replace(b"s=s;", b"s=s; x=9999999998;", 1)
    assert check(dated)[0].note == "header has been changed"
    assert check(dated, now=9_999_999_999)[0].note == "signature has expired"


def test_only_the_first_signatures_are_looked_at() -> None:
    octets = SIGNED.partition(b"From:")[0] * (MOST_SIGNATURES + 5) + HEADER + LINES
    assert len(check(octets)) == MOST_SIGNATURES


def test_message_without_signatures_has_no_results() -> None:
    assert check(HEADER + LINES) == []
    assert check(b"\r\nno header at all\r\n") == []


GIVEN = "v=1; a=rsa-sha256; d=a.example; s=s; h=from; bh=aGk=; b=aGk="


@pytest.mark.parametrize(
    "value",
    [
        GIVEN.replace("v=1", "v=2"),
        GIVEN.replace("d=a.example; ", ""),
        GIVEN.replace("h=from", "h=to"),
        GIVEN.replace("s=s", "s=s; s=t"),
        GIVEN.replace("d=a.example", "d=a..example"),
        GIVEN.replace("bh=aGk=", "bh=%"),
        GIVEN + "; i=@b.example",
        GIVEN + "; c=loose/simple",
        GIVEN + "; q=http",
        GIVEN + "; l=ten",
        GIVEN + "; t=20; x=10",
        GIVEN + "; s p=1",
    ],
)
def test_broken_signature_is_not_used(value: str) -> None:
    with pytest.raises(DkimError):
        parse_signature(value.encode())


def test_signature_may_be_for_a_name_below() -> None:
    assert parse_signature(f"{GIVEN}; i=ann@b.a.example".encode()).identity_domain == "b.a.example"
    key = parse_key(f"v=DKIM1; t=s; p={b64encode(b'x').decode()}")
    assert key.is_exact


def test_canonical_forms_are_those_of_the_rfc() -> None:
    """RFC 6376 §3.4.5."""
    fields = canonical.split_fields(b"A: X\r\nB : Y\t\r\n\tZ  ")
    assert [canonical.relaxed_field(field) for field in fields] == [b"a:X", b"b:Y Z"]
    body = memoryview(b" C \r\nD \t E\r\n\r\n\r\n")
    assert b"".join(canonical._relaxed(body)) == b" C\r\nD E\r\n"
    assert b"".join(canonical._simple(body)) == b" C \r\nD \t E\r\n"
