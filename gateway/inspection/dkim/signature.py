"""A DKIM-Signature and a key record as values (RFC 6376 §3.2, §3.5, §3.6.1)."""

import binascii
import re
from base64 import b64decode

from msgspec import Struct

from gateway.routing.address import AddressError, parse_domain

_TAG_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*\Z")
_BLANKS = re.compile(r"[ \t\r\n]+")
_SELECTOR = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z", re.IGNORECASE)
ALGORITHMS = {"rsa-sha256": "rsa", "ed25519-sha256": "ed25519"}


class DkimError(ValueError):
    """The signature or key cannot be used; the message says why."""


class SignatureField(Struct, frozen=True):
    """What a DKIM-Signature says. `body_length` is None where it signs the whole body."""

    domain: str
    selector: str
    algorithm: str
    signature: bytes
    body_hash: bytes
    fields: tuple[bytes, ...]  # names, lower case
    is_header_relaxed: bool
    is_body_relaxed: bool
    identity_domain: str
    body_length: int | None = None
    expires_at: int | None = None  # seconds since 1970

    @property
    def key_name(self) -> str:
        """Where the key is published (§3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


class KeyRecord(Struct, frozen=True):
    """A public key as published: `kind` is rsa or ed25519."""

    kind: str
    octets: bytes
    is_exact: bool = False  # t=s: i= names the very domain


def parse_tags(text: str) -> dict[str, str]:
    """A tag list; each tag stands once (§3.2). Raises DkimError."""
    tags: dict[str, str] = {}
    for item in text.rstrip("; \t\r\n").split(";"):
        name, equals, value = item.partition("=")
        name = name.strip(" \t\r\n")
        if not equals or not _TAG_NAME.match(name) or name in tags:
            raise DkimError(f"tag list is broken at {name[:20]!r}")
        tags[name] = value.strip(" \t\r\n")
    return tags


def parse_signature(value: bytes) -> SignatureField:
    """The field's value. Raises DkimError where a verifier has to ignore it (§6.1.1)."""
    tags = parse_tags(value.decode("utf-8", "replace"))
    missing = [name for name in ("a", "b", "bh", "d", "h", "s") if not tags.get(name)]
    if missing or tags.get("v") != "1":
        raise DkimError(f"tag {missing[0] if missing else 'v'} is missing")
    domain, selector = _domain(tags["d"]), tags["s"]
    if not _SELECTOR.match(selector):
        raise DkimError("selector is malformed")
    identity = _domain(tags.get("i", domain).rpartition("@")[2])
    if identity != domain and not identity.endswith(f".{domain}"):
        raise DkimError("i= lies outside d=")
    names = tuple(name.strip(" \t\r\n").lower().encode() for name in tags["h"].split(":"))
    if b"from" not in names:
        raise DkimError("From is not signed")
    header, _, body = tags.get("c", "simple/simple").lower().partition("/")
    _check_methods(header, body or "simple", tags.get("q", "dns/txt"))
    return SignatureField(
        domain=domain,
        selector=selector.lower(),
        algorithm=tags["a"].lower(),
        signature=_base64(tags["b"]),
        body_hash=_base64(tags["bh"]),
        fields=names,
        is_header_relaxed=header == "relaxed",
        is_body_relaxed=body == "relaxed",
        identity_domain=identity,
        body_length=_number(tags, "l"),
        expires_at=_expiry(tags),
    )


def parse_key(text: str) -> KeyRecord:
    """A key record. Raises DkimError where it gives no key for mail (§6.1.2)."""
    tags = parse_tags(text)
    if "v" in tags and (tags["v"] != "DKIM1" or next(iter(tags)) != "v"):
        raise DkimError("key record has another version")
    if "sha256" not in _words(tags.get("h", "sha256")):
        raise DkimError("key is for another hash")
    if not {"*", "email"} & _words(tags.get("s", "*")):
        raise DkimError("key is not for mail")
    if not tags.get("p"):
        raise DkimError("key is revoked" if "p" in tags else "key record has no key")
    return KeyRecord(
        tags.get("k", "rsa").lower(), _base64(tags["p"]), "s" in _words(tags.get("t", ""))
    )


def _check_methods(header: str, body: str, query: str) -> None:
    if not {header, body} <= {"simple", "relaxed"}:
        raise DkimError("canonicalisation is unknown")
    if "dns/txt" not in _words(query):
        raise DkimError("query method is unknown")


def _expiry(tags: dict[str, str]) -> int | None:
    signed_at, expires_at = _number(tags, "t"), _number(tags, "x")
    if signed_at is not None and expires_at is not None and expires_at < signed_at:
        raise DkimError("x= lies before t=")
    return expires_at


def _words(text: str) -> set[str]:
    return {word.strip(" \t\r\n").lower() for word in text.split(":")}


def _domain(text: str) -> str:
    try:
        return parse_domain(text)
    except AddressError:
        raise DkimError("domain is malformed") from None


def _number(tags: dict[str, str], name: str) -> int | None:
    text = tags.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,76}", text):
        raise DkimError(f"{name}= is no number")
    return int(text)


def _base64(text: str) -> bytes:
    try:
        return b64decode(_BLANKS.sub("", text), validate=True)
    except (binascii.Error, ValueError):
        raise DkimError("base64 is broken") from None
