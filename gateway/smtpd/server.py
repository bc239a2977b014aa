"""The listener of one gateway process: accepts connections, and drains them when told to stop."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import structlog

from gateway import call_ahead, inspection
from gateway.directory import LOOKUP_LINKS, PostgresDirectory, platform
from gateway.disk import Room
from gateway.intake import Intake
from gateway.link import Link
from gateway.refusals import RefusalLog
from gateway.routing import replies
from gateway.smtpd.deadlines import watch
from gateway.smtpd.door import Door
from gateway.smtpd.limits import IpAddress, Limits
from gateway.smtpd.session import GatewaySession
from gateway.smtpd.strangers import Guest, Strangers
from gateway.smtpd.transaction import Services, Terms

log = structlog.get_logger("gateway")

BACKLOG = 1024
DRAIN_SECONDS = 20
# Work in the background that failed is begun again so much later.
AGAIN_SECONDS = 1.0
# Connections that store large messages.
LARGE_LINKS = 2


class GatewayServer:
    """Serves SMTP on one address until `stop`."""

    def __init__(
        self,
        *,
        max_recipients: int,
        data_budget_octets: int,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        drain_seconds: float = DRAIN_SECONDS,
        is_plain: bool = True,
        terms: Terms | None = None,
        room: Room | None = None,
    ) -> None:
        self._links = [Link() for _ in range(LOOKUP_LINKS + LARGE_LINKS + 2)]
        small, refusals, *others = self._links
        large, lookups = others[:LARGE_LINKS], others[LARGE_LINKS:]
        self._tls = tls
        self._drain_seconds = drain_seconds
        self._is_plain = is_plain
        self.sessions: set[GatewaySession] = set()
        self.strangers = Strangers(limits or Limits(), time.monotonic)
        self._server: asyncio.Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.services = Services(
            directory=PostgresDirectory(lookups),
            intake=Intake(small=small, large=large),
            refusals=RefusalLog(refusals),
            call_ahead=call_ahead.configured(),
            platform=platform(),
            max_recipients=max_recipients,
            data_budget_octets=data_budget_octets,
            terms=terms or Terms(),
            room=room or Room(),
            inspectors=inspection.configured(),
        )

    async def start(self, host: str, port: int, *, shares_port: bool = False) -> int:
        """Listen; returns the port, which differs from a port of 0. Raises OSError.

        The kernel spreads connections over gateways that share a port.
        """
        loop = asyncio.get_running_loop()
        door = Door(self.strangers, self._session)
        self._server = await loop.create_server(
            door, host, port, backlog=BACKLOG, reuse_port=shares_port or None
        )
        self._tasks = [
            loop.create_task(_keep_up(work))
            for work in (
                self.services.refusals.run,
                self.services.room.disk.run,
                partial(watch, self.sessions, self.strangers, loop.time),
            )
        ]
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def _session(self, guest: Guest, client: IpAddress | None) -> GatewaySession:
        return GatewaySession(
            self.services, guest, client, self.sessions, tls=self._tls, is_plain=self._is_plain
        )

    async def stop(self) -> None:
        """Take no new connection, let messages on their way finish, say 421 to the rest."""
        if self._server is not None:
            self._server.close()
        deadline = asyncio.get_running_loop().time() + self._drain_seconds
        while self.sessions and asyncio.get_running_loop().time() < deadline:
            for session in tuple(self.sessions):
                if session.is_between_messages:
                    session.say_goodbye(replies.SHUTTING_DOWN)
            await asyncio.sleep(0.02)
        for session in tuple(self.sessions):
            session.say_goodbye(replies.SHUTTING_DOWN)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.services.call_ahead.close()
        for inspector in self.services.inspectors:
            await inspector.close()
        for link in self._links:
            link.close()


async def _keep_up(work: Callable[[], Awaitable[None]]) -> None:
    """Do what has no end: should it fail all the same, it is begun again."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("work in the background failed")
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            return


def tls_context(certificate: str, key: str) -> ssl.SSLContext | None:
    """TLS 1.2 or newer (RFC 8996, RFC 9325) with the certificate; None without one.

    Raises OSError or ssl.SSLError where the files cannot be used.
    """
    if not certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(Path(certificate), Path(key) if key else None)
    return context
