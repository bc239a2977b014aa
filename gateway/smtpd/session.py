"""One SMTP session: aiosmtpd's protocol with our path parser, our replies and our intake.

An outer shell: whatever fails inside is logged here and answered 451 4.3.0 in one fixed text.
"""

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address, ip_address
from ssl import SSLContext
from typing import Any
from uuid import UUID

import structlog
from aiosmtpd.smtp import SMTP, TLSSetupException

from gateway import metrics
from gateway.bell import ring
from gateway.ids import queue_id, uuid7
from gateway.intake import Envelope, Incoming, Intake, Recipient, StoreFailed
from gateway.refusals import RefusalLog
from gateway.routing import replies
from gateway.routing.address import Address, AddressError, parse_domain
from gateway.routing.decision import Decision
from gateway.routing.facts import Directory, Facts, LookupFailed, Platform, Session
from gateway.routing.replies import Reply
from gateway.routing.resolve import resolve, resolve_postmaster
from gateway.smtpd import trace
from gateway.smtpd.command import CommandError, Mail, parse_mail, parse_rcpt

log = structlog.get_logger("gateway")

LINE_LIMIT_OCTETS = 64 * 1024
COMMAND_LIMIT_OCTETS = 2048
IDLE_SECONDS = 300
# aiosmtpd's own replies carry no enhanced code (RFC 2034 asks for one); the rest of the table
# in one place: reply code to enhanced code.
ENHANCED = {
    "221": "2.0.0",
    "250": "2.0.0",
    "252": "2.5.0",
    "451": "4.3.0",
    "454": "4.7.0",
    "500": "5.5.2",
    "501": "5.5.4",
    "502": "5.5.1",
    "503": "5.5.1",
    "530": "5.7.0",
    "538": "5.7.11",
    "552": "5.3.4",
    "554": "5.5.1",
    "555": "5.5.4",
}
EXTENSIONS = ("8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES")


@dataclass(slots=True)
class Services:
    """What every session of a process shares."""

    directory: Directory
    intake: Intake
    refusals: RefusalLog
    platform: Platform
    max_recipients: int
    data_budget_octets: int
    data_in_flight: int = 0
    sessions: set["GatewaySession"] = field(default_factory=set)


@dataclass(slots=True)
class Transaction:
    """What has been said between MAIL and the final dot."""

    id: UUID
    mail: Mail
    envelope: Envelope
    recipients: dict[str, Recipient] = field(default_factory=dict)  # by key
    max_octets: int | None = None


class Handler:
    """aiosmtpd's hooks; each hands over to the session it is called for."""

    async def handle_DATA(  # noqa: N802
        self, server: "GatewaySession", _session: Any, envelope: Any
    ) -> str:
        return str(await server.finish(envelope.original_content))


