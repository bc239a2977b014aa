"""The header lines that a delivery puts on top; below them no octet is changed.

Delivered-To (RFC 9228) shows the address that the sender used and lets a loop be seen. The
delivery's id stays the same over retries, so that a duplicate after a crash can be told. A copy
that several recipients share has the ids of all; they were written to by one address, so that
none learns of another's.
"""

from collections.abc import Sequence

from gateway.transports.base import Envelope


def header(envelopes: Sequence[Envelope]) -> bytes:
    """The lines to put above the message as it was stored."""
    ids = "".join(f"X-Delivery-ID: {each.delivery_id}\r\n" for each in envelopes)
    first = envelopes[0]
    return f"Delivered-To: {first.original_recipient}\r\n{ids}{first.mark}".encode()


def needs_smtputf8(envelopes: Sequence[Envelope], octets: bytes) -> bool:
    """Whether the next hop must speak SMTPUTF8 (RFC 6531 §3.1): envelope or header go beyond ASCII.

    A sender that asked for it without need does not shut out older hops.
    """
    first = envelopes[0]
    addresses = (first.sender, first.original_recipient, *(each.recipient for each in envelopes))
    if not all(map(str.isascii, addresses)):
        return True
    if not first.smtputf8:
        return False
    end = octets.find(b"\r\n\r\n")
    return not octets[: end if end >= 0 else len(octets)].isascii()
