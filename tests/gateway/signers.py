"""Senders that sign: keys made once, signatures by another implementation than the one tested."""

from base64 import b64encode
from functools import cache
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

CONTENT = (
    b"From: Ann <ann@{author}>\r\nTo: Bob <bob@b.example>\r\nSubject: Hello  there\r\n"
    b"Date: Mon, 1 Jun 2026 12:00:00 +0000\r\nMessage-ID: <1@{author}>\r\n\r\n"
    b"A line with  blanks \t and an end. \r\n\r\nAnother.\r\n\r\n"
)


class RsaSigner:
    """A key of so many bits."""

    algorithm = b"rsa-sha256"

    def __init__(self, bits: int = 2048) -> None:
        self._key = rsa.generate_private_key(65537, bits)
        self.secret = self._key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )

    def record(self, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> str:
        """The key as it stands in DNS, in either form that is seen there."""
        octets = self._key.public_key().public_bytes(Encoding.DER, form)
        return f"v=DKIM1; k=rsa; p={b64encode(octets).decode()}"


class Ed25519Signer:
    """A key of RFC 8463."""

    algorithm = b"ed25519-sha256"

    def __init__(self) -> None:
        self._key = ed25519.Ed25519PrivateKey.generate()
        raw = (Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        self.secret = b64encode(self._key.private_bytes(*raw))

    def record(self) -> str:
        octets = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"v=DKIM1; k=ed25519; p={b64encode(octets).decode()}"


Signer = RsaSigner | Ed25519Signer


@cache
def rsa_signer(bits: int = 2048) -> RsaSigner:
    return RsaSigner(bits)


@cache
def ed25519_signer() -> Ed25519Signer:
    return Ed25519Signer()


def content(author: str = "sender.example") -> bytes:
    return CONTENT.replace(b"{author}", author.encode())


def sign(
    octets: bytes, domain: str, signer: Signer | None = None, *, selector: str = "s", **said: Any
) -> bytes:
    """The message with a signature of the domain on top."""
    chosen = signer or rsa_signer()
    given = {"canonicalize": (b"relaxed", b"relaxed"), "signature_algorithm": chosen.algorithm}
    signature: bytes = dkim.sign(
        octets, selector.encode(), domain.encode(), chosen.secret, **given | said
    )
    return signature + octets
