"""The policy service: what the gateway would answer to RCPT, and to the end of the message.

At RCPT counters are looked at; at END-OF-MESSAGE they are taken, for the recipients that Postfix
delivers itself. Those that it hands to the gateway are counted there. Stored octets are not taken:
what lies in Postfix's queue is not stored here.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import psycopg
import structlog
from msgspec.structs import replace

from gateway import metrics
from gateway.call_ahead import CallAhead
from gateway.counters import Counters
from gateway.incoming import Envelope, Recipient
from gateway.inspection.inspector import Inspector, all_said
from gateway.postfix import names
from gateway.postfix.delegation import PolicyRequest
from gateway.postfix.tables import is_direct
from gateway.postfix.transaction import Transaction, Transactions
from gateway.routing import replies
from gateway.routing.address import Address, AddressError
from gateway.routing.decision import Decision, Take
from gateway.routing.facts import Directory, Facts, LookupFailed, Platform, Session
from gateway.routing.replies import Reply
from gateway.routing.resolve import resolve, resolve_postmaster
from gateway.routing.split import conflicts
from gateway.smtpd.command import CommandError

log = structlog.get_logger("gateway")

BARE_POSTMASTER = "postmaster"
QUEUE_ID_MAX_LENGTH = 32  # of a routing record


class Refusals(Protocol):
    """Where refusals are noted for the panel."""

    def note(self, envelope: Envelope, recipient: Recipient) -> None:
        """Keep one refused recipient."""
        ...


class Policy:
    """Answers Postfix's requests with the gateway's replies."""

    def __init__(
        self,
        directory: Directory,
        counters: Counters,
        refusals: Refusals,
        *,
        platform: Platform,
        inspectors: Sequence[Inspector] = (),
        call_ahead: CallAhead | None = None,
    ) -> None:
        self._directory = directory
        self._counters = counters
        self._refusals = refusals
        self._platform = platform
        self._inspectors = inspectors
        self._call_ahead = call_ahead
        self._transactions = Transactions()

    async def decide(self, request: PolicyRequest) -> Reply:
        """The reply for one request; an accepted one lets Postfix go on."""
        match request.stage:
            case "RCPT":
                return await self._recipient(request)
            case "END-OF-MESSAGE":
                return await self._end(request)
        return replies.OK

    async def _recipient(self, request: PolicyRequest) -> Reply:
        started = time.perf_counter()
        try:
            session, address = _session(request), _recipient_address(request)
            decision = await self._resolve(address, session)
            if decision.called_ahead and self._call_ahead is not None:
                decision = await self._call_ahead.judge_soon(decision)
            if decision.asks and decision.reply.is_accepted:
                decision = await self._screen(_envelope(request), decision)
        except CommandError as error:
            return _say_decision(request, error.reply)
        except LookupFailed as error:
            log.warning("directory failed", queue_id=_queue_id(request), error=str(error))
            return _say_decision(request, replies.TROUBLE)
        metrics.LOOKUP_SECONDS.observe(time.perf_counter() - started)
        recipient = _recipient(address, decision)
        return _say_decision(request, self._take(request, recipient), decision)

    async def _resolve(self, address: Address | None, session: Session) -> Decision:
        if address is None:
            return resolve_postmaster(session, Facts(self._platform, now=datetime.now(UTC)))
        return resolve(address, session, await self._directory.facts([address]))

    async def _screen(self, envelope: Envelope, decision: Decision) -> Decision:
        """What an inspector refuses before there is a message; the rest is the gateway's to ask."""
        screens = [each.screen(envelope, decision) for each in self._inspectors]
        said = await all_said([screen for screen in screens if screen is not None])
        refusing = next(filter(None, said), None)
        return decision.refused_with(refusing, by="sender") if refusing else decision

    def _take(self, request: PolicyRequest, recipient: Recipient) -> Reply:
        """Remember an accepted recipient until the message ends; note a refused one."""
        reply = recipient.decision.reply
        if not reply.is_accepted:
            self._refusals.note(_envelope(request), recipient)
            return reply
        transaction = self._transactions.get(request.instance)
        if transaction is not None and _conflicts(transaction, recipient.decision):
            return replies.TOO_MANY_RECIPIENTS
        self._transactions.remember(request.instance, _envelope(request), recipient)
        return reply

    async def _end(self, request: PolicyRequest) -> Reply:
        """Size and counters once all is known; asked again, the same answer without a charge."""
        transaction = self._transactions.get(request.instance)
        if transaction is None:
            return _say_message(request, replies.OK, takes=0)
        if transaction.answer is None:
            transaction.answer = await self._settle(request, transaction)
        return transaction.answer

    async def _settle(self, request: PolicyRequest, transaction: Transaction) -> Reply:
        takes = _takes(transaction)
        reply = _refuse_size(request, transaction) or await self._charge(takes)
        if reply is not None:
            self._note_all(transaction, reply)
        return _say_message(request, reply or replies.OK, takes=len(takes))

    async def _charge(self, takes: Sequence[Take]) -> Reply | None:
        if not takes:
            return None
        try:
            return await self._counters.charge(takes)
        except psycopg.Error as error:
            log.warning("a message was not counted", error=str(error))
            return replies.TROUBLE

    def _note_all(self, transaction: Transaction, reply: Reply) -> None:
        """Recipients taken at RCPT and refused with the whole message are records too."""
        for recipient in transaction.recipients.values():
            refused = replace(recipient, decision=recipient.decision.refused_with(reply))
            self._refusals.note(transaction.envelope, refused)


