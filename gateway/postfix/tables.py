"""The tables that Postfix asks: domains, recipients, aliases and transport.

A table hears of an address alone, of no sender, size or counter: what depends on these is said by
the policy service at RCPT, before the message is Postfix's. What Postfix cannot do as we would
(forwards with their return path, stored inboxes, discard, TLS that has to be there, proof that is
asked of senders) goes to the gateway as it is, which decides it anew.
"""

from collections.abc import Awaitable
from typing import Protocol

import structlog
from msgspec.structs import replace

from gateway.postfix import names
from gateway.postfix.socketmap import NOT_FOUND, Lookup, Result, Status
from gateway.routing import replies
from gateway.routing.address import Address
from gateway.routing.decision import Decision, Destination
from gateway.routing.facts import Directory, Facts, Hop, LookupFailed, Mailbox, Platform, Session
from gateway.routing.resolve import resolve

log = structlog.get_logger("gateway")

NOBODY = Session(sender=None, has_sender=False)
# Transports of ours in master.cf, by the protocol of the next hop.
TRANSPORTS = {"smtp": "panel-smtp:{}", "lmtp": "panel-lmtp:inet:{}"}
TABLES = frozenset({"domains", "recipients", "aliases", "transport"})
NO_SUCH_TABLE = Result(Status.PERM, "no such table")
TRY_LATER = Result(Status.TEMP, replies.TROUBLE.text)


class Mailboxes(Protocol):
    """Mailboxes by id."""

    def mailbox(self, mailbox_id: int) -> Awaitable[Mailbox | None]:
        """The mailbox; None where it is gone. Raises LookupFailed."""
        ...


class Tables:
    """Answers look-ups. `gateway` is the next hop of what Postfix does not deliver itself."""

    def __init__(
        self, directory: Directory, mailboxes: Mailboxes, *, platform: Platform, gateway: Hop
    ) -> None:
        self._directory = directory
        self._mailboxes = mailboxes
        self._platform = platform
        self._gateway = gateway

    async def look_up(self, lookup: Lookup) -> Result:
        """The answer to one look-up; TEMP where the directory does not answer."""
        if lookup.table not in TABLES:
            return NO_SUCH_TABLE
        try:
            if names.is_mailbox_name(lookup.key):
                return await self._look_up_mailbox(lookup)
            is_domain = lookup.table == "domains"
            address = names.parse_key(f"postmaster@{lookup.key}" if is_domain else lookup.key)
            return NOT_FOUND if address is None else await self._look_up(lookup.table, address)
        except LookupFailed as error:
            log.warning("directory failed", table=lookup.table, error=str(error))
            return TRY_LATER

    async def _look_up(self, table: str, address: Address) -> Result:
        match table:
            case "domains":
                return await self._domains(address)
            case "recipients":
                return await self._recipients(address)
            case "aliases":
                return await self._aliases(address)
        return await self._transport(address)

    async def _look_up_mailbox(self, lookup: Lookup) -> Result:
        """A mailbox has a next hop, and is in no other table."""
        if lookup.table != "transport":
            return NOT_FOUND
        secrets = self._platform.srs_secrets
        mailbox_id = names.read_mailbox_name(lookup.key, secrets=secrets)
        found = None if mailbox_id is None else await self._mailboxes.mailbox(mailbox_id)
        return _mailbox_transport(found)

    async def _domains(self, address: Address) -> Result:
        """relay_domains: whether mail for the domain is taken."""
        is_ours = await self._is_ours(address)
        return Result(Status.OK, address.domain) if is_ours else NOT_FOUND

    async def _recipients(self, address: Address) -> Result:
        """relay_recipient_maps: whether somebody could write to the address now."""
        reply = (await self._decide(address)).reply
        exists = reply.is_accepted or reply.is_temporary
        return Result(Status.OK, address.key) if exists else NOT_FOUND

    async def _aliases(self, address: Address) -> Result:
        """virtual_alias_maps: the mailboxes, where Postfix delivers to all of them itself."""
        platform = self._platform
        if (address.folded_local_part, address.domain) == ("postmaster", platform.hostname):
            return Result(Status.OK, f"postmaster@{platform.bounce_domain}")
        decision = await self._decide(address)
        if decision.reply.is_temporary:
            return Result(Status.TEMP, decision.reply.text)
        if not is_direct(decision):
            return NOT_FOUND
        found = [
            names.mailbox_name(each.mailbox_id, each.recipient, secrets=platform.srs_secrets)
            for each in decision.destinations
            if each.mailbox_id is not None and each.recipient is not None
        ]
        return Result(Status.OK, ", ".join(found))

    async def _transport(self, address: Address) -> Result:
        """transport_maps: what is left under an address of ours goes to the gateway."""
        if await self._is_ours(address):
            return Result(Status.OK, _transport(self._gateway))
        return NOT_FOUND

    async def _is_ours(self, address: Address) -> bool:
        if address.domain == self._platform.bounce_domain:
            return True
        domain = (await self._directory.facts([address])).domains.get(address.domain)
        return domain is not None and domain.is_receiving

    async def _decide(self, address: Address) -> Decision:
        facts = await self._directory.facts([address])
        return resolve(address, NOBODY, without_counters(facts))


def without_counters(facts: Facts) -> Facts:
    """The facts with every counter at zero: tables are asked again after a message was counted."""
    return replace(facts, usage={})


def is_direct(decision: Decision) -> bool:
    """Whether Postfix delivers all of it just as we would: to mailboxes alone, asking nothing."""
    found = decision.destinations
    is_inspected = decision.asks or decision.filters
    return bool(found) and not is_inspected and all(map(_is_direct, found))


def _is_direct(destination: Destination) -> bool:
    hop, recipient = destination.hop, destination.recipient
    if destination.mailbox_id is None or hop is None or recipient is None:
        return False
    return _takes_plain_handover(hop) and names.can_be_named(recipient)


def _takes_plain_handover(hop: Hop) -> bool:
    """TLS that has to be there is checked against authorities that Postfix does not know."""
    return hop.tls in ("none", "opportunistic")


def _mailbox_transport(mailbox: Mailbox | None) -> Result:
    if mailbox is None:
        gone = replies.UNKNOWN_ADDRESS
        return Result(Status.OK, f"error:{gone.enhanced} {gone.text}")
    if not _takes_plain_handover(mailbox.hop):
        return Result(Status.TEMP, "the next hop asks for TLS now")
    return Result(Status.OK, _transport(mailbox.hop))


def _transport(hop: Hop) -> str:
    """As transport(5) writes it; brackets: the host itself, never its MX."""
    return TRANSPORTS[hop.protocol].format(f"[{hop.host}]:{hop.port}")
