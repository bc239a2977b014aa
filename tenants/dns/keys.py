"""The public keys that customers' domains publish for this installation, as a setting names them.

Rule of this file: a sentence of an error never repeats what stands where a key should, since that
may be the private one.
"""

import re
from base64 import b64decode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from tenants.dns.expected import normalise_name

ED25519_OCTETS = 32
"""A raw Ed25519 key (RFC 8463 §4)."""

LEAST_RSA_BITS = 1024
"""Verifiers take no shorter key (RFC 8301 §3.2)."""

_LABEL = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def parse_keys(text: str) -> list[tuple[str, str]]:
    """Selectors and keys of "selector:base64,…", in order; empty text names none.

    Raises ValueError.
    """
    keys = [_parse_key(word) for word in text.split(",") if word.strip()]
    selectors = [selector for selector, _ in keys]
    for selector in selectors:
        if selectors.count(selector) > 1:
            raise ValueError(f"selector {selector} has two keys")
    return keys


def _parse_key(word: str) -> tuple[str, str]:
    name, _, key = word.partition(":")
    selector, key = normalise_name(name), key.strip()
    if not _SELECTOR.fullmatch(selector) or ":" not in word:
        raise ValueError(
            "a key has the form selector:base64, the selector of letters, digits and hyphens"
        )
    _check_key(selector, key)
    return selector, key


def _check_key(selector: str, key: str) -> None:
    """Ed25519 raw, RSA in DER (RFC 6376 §3.6.1)."""
    try:
        octets = b64decode(key, validate=True)
        loaded = None if len(octets) == ED25519_OCTETS else load_der_public_key(octets)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(f"what follows selector {selector} is no public key in base64") from None
    bits = loaded.key_size if isinstance(loaded, RSAPublicKey) else 0
    if loaded is not None and bits < LEAST_RSA_BITS:
        raise ValueError(
            f"the key of selector {selector} has to be RSA of {LEAST_RSA_BITS} bits or more, "
            "or raw Ed25519"
        )
