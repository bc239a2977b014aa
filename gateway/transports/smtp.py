"""SMTP to a next hop (RFC 5321): one message per transaction, many in a row on one connection.

Trouble before the first MAIL means that the hop is unreachable and never fails a message; after
that 4xx and a lost connection defer, 5xx fails, each recipient by itself. Lines and octets leave as
they were stored.
"""

from collections.abc import Sequence

import aiosmtplib

from gateway.routing.facts import Hop
from gateway.smarthost import Login
from gateway.transports import transaction as transactions
from gateway.transports.base import Envelope, Outcome, Result
from gateway.transports.connection import CONNECT_SECONDS, TROUBLE, converse
from gateway.transports.conversation import Conversation
from gateway.transports.reply import BadReply, Reply
from gateway.transports.transaction import Transaction

# Too many recipients in this transaction (RFC 5321 §4.5.3.1.10): the others go in the next one.
TOO_MANY = "4.5.3"


class SmtpTransport:
    """One connection to a next hop: opened on first use, and again after the hop closed it."""

    needs_octets = True

    def __init__(self, hop: Hop, *, hostname: str, login: Login | None = None) -> None:
        self._hop = hop
        self._hostname = hostname
        self._login = login
        self._conversation: Conversation | None = None
        self._remote = f"{hop.host}:{hop.port}"
        self._transaction = Transaction([], [])

    async def send(self, envelopes: Sequence[Envelope], octets: bytes) -> list[Outcome]:
        was_open = self._is_open
        outcomes = await self._try(envelopes, octets)
        if was_open and not self._is_open and not self._transaction.is_begun:
            outcomes = await self._try(envelopes, octets)  # the hop had closed the idle connection
        return outcomes

    def answers(self) -> list[Outcome | None]:
        said = self._transaction
        return [
            reply and self._outcome(reply, is_at_once=_is_split_off(reply, said))
            for reply in said.replies
        ]

    async def close(self) -> None:
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            await conversation.quit()

    def abort(self) -> None:
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.drop()

    @property
    def _is_open(self) -> bool:
        return self._conversation is not None and self._conversation.is_open

    async def _try(self, envelopes: Sequence[Envelope], octets: bytes) -> list[Outcome]:
        self._transaction = Transaction([], [])
        try:
            conversation = await self._open()
        except TROUBLE as error:
            outcome = Outcome(Result.DEFERRED, _sentence(error), self._remote, is_unreachable=True)
            return [outcome] * len(envelopes)
        planned = transactions.plan(envelopes, octets, conversation.extensions)
        if isinstance(planned, Reply):
            return [self._outcome(planned)] * len(envelopes)
        self._transaction = planned
        lost = await self._transact(conversation, planned)
        return [answer or lost for answer in self.answers()]

    async def _open(self) -> Conversation:
        if self._conversation is None or not self._conversation.is_open:
            self.abort()
            self._conversation = await converse(
                self._hop,
                hostname=self._hostname,
                login=self._login,
                connect_seconds=CONNECT_SECONDS,
            )
            self._remote = f"{self._hop.host}[{self._conversation.peer}]:{self._hop.port}"
        return self._conversation

    async def _transact(self, conversation: Conversation, transaction: Transaction) -> Outcome:
        """Carry the transaction out; returns the outcome of those who got no reply, if any."""
        try:
            await self._offer(conversation, transaction)
            if transaction.taken:
                transaction.is_sent = True
                await self._conclude(conversation, transaction)
            elif not transaction.awaits_content:
                await self._reset(conversation, transaction)
        except TROUBLE as error:
            self.abort()
            return Outcome(Result.DEFERRED, _sentence(error), self._remote)
        if not _is_reusable(transaction):
            self.abort()
        return Outcome(Result.DEFERRED, "No reply.", self._remote)

    async def _offer(self, conversation: Conversation, transaction: Transaction) -> None:
        """MAIL, RCPT and DATA, all at once where the hop offers PIPELINING (RFC 2920)."""
        is_pipelined = conversation.is_pipelined
        try:
            if is_pipelined:
                conversation.write(transaction.commands, replies=len(transaction.commands))
            for command in transaction.commands:
                if not is_pipelined:
                    if transaction.is_pointless(command):
                        break
                    conversation.write([command], replies=1)
                transaction.heard.append(await conversation.reply())
        finally:
            transaction.judge_offer()
        if transaction.taken and transaction.is_out_of_step:
            raise BadReply(f"DATA was answered {transaction.heard[-1]}")

    async def _conclude(self, conversation: Conversation, transaction: Transaction) -> None:
        """The content, and the reply to it, which counts for all who were taken."""
        conversation.write(transaction.content, replies=1)
        transaction.answer(await conversation.reply())

    async def _reset(self, conversation: Conversation, transaction: Transaction) -> None:
        """Make the connection fit for the next message."""
        if transaction.is_begun and _is_reusable(transaction):
            await conversation.ask(b"RSET\r\n")

    def _outcome(self, reply: Reply, *, is_at_once: bool = False) -> Outcome:
        if reply.is_positive:
            result = Result.DELIVERED
        else:
            result = Result.FAILED if reply.is_permanent else Result.DEFERRED
        return Outcome(result, str(reply), self._remote, is_at_once=is_at_once)


def _is_reusable(transaction: Transaction) -> bool:
    """Whether another message may follow on the connection.

    Not after 421, nor where the hop waits for content that nobody is to get, or for more of it.
    """
    answers = [reply for reply in transaction.replies if reply is not None]
    is_closing = any(reply.code == 421 for reply in (*transaction.heard, *answers))
    is_astray = transaction.is_out_of_step or any(reply.is_intermediate for reply in answers)
    return not (is_closing or is_astray) and transaction.awaits_content == transaction.is_sent


def _is_split_off(reply: Reply, transaction: Transaction) -> bool:
    """Whether a recipient was only one too many for this transaction, and goes in the next."""
    return transaction.is_sent and reply.code == 452 and reply.text.startswith(TOO_MANY)


def _sentence(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {error.message}"
    return str(error) or type(error).__name__
