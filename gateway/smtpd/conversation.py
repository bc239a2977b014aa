"""What is said between MAIL and the final dot: arguments in, replies out, no sockets.

Both ways through the session (aiosmtpd's commands and the plain ones it answers itself) end here,
so that they cannot differ. A reply that needs the database is an awaitable of a Reply.
"""

import asyncio
import errno
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import structlog
from msgspec.structs import replace

from gateway import metrics
from gateway.bell import ring
from gateway.ids import queue_id, uuid7
from gateway.incoming import Envelope, Incoming, Recipient
from gateway.inspection import claims
from gateway.inspection.inspector import (
    Examined,
    Inspection,
    Inspector,
    all_said,
    first_reply,
    inspect_all,
)
from gateway.intake import StoreFailed
from gateway.pending import Pending, pending_of
from gateway.routing import replies
from gateway.routing.address import Address
from gateway.routing.decision import Decision
from gateway.routing.facts import Facts, LookupFailed, Session
from gateway.routing.replies import Reply
from gateway.routing.resolve import resolve, resolve_postmaster
from gateway.smtpd import trace
from gateway.smtpd.command import CommandError, Mail, Rcpt, parse_bdat, parse_mail, parse_rcpt
from gateway.smtpd.content import MOST_IN_MEMORY_OCTETS, SHARE_OCTETS, Content
from gateway.smtpd.foresight import Foresight
from gateway.smtpd.refusal import refuse_content
from gateway.smtpd.strangers import Guest
from gateway.smtpd.transaction import Chunk, Client, Services, Transaction

log = structlog.get_logger("gateway")

