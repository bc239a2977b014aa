"""Opens a conversation with a next hop: connection, greeting, EHLO or LHLO, TLS, AUTH.

aiosmtplib does this once a connection; `conversation.py` does what is done for each message.

TLS "required" and "implicit" check the certificate, "opportunistic" takes any and does without
where it fails (RFC 7435). A password is sent only inside TLS, unless the hop's TLS is "none".
"""

import asyncio
import socket
import ssl
from functools import cache
from typing import cast

import aiosmtplib
from django.conf import settings

from gateway.routing.facts import Hop
from gateway.smarthost import Login
from gateway.transports.conversation import Conversation
from gateway.transports.reaching import reach

CONNECT_SECONDS = 30.0
REPLY_SECONDS = 120.0
# What a peer or the network may do to us; a TLS failure is an OSError, too.
TROUBLE = (aiosmtplib.SMTPException, OSError)


class TlsFailed(aiosmtplib.SMTPException):
    """The hop offers STARTTLS, or has to, and it did not come about."""


class Connection(aiosmtplib.SMTP):
    """aiosmtplib's client, which can also greet an LMTP server (RFC 2033 §4.1)."""

    def __init__(self, hop: Hop, *, hostname: str) -> None:
        super().__init__(
            hostname=hop.host,
            local_hostname=hostname,
            use_tls=hop.tls == "implicit",
            start_tls=False,
            tls_context=_tls_context(
                is_verified=hop.tls != "opportunistic", ca_file=settings.DELIVERY_TLS_CA_FILE
            ),
            timeout=REPLY_SECONDS,
        )
        self.hop = hop

    async def open(self, *, seconds: float) -> None:
        """Connect and read the greeting, each within so many seconds. Raises what TROUBLE names."""
        host, port = self.hop.host, self.hop.port
        try:
            await self._connect_over(await reach(host, port, seconds=seconds), seconds=seconds)
        except aiosmtplib.SMTPConnectResponseError:
            raise
        except OSError as error:  # aiosmtplib's own words would name no port
            reason = str(error.__cause__ or error) or "no answer in time"
            raise aiosmtplib.SMTPConnectError(
                f"Error connecting to {host} on port {port}: {reason}"
            ) from error

    async def _connect_over(self, sock: socket.socket, *, seconds: float) -> None:
        try:
            await self.connect(sock=sock, timeout=seconds)
        except BaseException:
            sock.close()
            raise

    async def greet(self) -> None:
        """EHLO, or HELO where that is refused; LHLO for LMTP. Raises what TROUBLE names."""
        if self.hop.protocol == "lmtp":
            answer = await self.execute_command(b"LHLO", str(self.local_hostname).encode())
            if answer.code != 250:
                raise aiosmtplib.SMTPHeloError(answer.code, answer.message)
            self.last_ehlo_response = answer
        else:
            try:
                await self.ehlo()
            except aiosmtplib.SMTPHeloError:
                await self.helo()

    async def secure(self) -> None:
        """STARTTLS. Raises TlsFailed."""
        try:
            await self.starttls(timeout=CONNECT_SECONDS)
        except TROUBLE as error:
            raise TlsFailed(f"STARTTLS failed: {error}") from error

    def drop(self) -> None:
        """End at once, without waiting for TLS to say good-bye."""
        if self.transport is not None:
            cast("asyncio.WriteTransport", self.transport).abort()
        self.close()

    @property
    def is_secure(self) -> bool:
        return self.get_transport_info("sslcontext") is not None

    @property
    def peer(self) -> str:
        """The address at the other end."""
        name = self.get_transport_info("peername")
        return str(name[0]) if name else ""


async def converse(
    hop: Hop, *, hostname: str, login: Login | None = None, connect_seconds: float
) -> Conversation:
    """A conversation that is ready for MAIL. Raises what TROUBLE names."""
    opened = await _connect(hop, hostname, login, connect_seconds)
    if not opened.is_connected:
        raise aiosmtplib.SMTPServerDisconnected("Connection lost")
    transport = cast("asyncio.Transport", opened.transport)
    return Conversation(transport, extensions=opened.esmtp_extensions, peer=opened.peer)


async def _connect(
    hop: Hop, hostname: str, login: Login | None, connect_seconds: float
) -> Connection:
    """A connection that has greeted, is secured and logged in. Raises what TROUBLE names."""
    may_use_tls = hop.tls in ("opportunistic", "required")
    client = Connection(hop, hostname=hostname)
    try:
        return await _ready(client, login, connect_seconds, may_use_tls=may_use_tls)
    except TlsFailed:
        if hop.tls != "opportunistic" or login is not None:
            raise
    client = Connection(hop, hostname=hostname)
    return await _ready(client, login, connect_seconds, may_use_tls=False)


async def _ready(
    client: Connection, login: Login | None, connect_seconds: float, *, may_use_tls: bool
) -> Connection:
    tls = client.hop.tls
    await client.open(seconds=connect_seconds)
    try:
        await client.greet()
        if may_use_tls and (tls == "required" or client.supports_extension("starttls")):
            await client.secure()
            await client.greet()
        if login is not None:
            if not client.is_secure and tls != "none":
                raise aiosmtplib.SMTPException("It offers no TLS, so the password is not sent.")
            await client.login(login.username, login.password)
    except BaseException:  # a cancelled attempt leaves no socket behind either
        client.drop()
        raise
    return client


@cache
def _tls_context(*, is_verified: bool, ca_file: str) -> ssl.SSLContext:
    """The system's authorities, and the installation's own of DELIVERY_TLS_CA_FILE."""
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    if not is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
