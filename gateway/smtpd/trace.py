"""The trace header that the gateway adds on top (RFC 5321 §4.4), and the hops it counts."""

import re
from datetime import datetime
from email.utils import format_datetime

MAX_HOPS = 50
MAX_HEADER_OCTETS = 256 * 1024
_RECEIVED = re.compile(rb"^received:", re.IGNORECASE | re.MULTILINE)
_MESSAGE_ID = re.compile(rb"^message-id:[ \t]*(?:\r\n[ \t]+)?(\S+)", re.IGNORECASE | re.MULTILINE)


def count_hops(header: bytes) -> int:
    """How many Received lines the header carries (RFC 5321 §6.3)."""
    return len(_RECEIVED.findall(header))


def message_id(header: bytes) -> str:
    """The Message-ID as it stands in the header; empty where there is none."""
    found = _MESSAGE_ID.search(header)
    return found[1].decode("ascii", "replace").replace("\x00", "")[:998] if found else ""


def received(
    *,
    helo: str,
    client: str,
    hostname: str,
    protocol: str,
    queue_id: str,
    recipient: str | None,
    at: datetime,
) -> bytes:
    """One Received line; the recipient is named only where it is the only one."""
    literal = f"IPv6:{client}" if ":" in client else client
    who = f" for <{recipient}>" if recipient else ""
    text = (
        f"Received: from {helo} ([{literal}])\r\n"
        f"\tby {hostname} with {protocol} id {queue_id}{who};\r\n"
        f"\t{format_datetime(at)}\r\n"
    )
    return text.encode()
