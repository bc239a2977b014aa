"""Asks one next hop about mailboxes: MAIL FROM:<>, RCPT TO, RSET, and no message.

The null sender is used so that nothing that checks senders at the hop is asked back (RFC 5321
§4.5.5). A connection stays open for a short while, as a sender's recipients come one by one.
"""

import asyncio
from contextlib import suppress

from msgspec.structs import replace

from gateway.routing.address import Address
from gateway.routing.call_ahead import Presence, Word, readable, understand
from gateway.routing.facts import Hop
from gateway.transports.connection import TROUBLE, converse
from gateway.transports.conversation import Conversation
from gateway.transports.reply import Reply

# As long as Postfix keeps a connection that it may need again (smtp_connection_cache_time_limit).
IDLE_SECONDS = 2.0
RSET = b"RSET\r\n"


class Caller:
    """One hop, asked over at most `connections` at a time; `is_idle` when it can be forgotten."""

    def __init__(
        self, hop: Hop, *, hostname: str, connections: int, connect_seconds: float
    ) -> None:
        self._hop = hop
        self._connect_seconds = connect_seconds
        self._hostname = hostname
        self._turns = asyncio.Semaphore(connections)
        self._open: dict[Conversation, asyncio.TimerHandle] = {}
        self._asking = 0

    @property
    def is_idle(self) -> bool:
        """Whether nobody asks and no connection is open."""
        return not self._asking and not self._open

    async def ask(self, mailbox: Address) -> Word:
        """What the hop says of a mailbox. Raises what TROUBLE names."""
        self._asking += 1
        try:
            async with self._turns:
                if (conversation := self._reuse()) is not None:
                    with suppress(*TROUBLE):  # it was closed just now: ask over a new one
                        return await self._ask_over(conversation, mailbox)
                return await self._ask_over(await self._opened(), mailbox)
        finally:
            self._asking -= 1

    def close(self) -> None:
        """End the connections that nobody uses."""
        while self._open:
            conversation, timer = self._open.popitem()
            timer.cancel()
            conversation.drop()

    async def _opened(self) -> Conversation:
        return await converse(
            self._hop, hostname=self._hostname, connect_seconds=self._connect_seconds
        )

    def _reuse(self) -> Conversation | None:
        while self._open:
            conversation, timer = self._open.popitem()
            timer.cancel()
            if conversation.is_open:
                return conversation
        return None

    async def _ask_over(self, conversation: Conversation, mailbox: Address) -> Word:
        try:
            word = await _transact(conversation, mailbox)
        except BaseException:  # an answer that comes too late is nobody's
            conversation.drop()
            raise
        if conversation.is_open:
            loop = asyncio.get_running_loop()
            self._open[conversation] = loop.call_later(IDLE_SECONDS, self._retire, conversation)
        return word

    def _retire(self, conversation: Conversation) -> None:
        """Take leave; the loop reads the answer to QUIT, if one comes."""
        del self._open[conversation]
        if conversation.is_open:
            conversation.write([b"QUIT\r\n"], replies=1)
        asyncio.get_running_loop().call_later(IDLE_SECONDS, conversation.drop)


async def _transact(conversation: Conversation, mailbox: Address) -> Word:
    """One question over an open conversation, which is left ready for the next."""
    address = str(mailbox)
    parameters = "" if address.isascii() else " SMTPUTF8"
    offers = "smtputf8" in conversation.extensions
    if parameters and not offers:
        return Word(Presence.UNKNOWN, "the server does not take internationalised mail", offers)
    asked = [f"MAIL FROM:<>{parameters}\r\n".encode(), f"RCPT TO:<{address}>\r\n".encode()]
    sender, recipient, *_ = await _hear(conversation, [*asked, RSET])
    if not sender.is_positive:
        return Word(Presence.UNKNOWN, readable(f"MAIL was answered {sender}"), offers)
    return replace(understand(recipient.code, recipient.text), offers_smtputf8=offers)


async def _hear(conversation: Conversation, commands: list[bytes]) -> list[Reply]:
    """The replies in order; the last one, to RSET, may be missing where the hop has closed."""
    heard: list[Reply] = []
    if conversation.is_pipelined:
        conversation.write(commands, replies=len(commands))
    try:
        for command in commands:
            if not conversation.is_pipelined:
                conversation.write([command], replies=1)
            heard.append(await conversation.reply())
    except TROUBLE:
        conversation.drop()
        if len(heard) < len(commands) - 1:
            raise
    return heard
