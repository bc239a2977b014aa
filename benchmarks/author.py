"""The author of authenticated load: its DKIM key, and what it publishes in DNS.

One key a run, made by the rig and handed to the load generator with its order.
"""

from base64 import b64encode
from functools import cache

import dkim
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from benchmarks.population import SENDER

DOMAIN = SENDER.partition("@")[2]
SELECTOR = "load"
KEY_BITS = 2048
# The fields that most senders sign.
SIGNED = [b"from", b"to", b"subject", b"date", b"message-id"]
# A TXT string holds 255 octets at most (RFC 1035 §3.3).
STRING_OCTETS = 250
ZONE = """\
$ORIGIN {domain}.
$TTL 300
@ IN SOA ns.{domain}. hostmaster.{domain}. 1 3600 600 86400 300
@ IN TXT "v=spf1 ip4:127.0.0.0/8 -all"
_dmarc IN TXT "v=DMARC1; p=reject; adkim=s; aspf=s"
{selector}._domainkey IN TXT {key}
"""


@cache
def secret() -> str:
    """The private key of this run (PEM)."""
    key = rsa.generate_private_key(65537, KEY_BITS)
    octets = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return octets.decode()


def zone() -> str:
    """The author's zone as a master file: SPF for loopback, the DKIM key, a strict DMARC policy."""
    public = load_pem_private_key(secret().encode(), None).public_key()
    octets = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    record = f"v=DKIM1; k=rsa; p={b64encode(octets).decode()}"
    strings = [record[at : at + STRING_OCTETS] for at in range(0, len(record), STRING_OCTETS)]
    key = " ".join(f'"{each}"' for each in strings)
    return ZONE.format(domain=DOMAIN, selector=SELECTOR, key=key)


def sign(message: bytes, key: str) -> bytes:
    """The message with the author's signature on top."""
    signature: bytes = dkim.sign(
        message,
        SELECTOR.encode(),
        DOMAIN.encode(),
        key.encode(),
        canonicalize=(b"relaxed", b"relaxed"),
        include_headers=SIGNED,
    )
    return signature + message
