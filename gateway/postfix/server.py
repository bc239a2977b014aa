"""The listener that Postfix asks, on a TCP port or a UNIX socket.

A connection is one conversation: request, answer, request. What is no request, and any error of
ours, ends that connection alone: Postfix asks once more on a new one, then defers.
"""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import structlog

from gateway import call_ahead, inspection, metrics
from gateway.counters import Counters
from gateway.directory import LOOKUP_LINKS, PostgresDirectory, PostgresMailboxes, platform
from gateway.link import Link
from gateway.postfix import delegation
from gateway.postfix.policy import Policy
from gateway.postfix.reader import Reader, Request
from gateway.postfix.socketmap import Lookup, ProtocolError
from gateway.postfix.tables import TABLES, Tables
from gateway.refusals import RefusalLog
from gateway.routing.facts import Hop

log = structlog.get_logger("gateway")

BACKLOG = 1024
READ_OCTETS = 65_536
# Longer than a look-up may take: what is being answered is answered.
DRAIN_SECONDS = 10


class LookupServer:
    """Serves tables and policy until `stop`; everything reads the database anew."""

    def __init__(self, *, gateway: Hop) -> None:
        self._links = [Link() for _ in range(LOOKUP_LINKS + 3)]
        mailboxes, counters, refusals, *lookups = self._links
        directory = PostgresDirectory(lookups)
        self.refusals = RefusalLog(refusals)
        self.tables = Tables(
            directory, PostgresMailboxes(mailboxes), platform=platform(), gateway=gateway
        )
        self._call_ahead = call_ahead.configured()
        self._inspectors = inspection.configured()
        self.policy = Policy(
            directory,
            Counters(counters),
            self.refusals,
            platform=platform(),
            inspectors=self._inspectors,
            call_ahead=self._call_ahead,
        )
        self._servers: list[asyncio.Server] = []
        self._conversations: set[Conversation] = set()
        self._recording: asyncio.Task[None] | None = None

    async def listen(self, host: str, port: int) -> int:
        """Listen on a TCP port; returns it, which differs from a port of 0. Raises OSError."""
        server = await asyncio.start_server(self._converse, host, port, backlog=BACKLOG)
        self._begin(server)
        bound: int = server.sockets[0].getsockname()[1]
        return bound

    async def listen_on_socket(self, path: str) -> None:
        """Listen on a UNIX socket; its folder says who may reach it. Raises OSError."""
        bound = _bind(path)
        self._begin(await asyncio.start_unix_server(self._converse, sock=bound, backlog=BACKLOG))

    def _begin(self, server: asyncio.Server) -> None:
        self._servers.append(server)
        if self._recording is None:
            self._recording = asyncio.get_running_loop().create_task(self.refusals.run())

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._conversations)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = Conversation(self, reader, writer)
        self._conversations.add(conversation)
        try:
            await conversation.run()
        finally:
            self._conversations.discard(conversation)

    async def answer(self, request: Request) -> bytes:
        """The octets that answer one request."""
        if isinstance(request, Lookup):
            result = await self.tables.look_up(request)
            metrics.lookup(request.table if request.table in TABLES else "unknown", result.status)
            log.debug("look-up", table=request.table, key=request.key, result=result.status)
            return result.encode()
        return delegation.action(await self.policy.decide(request))

    async def stop(self) -> None:
        """Take no new connection, answer what has been asked, close the rest."""
        for server in self._servers:
            server.close()
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        while self._conversations and asyncio.get_running_loop().time() < deadline:
            for conversation in tuple(self._conversations):
                conversation.close_when_idle()
            await asyncio.sleep(0.02)
        if self._recording is not None:
            self._recording.cancel()
            await asyncio.gather(self._recording, return_exceptions=True)
        self._call_ahead.close()
        for inspector in self._inspectors:
            await inspector.close()
        for link in self._links:
            link.close()


def _bind(path: str) -> socket.socket:
    """A socket in place of one that an earlier process may have left."""
    Path(path).unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX)
    try:
        bound.bind(path)
        Path(path).chmod(0o666)  # Postfix's account is not of our group
    except OSError:
        bound.close()
        raise
    return bound


class Conversation:
    """One connection of a Postfix process."""

    def __init__(
        self, server: LookupServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._requests = Reader()
        self._is_answering = False

    async def run(self) -> None:
        """Answer until the other side closes, or says what is no request."""
        try:
            while octets := await self._reader.read(READ_OCTETS):
                self._requests.feed(octets)
                await self._answer_all()
        except ProtocolError as error:
            log.warning("not a request of Postfix", error=str(error))
        except ConnectionError:
            pass  # Postfix's process ended
        finally:
            self._writer.close()

    async def _answer_all(self) -> None:
        self._is_answering = True
        while (request := self._requests.next_request()) is not None:
            self._writer.write(await self._server.answer(request))
            await self._writer.drain()
        self._is_answering = False

    def close_when_idle(self) -> None:
        """Close, unless a request is being answered."""
        if not self._is_answering:
            with suppress(OSError):
                self._writer.close()
