"""Ways to hand mail over, one file each: a new kind of target needs a file and a line in KINDS."""

from collections.abc import Callable

from django.conf import settings

from gateway.routing.facts import Hop
from gateway.smarthost import Login
from gateway.transports.base import Envelope, Outcome, Result, Transport
from gateway.transports.discard import DiscardTransport
from gateway.transports.inbox import InboxTransport
from gateway.transports.lmtp import LmtpTransport
from gateway.transports.smtp import SmtpTransport

__all__ = ["KINDS", "Envelope", "Login", "Outcome", "Result", "Transport", "open_transport"]

Factory = Callable[[Hop | None, Login | None], Transport]


def _to_hop(hop: Hop | None, login: Login | None) -> Transport:
    if hop is None:
        raise ValueError("A mailbox or forward needs a next hop.")
    kind = LmtpTransport if hop.protocol == "lmtp" else SmtpTransport
    return kind(hop, hostname=settings.GATEWAY_HOSTNAME, login=login)


def _inbox(_hop: Hop | None, _login: Login | None) -> Transport:
    return InboxTransport()


def _discard(_hop: Hop | None, _login: Login | None) -> Transport:
    return DiscardTransport()


KINDS: dict[str, Factory] = {
    "mailbox": _to_hop,
    "forward": _to_hop,
    "inbox": _inbox,
    "discard": _discard,
}


def open_transport(kind: str, hop: Hop | None = None, login: Login | None = None) -> Transport:
    """A transport for deliveries of this kind; it connects when it is first used.

    Raises KeyError for a kind that this version does not know.
    """
    return KINDS[kind](hop, login)