def _session(request: PolicyRequest) -> Session:
    """Raises CommandError for a sender that the gateway would have refused at MAIL."""
    try:
        sender = names.parse_internal(request.sender) if request.sender else None
    except AddressError:
        raise CommandError(replies.BAD_SENDER_SYNTAX) from None
    return Session(sender, request.size_octets or None, request.client)


def _recipient_address(request: PolicyRequest) -> Address | None:
    """None for `<postmaster>` without a domain. Raises CommandError."""
    if request.recipient.lower() == BARE_POSTMASTER:
        return None
    try:
        return names.parse_internal(request.recipient)
    except AddressError:
        raise CommandError(replies.BAD_ADDRESS_SYNTAX) from None


def _recipient(address: Address | None, decision: Decision) -> Recipient:
    if address is None:
        return Recipient(BARE_POSTMASTER, BARE_POSTMASTER, decision)
    return Recipient(str(address), address.key, decision)


def _conflicts(transaction: Transaction, decision: Decision) -> bool:
    first = next(iter(transaction.recipients.values()))
    is_declared = transaction.envelope.declared_octets is not None
    return conflicts(first.decision, decision, is_size_declared=is_declared)


def _takes(transaction: Transaction) -> list[Take]:
    """What the recipients cost that Postfix delivers itself; nothing is stored here for them."""
    return [
        take
        for recipient in transaction.recipients.values()
        if is_direct(recipient.decision)
        for take in recipient.decision.takes
        if not take.is_storage
    ]


def _refuse_size(request: PolicyRequest, transaction: Transaction) -> Reply | None:
    limit = transaction.max_octets
    return replies.ADDRESS_SIZE if limit is not None and request.size_octets > limit else None


def _queue_id(request: PolicyRequest) -> str:
    """Postfix's name for the message; before it has one, what its requests have in common."""
    return (request.queue_id or request.instance)[:QUEUE_ID_MAX_LENGTH]


def _envelope(request: PolicyRequest) -> Envelope:
    return Envelope(
        queue_id=_queue_id(request),
        sender=_sender_text(request),
        client=request.client_address,
        helo=_printable(request.helo),
        protocol=request.protocol,
        declared_octets=request.size_octets or None,
    )


def _sender_text(request: PolicyRequest) -> str:
    """The sender as it is written in a path; empty for the null sender."""
    try:
        return str(names.parse_internal(request.sender)) if request.sender else ""
    except AddressError:
        return _printable(request.sender)


def _printable(text: str) -> str:
    """Octets that are no UTF-8 are replaced: neither log nor database takes them."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


def _say_decision(request: PolicyRequest, reply: Reply, decision: Decision | None = None) -> Reply:
    """One log line and one count for each RCPT, as the gateway's."""
    metrics.recipient(reply.reason)
    log.info(
        "decision",
        queue_id=_queue_id(request),
        client=request.client,
        sender=_sender_text(request),
        recipient=_printable(request.recipient),
        reason=reply.reason,
        reply=f"{reply.code} {reply.enhanced}",
        strategy=decision.strategy if decision else "",
        rule=decision.rule if decision else "",
    )
    return reply


def _say_message(request: PolicyRequest, reply: Reply, *, takes: int) -> Reply:
    """One log line and one count for each message that Postfix has received whole."""
    metrics.message(reply.reason)
    log.info(
        "message",
        queue_id=_queue_id(request),
        client=request.client,
        sender=_sender_text(request),
        recipients=request.recipient_count,
        octets=request.size_octets,
        counted=takes,
        reason=reply.reason,
        reply=f"{reply.code} {reply.enhanced}",
    )
    return reply
