"""An open connection to a next hop that is ready for MAIL: commands out, replies in, in order.

No more replies are taken than are due: a surplus one would be taken for the next command's.

Several commands may be under way at once (RFC 2920). Measured against a client that waits for each
reply by itself: a system call a command was two fifths of all the time of a worker.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress

from gateway.transports.reply import BadReply, Reply, ReplyReader

QUIT_SECONDS = 2.0


class ConversationLost(ConnectionError):
    """The other side ended the connection while a reply was due."""


class Conversation(asyncio.Protocol):
    """Takes a transport over from whoever opened it; `extensions` are what EHLO offered."""

    def __init__(
        self, transport: asyncio.Transport, *, extensions: Mapping[str, str], peer: str
    ) -> None:
        self.extensions = extensions
        self.peer = peer
        self._transport = transport
        self._reader = ReplyReader()
        self._replies: deque[Reply] = deque()
        self._due = 0
        self._waiter: asyncio.Future[None] | None = None
        self._trouble: ConnectionError | None = None
        transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether a command may follow; not while a reply to another is due."""
        is_up = self._trouble is None and not self._transport.is_closing()
        return is_up and not self._due

    @property
    def is_pipelined(self) -> bool:
        """Whether commands may follow each other without waiting (RFC 2920)."""
        return "pipelining" in self.extensions

    def write(self, parts: Iterable[bytes], *, replies: int) -> None:
        """Send octets that so many replies answer; nothing is waited for."""
        self._due += replies
        self._transport.writelines(parts)

    async def reply(self) -> Reply:
        """The next reply. Raises ConnectionError where none comes any more."""
        while not self._replies:
            if self._trouble is not None:
                raise self._trouble
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._due -= 1
        return self._replies.popleft()

    async def ask(self, command: bytes) -> Reply:
        """The reply to one command. Raises ConnectionError."""
        self.write([command], replies=1)
        return await self.reply()

    async def quit(self) -> None:
        """Take leave, without waiting long for an answer; never raises."""
        if self.is_open:
            with suppress(OSError):  # a timeout is one, too
                async with asyncio.timeout(QUIT_SECONDS):
                    await self.ask(b"QUIT\r\n")
        self.drop()

    def drop(self) -> None:
        """End at once, without waiting for TLS to say good-bye."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            for reply in self._reader.feed(data):  # what comes before a malformed line was said
                self._keep(reply)
        except BadReply as error:
            self._trouble = error
            self.drop()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._trouble is None:
            self._trouble = ConversationLost(f"Connection lost{f': {exc}' if exc else ''}")
        self._wake()

    def _keep(self, reply: Reply) -> None:
        if len(self._replies) == self._due:
            raise BadReply(f"Nothing asked for the reply {reply}")
        self._replies.append(reply)

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done() and (self._replies or self._trouble):
            waiter.set_result(None)