Answer = Reply | Pending[Reply]
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Conversation:
    """The mail transactions of one session (RFC 5321 §3.3)."""

    def __init__(self, services: Services, guest: Guest) -> None:
        self.services = services
        self.guest = guest
        self.client = Client()
        self.transaction: Transaction | None = None
        self._chunk: Chunk | None = None
        self._foresight = Foresight()

    @property
    def _authserv_id(self) -> str:
        return self.services.platform.authserv_id

    @property
    def is_receiving(self) -> bool:
        """Whether a message is between its first octet and its answer."""
        return self.transaction is not None and self.transaction.content is not None

    def reset(self) -> None:
        """Forget the transaction, as RSET, EHLO and the end of a message do."""
        transaction, self.transaction = self.transaction, None
        self._foresight.forget()
        if transaction is not None:
            self.services.data_in_flight -= transaction.reserved_octets
            if transaction.content is not None:
                transaction.content.drop()

    def abandon(self) -> None:
        """The client is gone: forget the transaction, unless its message is being stored."""
        if self.transaction is not None and self.transaction.is_being_stored:
            self.transaction.is_abandoned = True
        else:
            self.reset()

    def mail(self, argument: str) -> Answer:
        """The answer to MAIL."""
        if not self.client.helo:
            return replies.NEEDS_HELO
        if self.transaction is not None:
            return replies.NESTED_MAIL
        if self.guest.is_over_budget():
            metrics.FLOOD_REFUSALS.inc()
            return replies.CLIENT_FLOOD
        try:
            mail = parse_mail(argument, offers_dsn=self.services.terms.offers_dsn)
        except CommandError as error:
            return error.reply
        return self._refuse_size(mail.declared_octets or 0) or self._start(mail)

    def _start(self, mail: Mail) -> Answer:
        """Begin a transaction, unless the database may be away and says nothing."""
        if self.services.directory.is_in_doubt:
            nobody = self.services.directory.facts([])
            return nobody.then(lambda _: self._open(mail), self._defer)
        return self._open(mail)

    def _open(self, mail: Mail) -> Reply:
        identifier = uuid7()
        self.transaction = Transaction(identifier, mail, self._envelope(identifier, mail))
        return replies.SENDER_OK

    def _defer(self, error: BaseException) -> Reply | None:
        """No mail is begun while the database is away."""
        if not isinstance(error, LookupFailed):
            return None
        log.warning("directory failed", client=self.client.text, error=str(error))
        return replies.TROUBLE

    def _refuse_size(self, declared_octets: int) -> Reply | None:
        if declared_octets > self.services.platform.max_message_octets:
            return replies.SYSTEM_SIZE
        return replies.NO_SPACE if self.services.room.disk.is_low else None

    def foresee(self, arguments: Iterable[str]) -> None:
        """Look up together what RCPTs that came together ask (RFC 2920 §3.1)."""
        if self.transaction is not None and not self.guest.is_over_budget():
            self._foresight.look(
                arguments,
                self.services.directory,
                smtputf8=self.transaction.mail.smtputf8,
                offers_dsn=self.services.terms.offers_dsn,
            )

    def rcpt(self, argument: str) -> Answer:
        """The answer to RCPT, from facts read while the client waits."""
        foreseen = self._foresight.take(argument)
        transaction = self.transaction
        if transaction is None or transaction.content is not None:
            return replies.CONTENT_HAS_BEGUN if transaction else replies.NEEDS_MAIL
        if self.guest.is_over_budget():
            metrics.FLOOD_REFUSALS.inc()
            return self._say_decision(transaction, argument, replies.CLIENT_FLOOD)
        try:
            rcpt = parse_rcpt(
                argument,
                smtputf8=transaction.mail.smtputf8,
                offers_dsn=self.services.terms.offers_dsn,
            )
        except CommandError as error:
            return self._say_decision(transaction, argument, error.reply)
        if transaction.accepted >= self.services.max_recipients:
            return self._say_decision(transaction, rcpt.text, replies.TOO_MANY_RECIPIENTS)
        address = rcpt.recipient
        if address is None:
            return self._take(transaction, rcpt, resolve_postmaster(*self._plain(transaction)))
        started = time.perf_counter()
        facts = foreseen or self.services.directory.facts([address])

        def decide(found: Facts) -> Answer:
            metrics.LOOKUP_SECONDS.observe(time.perf_counter() - started)
            decision = self._resolve(transaction, address, found)
            if decision.called_ahead:
                return self._call_ahead(transaction, rcpt, decision)
            return self._admit(transaction, rcpt, decision)

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
        if self.is_receiving:
            return replies.CONTENT_HAS_BEGUN
        return self._begin()

    def bdat(self, argument: str) -> int | Reply:
        """How many octets follow a BDAT; a reply where it announces none (RFC 3030 §2).

        They follow whatever will be answered, so they are taken off the wire in any case.
        """
        try:
            size_octets, is_last = parse_bdat(argument)
        except CommandError as error:
            return error.reply
        self._chunk = Chunk(is_last, replies.TROUBLE)
        return size_octets

    def begin_chunk(self) -> None:
        """Make ready for the chunk that BDAT announced; where this fails it is answered so."""
        if self._chunk is not None:
            refusal = None if self.is_receiving else self._begin()
            self._chunk = Chunk(self._chunk.is_last, refusal)

    def add(self, octets: bytes) -> Pending[bool] | None:
        """Take octets of the message. Where a result is pending, no more may come before it."""
        transaction = self.transaction
        if transaction is None or transaction.content is None or transaction.refusal is not None:
            return None
        writing = transaction.content.add(octets)
        if transaction.content.size_octets > self.services.platform.max_message_octets:
            self._refuse(transaction, replies.SYSTEM_SIZE)
        elif not self._has_room(transaction, transaction.content.in_memory_octets):
            self._refuse(transaction, replies.NO_SPACE)
        return None if writing is None else self._watched(transaction, writing)

    def fail(self, reply: Reply) -> None:
        """The message that is coming in is answered so in the end."""
        if self.transaction is not None:
            self._refuse(self.transaction, reply)

    def end(self) -> Answer:
        """The answer to a whole message, or to a chunk of one that goes on."""
        chunk, self._chunk = self._chunk, None
        transaction = self.transaction
        if chunk is not None and chunk.refusal is not None:
            self.reset()  # no later chunk may pass for the whole message
            return chunk.refusal
        if transaction is None or transaction.content is None:
            return replies.NEEDS_RCPT
        if chunk is not None and not chunk.is_last and transaction.refusal is None:
            return replies.OK
        return self._settle(transaction, transaction.content)

    def _plain(self, transaction: Transaction) -> tuple[Session, Facts]:
        facts = Facts(self.services.platform, now=datetime.now(UTC))
        return self._session(transaction), facts

    def _session(self, transaction: Transaction) -> Session:
        mail = transaction.mail
        return Session(mail.sender, mail.declared_octets, self.client.text)

    def _resolve(self, transaction: Transaction, address: Address, facts: Facts) -> Decision:
        return resolve(address, self._session(transaction), facts)

    def _call_ahead(self, transaction: Transaction, rcpt: Rcpt, decision: Decision) -> Answer:
        """Ask the hops of its mailboxes first; where that fails, it is as if nobody had asked."""
        is_international = transaction.mail.smtputf8
        judged = self.services.call_ahead.judge(decision, is_international=is_international)
        if isinstance(judged, Decision):
            return self._admit(transaction, rcpt, judged)

        def fail(error: BaseException) -> Decision:
            log.error("call-ahead failed", queue_id=transaction.envelope.queue_id, exc_info=error)
            return decision

        known = judged.then(lambda known: known, fail)
        return known.then(lambda known: self._admit(transaction, rcpt, known), lambda _: None)

    def _admit(self, transaction: Transaction, rcpt: Rcpt, decision: Decision) -> Answer:
        """Take the recipient, or first let inspectors see whether they can say something of it."""
        is_screened = decision.asks and decision.reply.is_accepted
        take = self._screen if is_screened else self._take
        return take(transaction, rcpt, decision)

    def _take(self, transaction: Transaction, rcpt: Rcpt, decision: Decision) -> Reply:
        """Keep an accepted recipient, note a refused one, log either in one line."""
        reply = decision.reply
        recipient = Recipient(rcpt.text, rcpt.key, decision, dsn=rcpt.dsn)
        if reply.is_accepted and transaction.conflicts_with(decision):
            reply = replies.TOO_MANY_RECIPIENTS
        elif reply.is_accepted:
            transaction.accepted += 1
            transaction.recipients.setdefault(rcpt.key, recipient)  # said twice, stored once
        else:
            self.services.refusals.note(transaction.envelope, recipient)
        return self._say_decision(transaction, rcpt.text, reply, decision)

    def _screen(self, transaction: Transaction, rcpt: Rcpt, decision: Decision) -> Answer:
        """Take the recipient unless an inspector refuses it before there is a message."""
        screens = [each.screen(transaction.envelope, decision) for each in self.services.inspectors]
        asked = [screen for screen in screens if screen is not None]
        if not asked:
            return self._take(transaction, rcpt, decision)

        def take(said: list[Reply | None]) -> Reply:
            refusing = next(filter(None, said), None)
            refused = decision.refused_with(refusing, by="sender") if refusing else decision
            return self._take(transaction, rcpt, refused)

        return pending_of(asyncio.ensure_future(all_said(asked))).then(take, lambda _: None)

    def _say_decision(
        self,
        transaction: Transaction,
        recipient: str,
        reply: Reply,
        decision: Decision | None = None,
    ) -> Reply:
        """One log line and one count for each RCPT, whatever decided it."""
        metrics.recipient(reply.reason)
        said = {"call_ahead": decision.presence} if decision and decision.presence else {}
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
            **said,
        )
        return reply

    def _begin(self) -> Reply | None:
        """Make ready for content; else the reply that refuses it."""
        transaction, services = self.transaction, self.services
        if transaction is None or not transaction.recipients:
            return replies.NEEDS_RCPT
        expected = min(transaction.mail.declared_octets or SHARE_OCTETS, MOST_IN_MEMORY_OCTETS)
        if services.room.disk.is_low or not self._has_room(transaction, expected):
            metrics.message(replies.NO_SPACE.reason)
            return replies.NO_SPACE
        transaction.content = Content(
            transaction.seed,
            normalises=services.terms.normalises_line_ends,
            spool_folder=services.room.spool_folder,
        )
        return None

    def _has_room(self, transaction: Transaction, octets: int) -> bool:
        """Whether the message may be so large in memory."""
        missing = octets - transaction.reserved_octets
        if missing <= 0:
            return True
        share = max(missing, SHARE_OCTETS if transaction.reserved_octets else 0)
        if not self.services.reserve(share):
            return False
        transaction.reserved_octets += share
        return True

    def _refuse(self, transaction: Transaction, reply: Reply) -> None:
        """What comes of the message from now on is read and forgotten."""
        transaction.refusal = reply
        if transaction.content is not None:
            transaction.content.drop()

    def _watched(self, transaction: Transaction, writing: Pending[None]) -> Pending[bool]:
        """Whether a write to the spool went well; where it did not, the message is refused."""

        def fail(error: BaseException) -> bool:
            log.error("spool failed", queue_id=transaction.envelope.queue_id, error=str(error))
            if transaction.refusal is None:
                self._refuse(transaction, _reply_to(error))
            return False

        return writing.then(lambda _: True, fail)

    def _settle(self, transaction: Transaction, content: Content) -> Answer:
        """Check what came and store it: everything is durable before it says 250."""
        writing = None if transaction.refusal else content.end()
        secrets = self.services.platform.srs_secrets
        refusal = transaction.refusal or refuse_content(transaction, content, secrets)
        if refusal is not None:
            return self._finish(transaction, content.size_octets, refusal)
        transaction.is_being_stored = True
        recipients = tuple(transaction.recipients.values())
        inspectors = [each for each in self.services.inspectors if each.is_wanted(recipients)]
        if writing is None and not inspectors:
            return self._store(transaction, content)
        written = None if writing is None else self._watched(transaction, writing)
        storing = self._store_later(transaction, content, written, inspectors)
        return pending_of(asyncio.ensure_future(storing))

    async def _store_later(
        self,
        transaction: Transaction,
        content: Content,
        written: Pending[bool] | None,
        inspectors: list[Inspector],
    ) -> Reply:
        """Store what is in its file by now and what inspectors have nothing against."""
        if written is not None:
            await written
        if inspectors and transaction.refusal is None:
            found = await self._inspect(transaction, content, inspectors)
            transaction.heed(found)
            if reply := first_reply(found):
                self._refuse(transaction, reply)
        if transaction.is_abandoned:  # it will come again, and would be there twice
            log.info("message abandoned", queue_id=transaction.envelope.queue_id)
            self.reset()
            return replies.TROUBLE
        if transaction.refusal is not None:
            return self._finish(transaction, content.size_octets, transaction.refusal)
        return await self._store(transaction, content)

    async def _inspect(
        self, transaction: Transaction, content: Content, inspectors: list[Inspector]
    ) -> list[Inspection]:
        """What inspectors say."""
        whole = partial(self.services.looking.at, content, self.guest.key)
        recipients = tuple(transaction.recipients.values())
        examined = Examined(transaction.envelope, content.header, recipients, whole)
        return await inspect_all(inspectors, examined)

    def _store(self, transaction: Transaction, content: Content) -> Pending[Reply]:
        started = time.perf_counter()
        stored = self.services.intake.store(self._incoming(transaction, content))

        def answer(reply: Reply) -> Reply:
            metrics.STORE_SECONDS.observe(time.perf_counter() - started)
            return self._finish(transaction, content.size_octets, reply)

        def fail(error: BaseException) -> Reply | None:
            return answer(error.reply) if isinstance(error, StoreFailed) else None

        return stored.then(answer, fail)

    def _incoming(self, transaction: Transaction, content: Content) -> Incoming:
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
        kept = claims.strip(content.header_section, self._authserv_id, transaction.claimed)
        return Incoming(
            id=transaction.id,
            envelope=envelope,
            recipients=recipients,
            octets=content.take(transaction.top + line, header=kept),
            message_id=trace.message_id(content.header),
            digest=content.digest,
            spool=content.spool,
        )

    def _finish(self, transaction: Transaction, size_octets: int, reply: Reply) -> Reply:
        """End the transaction with its reply, in one log line."""
        if reply.is_accepted:
            self.guest.bring()
            if reply.reason == "queued":
                metrics.OCTETS.inc(size_octets)
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
            **transaction.said,
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
            dsn=mail.dsn,
        )


def _reply_to(error: BaseException) -> Reply:
    has_no_room = isinstance(error, OSError) and error.errno in _NO_ROOM
    return replies.NO_SPACE if has_no_room else replies.TROUBLE