class GatewaySession(SMTP):
    """The protocol of one connection."""

    line_length_limit = LINE_LIMIT_OCTETS
    command_size_limit = COMMAND_LIMIT_OCTETS
    command_size_limits = defaultdict(lambda: COMMAND_LIMIT_OCTETS)
    session: Any  # aiosmtpd's own state, set anew with each connection and STARTTLS
    envelope: Any

    def __init__(self, services: Services, *, tls: SSLContext | None, idle: float) -> None:
        self.services = services
        self.transaction: Transaction | None = None
        self._is_busy = False
        super().__init__(
            Handler(),
            data_size_limit=services.platform.max_message_octets,
            enable_SMTPUTF8=True,
            hostname=services.platform.hostname,
            ident="ESMTP",
            tls_context=tls,
            timeout=idle,
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            loop=asyncio.get_running_loop(),
        )

    # --- the connection ---------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self not in self.services.sessions:
            self.services.sessions.add(self)
            metrics.CONNECTIONS.inc()

    def connection_lost(self, error: Exception | None) -> None:
        if self in self.services.sessions:
            self.services.sessions.discard(self)
            metrics.CONNECTIONS.dec()
        super().connection_lost(error)

    def _timeout_cb(self) -> None:
        self.say_goodbye(replies.IDLE)

    def say_goodbye(self, reply: Reply) -> None:
        """Close from our side, telling the client why first (RFC 5321 §3.8)."""
        if self.transport is not None and not self.transport.is_closing():
            self._writer.write(f"{reply.code} {reply.enhanced} {reply.text}\r\n".encode())
            self.transport.close()

    @property
    def is_between_messages(self) -> bool:
        """Whether closing now interrupts no message."""
        return not self._is_busy

    async def push(self, status: str | bytes) -> None:
        """Every reply leaves here: aiosmtpd's own ones get their enhanced code."""
        text = status.decode() if isinstance(status, bytes) else status
        await super().push(_with_enhanced_code(text))

    async def handle_exception(self, error: Exception) -> str:
        """The outer shell: nothing of the error reaches the peer."""
        level = log.info if isinstance(error, TLSSetupException) else log.error
        level("session failed", client=self._client_text(), error=repr(error), exc_info=error)
        return str(replies.TROUBLE)

    # --- commands ---------------------------------------------------------

    def _set_post_data_state(self) -> None:
        super()._set_post_data_state()  # type: ignore[no-untyped-call]
        self.transaction = None
        self._is_busy = False

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802
        await super().smtp_HELO(_one_word(hostname))

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        """Greets in one write with every extension this gateway keeps (RFC 5321 §4.1.1.1)."""
        name = _one_word(hostname)
        if not name:
            await self.push("501 Syntax: EHLO hostname")
            return
        self._set_rset_state()  # type: ignore[no-untyped-call]
        self.session.extended_smtp = True
        self.session.host_name = name
        keywords = [f"SIZE {self.data_size_limit}", *EXTENSIONS]
        if self.tls_context and not self._tls_protocol:
            keywords.append("STARTTLS")
        lines = [self.hostname, *keywords]
        greeting = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        await super().push("\r\n".join(greeting))

    async def smtp_VRFY(self, arg: str | None) -> None:  # noqa: N802
        """Tells nothing about addresses (RFC 5321 §7.3)."""
        await self.push("501 Syntax: VRFY <address>" if not arg else str(replies.CANNOT_VERIFY))

    async def smtp_HELP(self, _arg: str | None) -> None:  # noqa: N802
        await self.push("214 2.0.0 See RFC 5321")

    async def smtp_AUTH(self, _arg: str | None) -> None:  # noqa: N802
        """Not offered where strangers deliver (RFC 4954 belongs to submission)."""
        await self.push("502 AUTH is not offered here")

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        await self.push(str(self._mail(arg or "")))

    def _mail(self, argument: str) -> Reply:
        if not self.session.host_name:
            return replies.NEEDS_HELO
        if self.transaction is not None:
            return replies.NESTED_MAIL
        try:
            mail = parse_mail(argument)
        except CommandError as error:
            return error.reply
        if (mail.declared_octets or 0) > self.services.platform.max_message_octets:
            return replies.SYSTEM_SIZE
        identifier = uuid7()
        self.transaction = Transaction(identifier, mail, self._envelope(identifier, mail))
        self.envelope.smtp_utf8 = mail.smtputf8
        self.envelope.mail_from = str(mail.sender) if mail.sender else "<>"
        return replies.SENDER_OK

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        await self.push(str(await self._rcpt(arg or "")))

    async def _rcpt(self, argument: str) -> Reply:
        transaction = self.transaction
        if transaction is None:
            return replies.NEEDS_MAIL
        try:
            rcpt = parse_rcpt(argument, smtputf8=transaction.mail.smtputf8)
        except CommandError as error:
            return error.reply
        if len(transaction.recipients) >= self.services.max_recipients:
            return replies.TOO_MANY_RECIPIENTS
        started = time.perf_counter()
        try:
            decision = await self._decide(transaction, rcpt.recipient)
        except LookupFailed as error:
            log.warning(
                "directory failed", queue_id=transaction.envelope.queue_id, error=str(error)
            )
            return replies.TROUBLE
        metrics.LOOKUP_SECONDS.observe(time.perf_counter() - started)
        key = rcpt.recipient.key if rcpt.recipient else rcpt.text
        return self._take(transaction, Recipient(rcpt.text, key, decision))

    async def _decide(self, transaction: Transaction, recipient: Address | None) -> Decision:
        mail = transaction.mail
        session = Session(mail.sender, mail.declared_octets, self._client_text())
        if recipient is None:
            facts = Facts(self.services.platform, now=datetime.now(UTC))
            return resolve_postmaster(session, facts)
        return resolve(recipient, session, await self.services.directory.facts([recipient]))

    def _take(self, transaction: Transaction, recipient: Recipient) -> Reply:
        """Keep an accepted recipient, note a refused one, log either in one line."""
        decision = recipient.decision
        reply = decision.reply
        if reply.is_accepted and _conflicts(transaction, decision):
            reply = replies.TOO_MANY_RECIPIENTS
        elif reply.is_accepted:
            transaction.recipients.setdefault(recipient.key, recipient)  # said twice, stored once
            transaction.max_octets = decision.max_octets
            self.envelope.rcpt_tos.append(recipient.text)
        else:
            self.services.refusals.note(transaction.envelope, recipient)
        metrics.RECIPIENTS.labels(reply.reason).inc()
        log.info(
            "decision",
            queue_id=transaction.envelope.queue_id,
            client=self._client_text(),
            sender=transaction.envelope.sender,
            recipient=recipient.text,
            reason=reply.reason,
            reply=f"{reply.code} {reply.enhanced}",
            strategy=decision.strategy,
            rule=decision.rule,
        )
        return reply

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        """As aiosmtpd's, within the process's budget for octets in flight."""
        services, transaction = self.services, self.transaction
        if transaction is None or not transaction.recipients:
            await super().smtp_DATA(arg)
            return
        reserved = transaction.mail.declared_octets or LINE_LIMIT_OCTETS
        if services.data_in_flight + reserved > services.data_budget_octets:
            await self.push(str(replies.NO_SPACE))
            return
        services.data_in_flight += reserved
        self._is_busy = True
        try:
            await super().smtp_DATA(arg)
        finally:
            services.data_in_flight -= reserved
            self._is_busy = False

    # --- the message ------------------------------------------------------

    async def finish(self, content: bytes) -> Reply:
        """The answer to a complete DATA: everything is durable before it says 250."""
        transaction = self.transaction
        if transaction is None:
            return replies.NEEDS_MAIL
        header = trace.header_of(content)
        reply = _refuse_content(transaction, content, header)
        if reply is None:
            started = time.perf_counter()
            reply = await self._store(self._incoming(transaction, content, header))
            metrics.STORE_SECONDS.observe(time.perf_counter() - started)
        if not reply.is_accepted:
            self._note_all(transaction, reply)
        metrics.MESSAGES.labels(reply.reason).inc()
        log.info(
            "message",
            queue_id=transaction.envelope.queue_id,
            client=self._client_text(),
            sender=transaction.envelope.sender,
            recipients=len(transaction.recipients),
            octets=len(content),
            reason=reply.reason,
            reply=f"{reply.code} {reply.enhanced}",
        )
        return reply

    async def _store(self, message: Incoming) -> Reply:
        try:
            reply = await self.services.intake.store(message)
        except StoreFailed as error:
            return error.reply
        if reply.is_accepted:
            metrics.OCTETS.inc(len(message.octets))
            ring()
        return reply

    def _incoming(self, transaction: Transaction, content: bytes, header: bytes) -> Incoming:
        envelope, recipients = transaction.envelope, tuple(transaction.recipients.values())
        line = trace.received(
            helo=envelope.helo,
            client=self._client_text(),
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
            octets=line + content,
            message_id=trace.message_id(header),
            digest=_digest(envelope, recipients, content),
        )

    def _note_all(self, transaction: Transaction, reply: Reply) -> None:
        """Recipients taken at RCPT and refused with the whole message are records too."""
        for recipient in transaction.recipients.values():
            refused = recipient.decision.refused_with(reply)
            self.services.refusals.note(
                transaction.envelope, Recipient(recipient.text, recipient.key, refused)
            )

    # --- who is speaking --------------------------------------------------

    def _envelope(self, identifier: UUID, mail: Mail) -> Envelope:
        return Envelope(
            queue_id=queue_id(identifier),
            sender=str(mail.sender) if mail.sender else "",
            client=_client(self.session.peer),
            helo=self.session.host_name,
            protocol=self._protocol(smtputf8=mail.smtputf8),
            smtputf8=mail.smtputf8,
            declared_octets=mail.declared_octets,
        )

    def _client_text(self) -> str:
        return str(_client(self.session.peer) or "unknown")

    def _protocol(self, *, smtputf8: bool) -> str:
        """The keyword of the Received line (RFC 3848, RFC 6531 §4.3)."""
        if not self.session.extended_smtp:
            return "SMTP"
        return ("UTF8SMTP" if smtputf8 else "ESMTP") + ("S" if self.session.ssl else "")


