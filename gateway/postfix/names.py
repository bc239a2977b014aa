"""Names by which Postfix and we mean the same recipient.

Postfix's internal form has no quotes. A mailbox goes through Postfix's queue under a private name
below `.invalid` (RFC 6761 §6.4), since its own address may be an alias here, may be another
tenant's mailbox too, and must not move mail that is not for it. The name is signed, so that nobody
reaches a mailbox past the rules of its aliases; the next hop is given the mailbox's own address.
"""

import hmac
import re
from base64 import b32encode
from collections.abc import Sequence
from hashlib import sha256

from gateway.routing.address import Address, AddressError, quote_local_part

MAILBOX_DOMAIN = "mailbox.panel.invalid"
_SIGNATURE_LENGTH = 16
_NUMBER = re.compile(r"[0-9]{1,18}\Z")


def parse_internal(text: str) -> Address:
    """Read Postfix's internal form: the last `@` splits, nothing is quoted. Raises AddressError."""
    local_part, _, domain = text.rpartition("@")
    return Address.parse(f"{quote_local_part(local_part)}@{domain}")


def parse_key(text: str) -> Address | None:
    """Read a table's key, quoted or not; None for what is no address."""
    for parse in (Address.parse, parse_internal):
        try:
            return parse(text)
        except AddressError:
            continue
    return None


def mailbox_name(mailbox_id: int, *, secrets: Sequence[bytes]) -> str:
    """The private address of a mailbox."""
    return f"{mailbox_id}-{_sign(mailbox_id, secrets[0])}@{MAILBOX_DOMAIN}"


def read_mailbox_name(address: Address, *, secrets: Sequence[bytes]) -> int | None:
    """The mailbox's id; None for a name that is not ours."""
    number, _, signature = address.folded_local_part.partition("-")
    if address.domain != MAILBOX_DOMAIN or not _NUMBER.match(number):
        return None
    mailbox_id, given = int(number), signature.encode()
    known = (_sign(mailbox_id, secret).encode() for secret in secrets)
    return mailbox_id if any(hmac.compare_digest(each, given) for each in known) else None


def _sign(mailbox_id: int, secret: bytes) -> str:
    mac = hmac.new(secret, b"postfix mailbox %d" % mailbox_id, sha256).digest()
    return b32encode(mac).decode().lower()[:_SIGNATURE_LENGTH]
