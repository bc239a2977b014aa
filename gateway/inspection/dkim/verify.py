"""Verifying a message's DKIM signatures: keys from DNS, then hashes and public-key operations.

The first signatures count, up to a bound. Large bodies are hashed on the threads of a small pool;
a message of ordinary size costs less than the switch to one.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import Struct

from gateway.inspection.dkim.canonical import (
    Field,
    digest_body,
    name_of,
    relaxed_field,
    simple_field,
    without_signature,
)
from gateway.inspection.dkim.signature import (
    ALGORITHMS,
    DkimError,
    KeyRecord,
    SignatureField,
    parse_key,
    parse_signature,
)
from gateway.inspection.notes import as_note
from gateway.inspection.resolver import DnsTrouble, Resolver
from gateway.routing.authentication import Result, Signature

MOST_SIGNATURES = 8
# A verifier has to know keys of these sizes (RFC 8301 §3.2). A check costs what the key's author
# chose: with an exponent as long as the modulus it takes hundreds of times as long.
LEAST_RSA_BITS = 1024
MOST_RSA_BITS = 4096
MOST_EXPONENT_BITS = 32
# Up to here a message is hashed on the event loop: well under a millisecond.
INLINE_OCTETS = 128 * 1024

PublicKey = RSAPublicKey | Ed25519PublicKey


class Content(Struct, frozen=True):
    """A message cut for hashing: its fields and where its body starts."""

    fields: Sequence[Field]
    octets: bytes
    body_start: int


class UnacceptableKey(DkimError):
    """A key that would verify, if it did not cost too much."""


class Candidate(Struct, frozen=True):
    """A signature that can be checked, with its key."""

    position: int  # of its field
    field: SignatureField
    key: PublicKey


Prepared = tuple[Candidate | Signature, ...]


async def prepare(fields: Sequence[Field], resolver: Resolver, *, now: int) -> Prepared:
    """Each signature of a header with its key, or what stands without looking at the message."""
    positions = [index for index, field in enumerate(fields) if name_of(field) == b"dkim-signature"]
    return tuple(
        await asyncio.gather(
            *(_prepare(fields, index, resolver, now) for index in positions[:MOST_SIGNATURES])
        )
    )


async def verify(
    fields: Sequence[Field], octets: bytes, prepared: Prepared, *, executor: Executor
) -> tuple[Signature, ...]:
    """The result of each signature in the order of the fields, `none` where there is none."""
    content = Content(fields, octets, _body_start(octets))

    def check_all() -> tuple[Signature, ...]:
        digest = _body_digests(content)
        return tuple(
            _check(content, each, digest) if isinstance(each, Candidate) else each
            for each in prepared
        )

    if len(octets) <= INLINE_OCTETS:
        return check_all()
    return await asyncio.get_running_loop().run_in_executor(executor, check_all)


def _body_start(octets: bytes) -> int:
    """Header and body part at the first empty line (RFC 5322 §2.1)."""
    if octets.startswith(b"\r\n"):
        return 2
    end = octets.find(b"\r\n\r\n")
    return len(octets) if end < 0 else end + 4


async def _prepare(
    fields: Sequence[Field], position: int, resolver: Resolver, now: int
) -> Candidate | Signature:
    try:
        field = parse_signature(fields[position][1])
    except DkimError as error:
        return Signature(Result.NEUTRAL, note=as_note(str(error)))
    try:
        return Candidate(position, field, await _fetch_key(field, resolver, now))
    except UnacceptableKey as error:
        return _result(field, Result.POLICY, str(error))
    except DkimError as error:
        return _result(field, Result.PERMERROR, str(error))
    except DnsTrouble:
        return _result(field, Result.TEMPERROR, "key could not be fetched")


async def _fetch_key(field: SignatureField, resolver: Resolver, now: int) -> PublicKey:
    """The key by RFC 8301 and 8463: no rsa-sha1, no short keys. Raises DkimError, DnsTrouble."""
    if field.algorithm not in ALGORITHMS:
        raise DkimError(f"{field.algorithm[:20]} is not accepted")
    if field.expires_at is not None and field.expires_at < now:
        raise DkimError("signature has expired")
    answer = await resolver.ask(field.key_name, "TXT")
    if not answer.records:
        raise DkimError("no key is published")
    record = parse_key(answer.records[0])
    if record.kind != ALGORITHMS[field.algorithm]:
        raise DkimError("key is of another kind")
    if record.is_exact and field.identity_domain != field.domain:
        raise DkimError("key is for the very domain alone")
    return _load(record)


@lru_cache(maxsize=1024)
def _load(record: KeyRecord) -> PublicKey:
    try:
        if record.kind == "ed25519":
            return Ed25519PublicKey.from_public_bytes(record.octets)
        key = load_der_public_key(record.octets)
    except (ValueError, UnsupportedAlgorithm):
        raise DkimError("key is malformed") from None
    if not isinstance(key, RSAPublicKey):
        raise DkimError("key is of another kind")
    if key.key_size < LEAST_RSA_BITS:
        raise DkimError(f"key has only {key.key_size} bits")
    if key.key_size > MOST_RSA_BITS:
        raise UnacceptableKey(f"key has more than {MOST_RSA_BITS} bits")
    if key.public_numbers().e.bit_length() > MOST_EXPONENT_BITS:
        raise UnacceptableKey(f"key has an exponent of more than {MOST_EXPONENT_BITS} bits")
    return key


Digest = Callable[[SignatureField], tuple[bytes, int]]


def _body_digests(content: Content) -> Digest:
    """Body hashes, each made once for all signatures that share its canonicalisation."""
    body = memoryview(content.octets)[content.body_start :]

    @lru_cache
    def made(is_relaxed: bool, limit: int | None) -> tuple[bytes, int]:  # noqa: FBT001 - a cache key
        return digest_body(body, is_relaxed=is_relaxed, limit=limit)

    return lambda field: made(field.is_body_relaxed, field.body_length)


def _check(content: Content, candidate: Candidate, digest: Digest) -> Signature:
    field = candidate.field
    body_hash, length = digest(field)
    if field.body_length is not None and field.body_length > length:
        return _result(field, Result.PERMERROR, "l= is longer than the body")
    if body_hash != field.body_hash:
        return _result(field, Result.FAIL, "body has been changed")
    if not _is_signed(candidate.key, field.signature, _signed_header(content, candidate)):
        return _result(field, Result.FAIL, "header has been changed")
    if field.body_length is not None and field.body_length < length:
        return _result(field, Result.POLICY, "part of the body is not signed")
    return _result(field, Result.PASS)


def _is_signed(key: PublicKey, signature: bytes, header: bytes) -> bool:
    try:
        if isinstance(key, RSAPublicKey):
            key.verify(signature, header, PKCS1v15(), SHA256())
        else:
            key.verify(signature, sha256(header).digest())  # RFC 8463 §3
    except InvalidSignature:
        return False
    return True


def _signed_header(content: Content, candidate: Candidate) -> bytes:
    """The signed fields, each name from the bottom up, and the signature itself (§5.4.2, §3.7)."""
    field = candidate.field
    print_field = relaxed_field if field.is_header_relaxed else simple_field
    waiting: dict[bytes, list[Field]] = {}
    for each in content.fields:
        waiting.setdefault(name_of(each), []).append(each)
    signed = [waiting[name].pop() for name in field.fields if waiting.get(name)]
    name, value = content.fields[candidate.position]
    lines = [print_field(each) for each in signed]
    return b"\r\n".join([*lines, print_field((name, without_signature(value)))])


def _result(field: SignatureField, result: Result, note: str = "") -> Signature:
    algorithm = as_note(field.algorithm)
    return Signature(result, field.domain, field.selector, algorithm, as_note(note))
