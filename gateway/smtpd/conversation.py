"""What is said between MAIL and the final dot: arguments in, replies out, no sockets.

Both ways through the session (aiosmtpd's commands and the plain ones it answers itself) end here,
so that they cannot differ. A reply that needs the database is an awaitable of a Reply.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

import structlog
from msgspec import Struct
from msgspec.structs import replace

from gateway import metrics
from gateway.bell import ring
from gateway.directory import PostgresDirectory
from gateway.ids import queue_id, uuid7
from gateway.intake import Envelope, Incoming, Intake, Recipient, StoreFailed
from gateway.pending import Pending
from gateway.refusals import RefusalLog
from gateway.routing import replies
from gateway.routing.address import Address
from gateway.routing.decision import Decision
from gateway.routing.facts import Facts, LookupFailed, Platform, Session
from gateway.routing.replies import Reply
from gateway.routing.resolve import resolve, resolve_postmaster
from gateway.smtpd import trace
from gateway.smtpd.command import CommandError, Mail, Rcpt, parse_mail, parse_rcpt
from gateway.smtpd.strangers import Guest

log = structlog.get_logger("gateway")

Answer = Reply | Pending[Reply]
# A message whose size nobody declared holds this much of the budget while it comes in.
UNDECLARED_OCTETS = 64 * 1024


@dataclass(slots=True, eq=False)
class Services:
    """What every session of a process shares."""

    directory: PostgresDirectory
    intake: Intake
    refusals: RefusalLog
    platform: Platform
    max_recipients: int
    data_budget_octets: int
    data_in_flight: int = 0


class Client(Struct):
    """Who is speaking: changes with EHLO and STARTTLS."""

    address: IPv4Address | IPv6Address | None = None
    helo: str = ""
    is_extended: bool = False
    is_encrypted: bool = False
    text: str = "unknown"

    def protocol(self, *, smtputf8: bool) -> str:
        """The keyword of the Received line (RFC 3848, RFC 6531 §4.3)."""
        if not self.is_extended:
            return "SMTP"
        return ("UTF8SMTP" if smtputf8 else "ESMTP") + ("S" if self.is_encrypted else "")


class Transaction(Struct):
    """One message on its way, from MAIL to the answer after its final dot."""

    id: UUID
    mail: Mail
    envelope: Envelope
    recipients: dict[str, Recipient] = {}  # by key
    reserved_octets: int = 0
    is_being_stored: bool = False

    @property
    def max_octets(self) -> int | None:
        """The smallest limit of all recipients; None without one."""
        limits = (recipient.decision.max_octets for recipient in self.recipients.values())
        return min((limit for limit in limits if limit is not None), default=None)


class Conversation:
    """The mail transactions of one session (RFC 5321 §3.3)."""

    def __init__(self, services: Services, guest: Guest) -> None:
        self.services = services
        self.guest = guest
        self.client = Client()
        self.transaction: Transaction | None = None

    @property
    def has_recipients(self) -> bool:
        return self.transaction is not None and bool(self.transaction.recipients)

    @property
    def is_receiving(self) -> bool:
        """Whether a message is between 354 and its answer."""
        return self.transaction is not None and self.transaction.reserved_octets > 0

    @property
    def is_awaiting_content(self) -> bool:
        """Whether more octets of a message have to come."""
        transaction = self.transaction
        return self.is_receiving and transaction is not None and not transaction.is_being_stored

    def reset(self) -> None:
        """Forget the transaction, as RSET, EHLO and the end of a message do."""
        if self.transaction is not None:
            self.services.data_in_flight -= self.transaction.reserved_octets
        self.transaction = None

    def abandon(self) -> None:
        """The client is gone: forget the transaction, unless its message is being stored."""
        if self.transaction is None or not self.transaction.is_being_stored:
            self.reset()

    def mail(self, argument: str) -> Reply:
        """The answer to MAIL."""
        if not self.client.helo:
            return replies.NEEDS_HELO
        if self.transaction is not None:
            return replies.NESTED_MAIL
        if self.guest.is_over_budget():
            metrics.FLOOD_REFUSALS.inc()
            return replies.CLIENT_FLOOD
        try:
            mail = parse_mail(argument)
        except CommandError as error:
            return error.reply
        if (mail.declared_octets or 0) > self.services.platform.max_message_octets:
            return replies.SYSTEM_SIZE
        identifier = uuid7()
        self.transaction = Transaction(identifier, mail, self._envelope(identifier, mail))
        return replies.SENDER_OK

    def rcpt(self, argument: str) -> Answer:
        """The answer to RCPT, from facts read while the client waits."""
        transaction = self.transaction
        if transaction is None:
            return replies.NEEDS_MAIL
        if self.guest.is_over_budget():
            metrics.FLOOD_REFUSALS.inc()
            return self._say_decision(transaction, argument, replies.CLIENT_FLOOD)
        try:
            rcpt = parse_rcpt(argument, smtputf8=transaction.mail.smtputf8)
        except CommandError as error:
            return self._say_decision(transaction, argument, error.reply)
        if len(transaction.recipients) >= self.services.max_recipients:
            return self._say_decision(transaction, rcpt.text, replies.TOO_MANY_RECIPIENTS)
        address = rcpt.recipient
        if address is None:
            return self._take(transaction, rcpt, resolve_postmaster(*self._plain(transaction)))
        started = time.perf_counter()
        facts = self.services.directory.facts([address])

        def decide(found: Facts) -> Reply:
            metrics.LOOKUP_SECONDS.observe(time.perf_counter() - started)
            return self._take(transaction, rcpt, self._resolve(transaction, address, found))

        def fail(error: BaseException) -> Reply | None:
            if not isinstance(error, LookupFailed):
                return None
            log.warning(
                "directory failed", queue_id=transaction.envelope.queue_id, error=str(error)
            )
            return self._say_decision(transaction, rcpt.text, replies.TROUBLE)

        return facts.then(decide, fail)

    def data(self) -> Reply | None:
        """None where content may come; else the reply that refuses DATA."""
        transaction, services = self.transaction, self.services
        if transaction is None or not transaction.recipients:
            return replies.NEEDS_RCPT
        reserved = transaction.mail.declared_octets or UNDECLARED_OCTETS
        if services.data_in_flight + reserved > services.data_budget_octets:
            metrics.message(replies.NO_SPACE.reason)
            return replies.NO_SPACE
        services.data_in_flight += reserved
        transaction.reserved_octets = reserved
        return None

    def content(self, octets: bytes) -> Answer:
        """The answer to a whole message: everything is durable before it says 250."""
        transaction = self.transaction
        if transaction is None:
            return replies.NEEDS_MAIL
        header = trace.header_of(octets)
        reply = _refuse_content(transaction, octets, header)
        if reply is not None:
            return self._finish(transaction, len(octets), reply)
        started = time.perf_counter()
        transaction.is_being_stored = True
        stored = self.services.intake.store(self._incoming(transaction, octets, header))

        def answer(reply: Reply) -> Reply:
            metrics.STORE_SECONDS.observe(time.perf_counter() - started)
            return self._finish(transaction, len(octets), reply)

        def fail(error: BaseException) -> Reply | None:
            return answer(error.reply) if isinstance(error, StoreFailed) else None

        return stored.then(answer, fail)

    def content_too_large(self) -> Reply:
        """The answer to a message over the system's limit."""
        if self.transaction is None:
            return replies.NEEDS_MAIL
        return self._finish(self.transaction, 0, replies.SYSTEM_SIZE)

    # --- RCPT -------------------------------------------------------------

    def _plain(self, transaction: Transaction) -> tuple[Session, Facts]:
        facts = Facts(self.services.platform, now=datetime.now(UTC))
        return self._session(transaction), facts

    def _session(self, transaction: Transaction) -> Session:
        mail = transaction.mail
        return Session(mail.sender, mail.declared_octets, self.client.text)

    def _resolve(self, transaction: Transaction, address: Address, facts: Facts) -> Decision:
        return resolve(address, self._session(transaction), facts)

    def _take(self, transaction: Transaction, rcpt: Rcpt, decision: Decision) -> Reply:
        """Keep an accepted recipient, note a refused one, log either in one line."""
        reply = decision.reply
        recipient = Recipient(rcpt.text, rcpt.key, decision)
        if reply.is_accepted and _conflicts(transaction, decision):
            reply = replies.TOO_MANY_RECIPIENTS
        elif reply.is_accepted:
            transaction.recipients.setdefault(rcpt.key, recipient)  # said twice, stored once
        else:
            self.services.refusals.note(transaction.envelope, recipient)
        return self._say_decision(transaction, rcpt.text, reply, decision)

    def _say_decision(
        self,
        transaction: Transaction,
        recipient: str,
        reply: Reply,
        decision: Decision | None = None,
    ) -> Reply:
        """One log line and one count for each RCPT, whatever decided it."""
        metrics.recipient(reply.reason)
        log.info(
            "decision",
            queue_id=transaction.envelope.queue_id,
            client=self.client.text,
            sender=transaction.envelope.sender,
            recipient=recipient,
            reason=reply.reason,
            reply=f"{reply.code} {reply.enhanced}",
            strategy=decision.strategy if decision else "",
            rule=decision.rule if decision else "",
        )
        return reply

    # --- the message --------------------------------------------------------

    def _incoming(self, transaction: Transaction, octets: bytes, header: bytes) -> Incoming:
        envelope, recipients = transaction.envelope, tuple(transaction.recipients.values())
        line = trace.received(
            helo=envelope.helo,
            client=self.client.text,
            hostname=self.services.platform.hostname,
            protocol=envelope.protocol,
            queue_id=envelope.queue_id,
            recipient=recipients[0].text if len(recipients) == 1 else None,
            at=datetime.now(UTC),
        )
        return Incoming(
            id=transaction.id,
            envelope=envelope,
            recipients=recipients,
            octets=line + octets,
            message_id=trace.message_id(header),
            digest=_digest(envelope, recipients, octets),
        )

    def _finish(self, transaction: Transaction, size_octets: int, reply: Reply) -> Reply:
        """End the transaction with its reply, in one log line."""
        if reply.is_accepted:
            metrics.OCTETS.inc(size_octets)
            self.guest.bring()
            ring()
        else:
            self._note_all(transaction, reply)
        metrics.message(reply.reason)
        log.info(
            "message",
            queue_id=transaction.envelope.queue_id,
            client=self.client.text,
            sender=transaction.envelope.sender,
            recipients=len(transaction.recipients),
            octets=size_octets,
            reason=reply.reason,
            reply=f"{reply.code} {reply.enhanced}",
        )
        if self.transaction is transaction:
            self.reset()
        return reply

    def _note_all(self, transaction: Transaction, reply: Reply) -> None:
        """Recipients taken at RCPT and refused with the whole message are records too."""
        for recipient in transaction.recipients.values():
            refused = replace(recipient, decision=recipient.decision.refused_with(reply))
            self.services.refusals.note(transaction.envelope, refused)

    def _envelope(self, identifier: UUID, mail: Mail) -> Envelope:
        return Envelope(
            queue_id=queue_id(identifier),
            sender=str(mail.sender) if mail.sender else "",
            client=self.client.address,
            helo=self.client.helo,
            protocol=self.client.protocol(smtputf8=mail.smtputf8),
            smtputf8=mail.smtputf8,
            declared_octets=mail.declared_octets,
        )


def _conflicts(transaction: Transaction, decision: Decision) -> bool:
    """Whether one answer to DATA could not be true for this recipient too.

    Only where the sender did not declare the size: limits that differ would need two answers.
    """
    if transaction.mail.declared_octets is not None or not transaction.recipients:
        return False
    first = next(iter(transaction.recipients.values()))
    return decision.max_octets != first.decision.max_octets


def _refuse_content(transaction: Transaction, octets: bytes, header: bytes) -> Reply | None:
    limit = transaction.max_octets
    if limit is not None and len(octets) > limit:
        return replies.ADDRESS_SIZE
    if not octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r"):
        return replies.BARE_LINE_ENDS
    if trace.count_hops(header) >= trace.MAX_HOPS:
        return replies.TOO_MANY_HOPS
    return None


def _digest(envelope: Envelope, recipients: tuple[Recipient, ...], octets: bytes) -> bytes:
    """What two deliveries of the same message by the same sender have in common."""
    whole = sha256("\0".join([envelope.sender, *sorted(r.key for r in recipients), ""]).encode())
    whole.update(octets)
    return whole.digest()
