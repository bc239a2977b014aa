"""SMTP to a next hop (RFC 5321): one message and one recipient per transaction, many in a row.

Trouble before the first MAIL means that the hop is unreachable and never fails a message; after
that 4xx and a lost connection defer, 5xx fails. Lines and octets leave as they were stored.
"""

from contextlib import suppress

import aiosmtplib

from gateway.routing.facts import Hop
from gateway.smarthost import Login
from gateway.transports import trace
from gateway.transports.base import Envelope, Outcome, Result
from gateway.transports.connection import TROUBLE, Connection, connect
from gateway.transports.content import stuff

QUIT_SECONDS = 2.0


class SmtpTransport:
    """One connection to a next hop: opened on first use, and again after the hop closed it."""

    needs_octets = True

    def __init__(self, hop: Hop, *, hostname: str, login: Login | None = None) -> None:
        self._hop = hop
        self._hostname = hostname
        self._login = login
        self._connection: Connection | None = None
        self._remote = f"{hop.host}:{hop.port}"
        self._has_begun = False

    async def send(self, envelope: Envelope, octets: bytes) -> Outcome:
        was_open = self._is_open
        outcome = await self._try(envelope, octets)
        if was_open and not self._is_open and not self._has_begun:
            outcome = await self._try(envelope, octets)  # the hop had closed the idle connection
        return outcome

    async def close(self) -> None:
        connection = self._connection
        if connection is not None and connection.is_connected:
            with suppress(*TROUBLE):
                await connection.execute_command(b"QUIT", timeout=QUIT_SECONDS)
        self.abort()

    def abort(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop()

    @property
    def _is_open(self) -> bool:
        return self._connection is not None and self._connection.is_connected

    async def _try(self, envelope: Envelope, octets: bytes) -> Outcome:
        self._has_begun = False
        try:
            connection = await self._open()
        except TROUBLE as error:
            return self._outcome(Result.DEFERRED, _sentence(error), is_unreachable=True)
        content = trace.header(envelope) + octets
        refusal = _refusal(connection, envelope, content)
        if refusal:
            return self._outcome(Result.FAILED, refusal)
        try:
            answer = await self._transact(connection, envelope, content)
        except TROUBLE as error:
            self.abort()
            return self._outcome(Result.DEFERRED, _sentence(error))
        return await self._judge(connection, answer)

    async def _open(self) -> Connection:
        if self._connection is None or not self._connection.is_connected:
            self._connection = await connect(self._hop, hostname=self._hostname, login=self._login)
            self._remote = f"{self._hop.host}[{self._connection.peer}]:{self._hop.port}"
        return self._connection

    async def _transact(
        self, connection: Connection, envelope: Envelope, content: bytes
    ) -> aiosmtplib.SMTPResponse:
        """MAIL, RCPT, DATA: the first answer that is not positive, else the one to the content."""
        answer = await connection.execute_command(*_mail(connection, envelope, content))
        if answer.code != 250:
            return answer
        self._has_begun = True
        path = f"TO:<{envelope.recipient}>".encode()
        answer = await connection.execute_command(b"RCPT", path)
        if answer.code not in (250, 251):
            return answer
        answer = await connection.execute_command(b"DATA")
        return await connection.send_content(stuff(content)) if answer.code == 354 else answer

    async def _judge(self, connection: Connection, answer: aiosmtplib.SMTPResponse) -> Outcome:
        reply = f"{answer.code} {answer.message}"
        if answer.code == 250:
            return self._outcome(Result.DELIVERED, reply)
        await self._reset(connection, answer.code)
        is_permanent = 500 <= answer.code <= 599
        return self._outcome(Result.FAILED if is_permanent else Result.DEFERRED, reply)

    async def _reset(self, connection: Connection, code: int) -> None:
        """Make the connection fit for the next message, or drop it."""
        if code != 421:
            with suppress(*TROUBLE):
                await connection.execute_command(b"RSET")
                return
        self.abort()

    def _outcome(self, result: Result, reply: str, *, is_unreachable: bool = False) -> Outcome:
        return Outcome(result, reply, self._remote, is_unreachable)


def _mail(connection: Connection, envelope: Envelope, content: bytes) -> list[bytes]:
    """The words of MAIL with the parameters that this hop offers and the message needs."""
    words = [b"MAIL", f"FROM:<{envelope.sender}>".encode()]
    if connection.supports_extension("size"):
        words.append(b"SIZE=%d" % len(content))
    if connection.supports_extension("8bitmime") and not content.isascii():
        words.append(b"BODY=8BITMIME")
    if trace.needs_smtputf8(envelope, content):
        words.append(b"SMTPUTF8")
    return words


def _refusal(connection: Connection, envelope: Envelope, content: bytes) -> str:
    """Why the hop cannot take this message by what its EHLO says; empty where it can."""
    if trace.needs_smtputf8(envelope, content) and not connection.supports_extension("smtputf8"):
        return "553 5.6.7 The next hop does not take internationalised mail (SMTPUTF8)"
    limit = connection.esmtp_extensions.get("size", "")
    if limit.isdecimal() and 0 < int(limit) < len(content):
        return f"552 5.3.4 The next hop takes messages of at most {limit} octets"
    return ""


def _sentence(error: Exception) -> str:
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return f"{error.code} {error.message}"
    return str(error) or type(error).__name__
