"""Names by which Postfix and we mean the same recipient.

Postfix's internal form has no quotes. A mailbox goes through Postfix's queue under a private name
below `.invalid` (RFC 6761 §6.4), `local=domain=id-signature`, since its own address may be an alias
here, may be another tenant's mailbox too, and must not move mail that is not for it. The name is
signed, so that nobody reaches a mailbox past the rules of its aliases. Postfix makes the mailbox's
own address of it by itself when it hands the message over.
"""

import hmac
import re
from base64 import b32encode
from collections.abc import Sequence
from hashlib import sha256

from gateway.routing.address import Address, AddressError, quote_local_part

MAILBOX_DOMAIN = "mailbox.panel.invalid"
# The regular expression of Postfix's generic(5) that gives a mailbox its own address back.
MAILBOX_PATTERN = r"^([^@]+)=([a-z0-9.-]+)=[0-9]+-[a-z2-7]+@mailbox\.panel\.invalid$"
_SIGNATURE_LENGTH = 16
_NAME = re.compile(r"(.+)=([0-9]{1,18})-([a-z2-7]+)@mailbox\.panel\.invalid\Z", re.IGNORECASE)
# Needs no quotes and no SMTPUTF8.
_PLAIN = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[a-z0-9.-]+\Z")


def parse_internal(text: str) -> Address:
    """Read Postfix's internal form: the last `@` splits, nothing is quoted. Raises AddressError."""
    local_part, _, domain = text.rpartition("@")
    if not local_part:
        raise AddressError("An address has the form local-part@domain.")
    return Address.parse(f"{quote_local_part(local_part)}@{domain}")


def parse_key(text: str) -> Address | None:
    """Read a table's key, quoted or not; None for what is no address."""
    for parse in (Address.parse, parse_internal):
        try:
            return parse(text)
        except AddressError:
            continue
    return None


def can_be_named(address: Address) -> bool:
    """Whether a mailbox of this address can go through Postfix's queue under a private name."""
    return _PLAIN.match(str(address)) is not None


def mailbox_name(mailbox_id: int, address: Address, *, secrets: Sequence[bytes]) -> str:
    """The private name of a mailbox whose address can be named."""
    body = f"{address.local_part}={address.domain}={mailbox_id}"
    return f"{body}-{_sign(body, secrets[0])}@{MAILBOX_DOMAIN}"


def is_mailbox_name(text: str) -> bool:
    """Whether a key lies where private names are, ours or not."""
    return text.lower().endswith(f"@{MAILBOX_DOMAIN}")


def read_mailbox_name(text: str, *, secrets: Sequence[bytes]) -> int | None:
    """The mailbox's id; None for a name that we did not give."""
    found = _NAME.match(text)
    if found is None:
        return None
    body, given = f"{found[1]}={found[2]}", found[3].lower().encode()
    known = (_sign(body, secret).encode() for secret in secrets)
    return int(found[2]) if any(hmac.compare_digest(each, given) for each in known) else None


def _sign(body: str, secret: bytes) -> str:
    octets = f"postfix mailbox {body.lower()}".encode(errors="surrogateescape")
    mac = hmac.new(secret, octets, sha256).digest()
    return b32encode(mac).decode().lower()[:_SIGNATURE_LENGTH]
