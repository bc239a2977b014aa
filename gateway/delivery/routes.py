"""Where deliveries go: return path, next hop, the transport that takes them there, and which of
them go together.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from gateway import smarthost
from gateway.delivery.queue import Claimed
from gateway.routing import loops, srs
from gateway.routing.address import Address, AddressError
from gateway.routing.facts import Hop
from gateway.transports import KINDS, Envelope, Login, Transport, open_transport

WITH_HOP = ("mailbox", "forward")
# A server has to take a hundred (RFC 5321 §4.5.3.1.8); Postfix gives it fifty.
RECIPIENTS_TOGETHER = 50


class NoRoute(Exception):
    """There is no way to send this now; the message says what an operator has to mend."""


@dataclass(frozen=True, slots=True)
class Route:
    """The next hop and what it asks for; both empty where nothing is sent over the network."""

    kind: str
    hop: Hop | None = None
    login: Login | None = None

    def open(self) -> Transport:
        """A transport for this route, not yet connected."""
        return open_transport(self.kind, self.hop, self.login)


def route(claimed: Claimed) -> Route:
    """The way for a delivery, from its next hop as that is now. Raises NoRoute."""
    if claimed.kind not in KINDS:
        raise NoRoute(f"This version knows no transport of kind {claimed.kind}.")
    if claimed.kind not in WITH_HOP or claimed.hop is not None:
        return Route(claimed.kind, claimed.hop)
    if claimed.hop_id is not None:
        raise NoRoute("The next hop of this delivery was deleted.")
    relay = smarthost.parse(settings.SMARTHOST_URL)
    if relay is None:
        raise NoRoute("No smarthost takes forwards to elsewhere: set SMARTHOST_URL.")
    return Route(claimed.kind, relay.hop, relay.login)


def place(claimed: Claimed) -> str:
    """Host and port of the next hop as it is now; empty where there is none."""
    try:
        hop = route(claimed).hop
    except NoRoute:
        return ""
    return f"{hop.host}:{hop.port}" if hop else ""


def envelope(claimed: Claimed) -> Envelope:
    """Sender and recipient as the next hop is given them."""
    return Envelope(
        delivery_id=claimed.id,
        sender=_sender(claimed),
        recipient=claimed.recipient,
        original_recipient=claimed.original_recipient,
        smtputf8=claimed.smtputf8,
        mark=claimed.mark + _loop_guard(claimed),
        message_dsn=claimed.message_dsn,
        recipient_dsn=claimed.recipient_dsn,
    )


def _loop_guard(claimed: Claimed) -> str:
    """What lets the address know its mail again, should whoever is given it send it back."""
    if claimed.kind not in WITH_HOP:
        return ""
    try:
        key = Address.parse(claimed.original_recipient).key
    except AddressError:
        key = claimed.original_recipient  # postmaster without a domain
    return loops.mark(key, secret=settings.SRS_SECRETS[0].encode())


def _sender(claimed: Claimed) -> str:
    """The return path: rewritten for forwards, so that bounces and SPF come to us."""
    if claimed.null_sender or not claimed.sender:
        return ""
    if not claimed.rewrites_sender:
        return claimed.sender
    domain, secret = settings.BOUNCE_DOMAIN, settings.SRS_SECRETS[0].encode()
    day = claimed.claimed_at.toordinal()
    try:
        sender = Address.parse(claimed.sender)
        return str(srs.rewrite(sender, bounce_domain=domain, secret=secret, day=day))
    except (AddressError, srs.SrsError):
        return str(srs.opaque(claimed.id, bounce_domain=domain, secret=secret))


def parcels(claimed: Iterable[Claimed]) -> list[tuple[Claimed, ...]]:
    """The deliveries that share a transaction: one body to one hop, from and for one address.

    Not those to different addresses, which would learn of each other by Delivered-To, and not those
    whose return path is rewritten, which may name the delivery.
    """
    together: dict[object, list[Claimed]] = {}
    full: list[list[Claimed]] = []
    for each in claimed:
        parcel = together.setdefault(_parcel(each), [])
        parcel.append(each)
        if len(parcel) == RECIPIENTS_TOGETHER:
            full.append(together.pop(_parcel(each)))
    return [tuple(parcel) for parcel in (*full, *together.values())]


def _parcel(claimed: Claimed) -> object:
    if claimed.kind not in WITH_HOP or claimed.rewrites_sender:
        return claimed.id
    same = claimed.null_sender, claimed.original_recipient, claimed.mark
    return claimed.lane, claimed.body_id, same
