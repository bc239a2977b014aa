"""aiosmtpd's commands: each verb that its loop reads is answered here, by the same conversation.

Everything but the plain commands always comes this way (session.py); the plain ones come this way
where a session leaves them to aiosmtpd. Content is read by the wire on both.
"""

import asyncio
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import structlog
from aiosmtpd.smtp import SMTP, TLSSetupException

from gateway.routing import replies
from gateway.routing.address import DOMAIN_MAX_OCTETS, AddressError, parse_domain
from gateway.routing.replies import Reply
from gateway.smtpd.conversation import Answer, Conversation
from gateway.smtpd.strangers import Guest
from gateway.smtpd.wire import Wire

log = structlog.get_logger("gateway")

LINE_LIMIT_OCTETS = 64 * 1024
COMMAND_LIMIT_OCTETS = 2048
# A browser that was talked into speaking to us: its next lines are somebody else's commands.
HTTP_VERBS = ("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
EXTENSIONS = ("8BITMIME", "SMTPUTF8", "PIPELINING", "CHUNKING", "ENHANCEDSTATUSCODES")
# aiosmtpd's own replies carry no enhanced code (RFC 2034 asks for one): reply code to it.
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


class Commands(SMTP):
    """The verbs of one session. What becomes of the connection, its subclass says."""

    line_length_limit = LINE_LIMIT_OCTETS
    command_size_limit = COMMAND_LIMIT_OCTETS
    command_size_limits = defaultdict(lambda: COMMAND_LIMIT_OCTETS)
    session: Any  # aiosmtpd's own state, set anew with each connection and STARTTLS
    envelope: Any
    transport: Any
    _reader: Any
    _smtp_methods: Any
    conversation: Conversation
    _guest: Guest
    _wire: Wire
    _original_transport: Any
    _is_aiosmtpds_turn: bool
    _is_shaking_hands: bool
    # A DATA or BDAT that waits for the reply to content that comes through the wire.
    _said: "asyncio.Future[Reply] | None" = None

    @property
    @abstractmethod
    def is_closing(self) -> bool:
        """Whether this side has ended the connection: nothing more is heard."""

    @abstractmethod
    def say_goodbye(self, reply: Reply) -> None:
        """Close from our side, telling the client why first."""

    @abstractmethod
    def _delay(self, seconds: float, then: Callable[[], None]) -> None:
        """Make an answer wait."""

    @abstractmethod
    def _advance(self) -> None:
        """Read on in what the wire holds."""

    @abstractmethod
    def _start_chunk(self, argument: str) -> Reply | None:
        """Expect a chunk's octets; else the reply to a BDAT that has none."""

    @abstractmethod
    def _spoil(self, error: BaseException) -> Reply:
        """The reply to what failed in our hands."""

    async def push(self, status: str | bytes) -> None:
        """Every reply of aiosmtpd leaves here: it gets its enhanced code, and errors wait."""
        text = status.decode() if isinstance(status, bytes) else status
        text = _with_enhanced_code(text)
        if await self._pace(int(text[:3]), text[4:].partition(" ")[0]):
            await super().push(text)

    async def _pace(self, code: int, enhanced: str) -> bool:
        """Wait as long as the answer has to; False where the session ended instead."""
        seconds = self._guest.answer(code, enhanced)
        if seconds is None:
            self.say_goodbye(replies.TOO_MANY_ERRORS)
        elif seconds:
            is_over = asyncio.Event()
            self._delay(seconds, is_over.set)
            await is_over.wait()
        return not self.is_closing

    def command_of(self, verb: str) -> Any:
        """What answers a verb that came by aiosmtpd, in capitals."""
        self._is_aiosmtpds_turn = True
        self._guest.hear(verb)
        if verb in HTTP_VERBS:
            return self._cut
        return getattr(self, f"smtp_{verb}", self._reject) if verb.isalnum() else self._reject

    async def handle_exception(self, error: Exception) -> str:
        if isinstance(error, TLSSetupException):
            log.info("handshake failed", client=self.conversation.client.text)
            return str(replies.TROUBLE)
        return str(self._spoil(error))

    def _set_rset_state(self) -> None:
        super()._set_rset_state()  # type: ignore[no-untyped-call]
        self.conversation.reset()

    async def smtp_HELO(self, hostname: str) -> None:  # noqa: N802 - aiosmtpd's names
        name = _one_word(hostname)
        if not name:
            await self.push(str(replies.HELO_SYNTAX))
            return
        self._set_rset_state()
        self.session.extended_smtp = False
        self.session.host_name = self.conversation.client.helo = name
        self.conversation.client.is_extended = False
        if await self._pace(250, ""):
            await super().push(f"250 {self.hostname}")

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        """Greets in one write with every extension this gateway keeps (RFC 5321 §4.1.1.1)."""
        name = _one_word(hostname)
        if not name:
            await self.push(str(replies.EHLO_SYNTAX))
            return
        self._set_rset_state()
        self.session.extended_smtp = True
        self.session.host_name = self.conversation.client.helo = name
        self.conversation.client.is_extended = True
        keywords = [f"SIZE {self.data_size_limit}", *EXTENSIONS]
        if self.conversation.services.terms.offers_dsn:
            keywords.append("DSN")
        if self.tls_context and not self._tls_protocol:
            keywords.append("STARTTLS")
        lines = [self.hostname, *keywords]
        greeting = [f"250-{line}" for line in lines[:-1]] + [f"250 {lines[-1]}"]
        if await self._pace(250, ""):
            await super().push("\r\n".join(greeting))

    async def smtp_NOOP(self, _arg: str | None) -> None:  # noqa: N802
        await self.push(str(replies.OK))

    async def smtp_RSET(self, arg: str | None) -> None:  # noqa: N802
        if arg:
            await self.push(str(replies.RSET_SYNTAX))
            return
        self._set_rset_state()
        await self.push(str(replies.OK))

    async def smtp_VRFY(self, arg: str | None) -> None:  # noqa: N802
        """Tells nothing about addresses (RFC 5321 §7.3)."""
        await self.push(str(replies.CANNOT_VERIFY if arg else replies.VRFY_SYNTAX))

    async def smtp_HELP(self, _arg: str | None) -> None:  # noqa: N802
        await self.push(str(replies.HELP))

    async def smtp_AUTH(self, _arg: str | None) -> None:  # noqa: N802
        """Not offered where strangers deliver (RFC 4954 belongs to submission)."""
        await self.push(str(replies.NO_AUTH))

    async def _cut(self, _arg: str | None) -> None:
        """The answer to a verb of another protocol: none of what follows is a command."""
        self.say_goodbye(replies.NOT_SMTP)

    async def _reject(self, _arg: str | None) -> None:
        await self.push(str(replies.UNKNOWN_COMMAND))

    async def smtp_STARTTLS(self, arg: str | None) -> None:  # noqa: N802
        """aiosmtpd's handshake, which takes a connection that was cut in it for a good one."""
        if self._tls_protocol:
            await self.push(str(replies.TLS_ALREADY))
            return
        self._is_shaking_hands = True
        try:
            await super().smtp_STARTTLS(arg)
        finally:
            self._is_shaking_hands = False
        if self._original_transport is not None and self._original_transport.is_closing():
            raise TLSSetupException

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        await self._push_answer(self.conversation.mail(arg or ""))

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        await self._push_answer(self.conversation.rcpt(arg or ""))

    async def _push_answer(self, answer: Answer) -> None:
        await self.push(str(answer if isinstance(answer, Reply) else await answer))

    async def smtp_DATA(self, arg: str | None) -> None:  # noqa: N802
        if arg:
            await self.push(str(replies.DATA_SYNTAX))
            return
        refused = self.conversation.data()
        await self.push(str(refused or replies.START_CONTENT))
        if refused is None:
            self._wire.start_content()
            await self._receive()

    async def smtp_BDAT(self, arg: str | None) -> None:  # noqa: N802
        refused = self._start_chunk(arg or "")
        if refused is not None:
            await self.push(str(refused))
        else:
            await self._receive()

    async def _receive(self) -> None:
        """Content comes through the wire on this way, too; aiosmtpd goes on with what follows."""
        self._said = self.loop.create_future()
        waiting = len(self._reader._buffer)
        self._is_aiosmtpds_turn = False
        self._wire.feed(await self._reader.read(waiting) if waiting else b"")
        self._advance()
        try:
            await self.push(str(await self._said))
        finally:
            self._said = None


def _one_word(hostname: str | None) -> str:
    """A HELO argument that is fit for a header and a log: a domain or an address literal."""
    text = (hostname or "").strip()
    if len(text) > DOMAIN_MAX_OCTETS:
        return ""
    try:
        return parse_domain(text)
    except AddressError:
        return text if text.isascii() and text.isprintable() and " " not in text else ""


def _with_enhanced_code(reply: str) -> str:
    """`250 OK` becomes `250 2.0.0 OK`; replies that have a code stay, and so does the greeting."""
    code, text = reply[:3], reply[4:]
    enhanced = ENHANCED.get(code)
    if enhanced is None or text.startswith(f"{code[0]}."):
        return reply
    return f"{code} {enhanced} {text}"