def _conflicts(transaction: Transaction, decision: Decision) -> bool:
    """Whether one answer to DATA could not be true for this recipient too.

    Only where the sender did not declare the size: limits that differ would need two answers.
    """
    if transaction.mail.declared_octets is not None or not transaction.recipients:
        return False
    return decision.max_octets != transaction.max_octets


def _refuse_content(transaction: Transaction, content: bytes, header: bytes) -> Reply | None:
    if transaction.max_octets is not None and len(content) > transaction.max_octets:
        return replies.ADDRESS_SIZE
    if not content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r"):
        return replies.BARE_LINE_ENDS
    if trace.count_hops(header) >= trace.MAX_HOPS:
        return replies.TOO_MANY_HOPS
    return None


def _digest(envelope: Envelope, recipients: tuple[Recipient, ...], content: bytes) -> bytes:
    """What two deliveries of the same message by the same sender have in common."""
    whole = sha256("\0".join([envelope.sender, *sorted(r.key for r in recipients), ""]).encode())
    whole.update(content)
    return whole.digest()


def _client(peer: Any) -> IPv4Address | IPv6Address | None:
    """The peer's address; None for a peer without one."""
    try:
        address = ip_address(str(peer[0]).partition("%")[0])
    except (ValueError, IndexError, TypeError):
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _one_word(hostname: str | None) -> str:
    """A HELO argument that is fit for a header and a log: a domain or an address literal."""
    try:
        return parse_domain((hostname or "").strip())
    except AddressError:
        text = (hostname or "").strip()
        return text if text.isascii() and text.isprintable() and " " not in text else ""


def _with_enhanced_code(reply: str) -> str:
    """`250 OK` becomes `250 2.0.0 OK`; replies that have a code stay, and so does the greeting."""
    code, text = reply[:3], reply[4:]
    enhanced = ENHANCED.get(code)
    if enhanced is None or text.startswith(f"{code[0]}."):
        return reply
    return f"{code} {enhanced} {text}"
