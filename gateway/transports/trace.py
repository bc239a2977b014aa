"""The header lines that a delivery puts on top; below them no octet is changed.

Delivered-To (RFC 9228) shows the address that the sender used and lets a loop be seen. The
delivery's id stays the same over retries, so that a duplicate after a crash can be told.
"""

from gateway.transports.base import Envelope


def header(envelope: Envelope) -> bytes:
    """The lines to put above the message as it was stored."""
    return (
        f"Delivered-To: {envelope.original_recipient}\r\nX-Delivery-ID: {envelope.delivery_id}\r\n"
    ).encode()


def needs_smtputf8(envelope: Envelope, octets: bytes) -> bool:
    """Whether the next hop must speak SMTPUTF8 (RFC 6531 §3.1): envelope or header go beyond ASCII.

    A sender that asked for it without need does not shut out older hops.
    """
    addresses = (envelope.sender, envelope.recipient, envelope.original_recipient)
    if not all(map(str.isascii, addresses)):
        return True
    if not envelope.smtputf8:
        return False
    end = octets.find(b"\r\n\r\n")
    return not octets[: end if end >= 0 else len(octets)].isascii()
