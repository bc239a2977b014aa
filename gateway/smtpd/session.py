"""One SMTP session: aiosmtpd's protocol, in which the plain commands are answered at once.

MAIL, RCPT, DATA, BDAT, RSET and NOOP never reach aiosmtpd's command loop: `data_received` answers
them from the wire's events. All else (EHLO, STARTTLS, QUIT, the odd line) is left to that loop
(verbs.py). An outer shell: what fails inside is logged here and answered 451 4.3.0 in a fixed text.
"""

import asyncio
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

import structlog

from gateway import metrics
from gateway.pending import Pending
from gateway.routing import replies
from gateway.routing.replies import Reply
from gateway.smtpd.conversation import Answer, Conversation
from gateway.smtpd.deadlines import Phase, Pulse
from gateway.smtpd.limits import IpAddress
from gateway.smtpd.stand_ins import NoTimer, Verbs
from gateway.smtpd.strangers import Guest
from gateway.smtpd.transaction import Client, Services
from gateway.smtpd.turnstile import Turnstile
from gateway.smtpd.verbs import COMMAND_LIMIT_OCTETS, Commands
from gateway.smtpd.wire import Event, Line, LineTooLong, Piece, Wire

log = structlog.get_logger("gateway")

# Octets that may wait while an answer is on its way; beyond them the client is not read.
READ_AHEAD_OCTETS = 256 * 1024
# RCPTs that are looked up together with the one before them.
LOOK_AHEAD = 50
# Events of one client in a row before others get their turn.
TURN = 50


class GatewaySession(Commands):
    """The protocol of one connection. `is_plain` off leaves every command to aiosmtpd's loop."""

    _original_transport: Any
    _timeout_handle: Any
    _paused: bool  # asyncio's flow control: the client does not read what we write

    def __init__(
        self,
        services: Services,
        guest: Guest,
        address: IpAddress | None,
        open_sessions: set["GatewaySession"],
        *,
        tls: SSLContext | None,
        is_plain: bool = True,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.conversation = Conversation(services, guest)
        self.pulse = Pulse(loop.time())
        self._guest = guest
        self._address = address  # of the client, whatever stands between
        self._open_sessions = open_sessions
        self._is_plain = is_plain
        self._wire = Wire(line_limit=COMMAND_LIMIT_OCTETS)
        # The greeting is aiosmtpd's: it has the word until it waits for a line.
        self._is_aiosmtpds_turn = True
        self._awaited: Pending[Reply] | Pending[bool] | None = None
        self._has_heard_all = False
        self._delayed: asyncio.TimerHandle | None = None
        self._is_reading_paused = False
        self._unsent: list[bytes] = []
        self._is_shaking_hands = False
        self._is_leaving = False
        super().__init__(
            object(),  # aiosmtpd's hooks: nothing is left for them
            data_size_limit=services.platform.max_message_octets,
            enable_SMTPUTF8=True,
            hostname=services.platform.hostname,
            ident="ESMTP",
            tls_context=tls,
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            loop=loop,
        )
        self._smtp_methods = Verbs(self.command_of)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire.clear()
        super().connection_made(transport)
        self.conversation.client = Client(
            self._address,
            is_encrypted=bool(self.session.ssl),
            text=str(self._address or "unknown"),
        )
        if self not in self._open_sessions:
            self._open_sessions.add(self)
            metrics.CONNECTIONS.inc()

    def connection_lost(self, error: Exception | None) -> None:
        if self in self._open_sessions:
            self._open_sessions.discard(self)
            metrics.CONNECTIONS.dec()
        if self._delayed is not None:
            self._delayed.cancel()
        self._guest.leave()
        self.conversation.abandon()
        super().connection_lost(error)

    def _cb_client_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        turnstile: Any = Turnstile(self, reader, command_limit=COMMAND_LIMIT_OCTETS)
        super()._cb_client_connected(turnstile, writer)

    def _reset_timeout(self, _duration: float | None = None) -> None:
        """A command came. The watch has the clock; aiosmtpd only wants to cancel something."""
        self.pulse.heard_at = self.loop.time()
        self._timeout_handle = NoTimer

    def say_goodbye(self, reply: Reply) -> None:
        """Close from our side, telling the client why first (RFC 5321 §3.8)."""
        if self.is_closing:
            return
        if self._is_shaking_hands:  # there is nothing yet that words could be said through
            self.abort()
            return
        self._is_leaving = True
        self._write(reply)
        self._flush()
        self.transport.close()
        self._tell_cut(reply.reason)

    def abort(self) -> None:
        """Cut a client that would not read last words."""
        if not self._is_leaving:
            self._tell_cut("handshake")
        self._is_leaving = True
        (self._original_transport or self.transport).abort()

    def _tell_cut(self, reason: str) -> None:
        metrics.cut_connection(reason)
        client, errors = self.conversation.client.text, self._guest.errors
        log.info("connection cut", client=client, reason=reason, errors=errors)

    @property
    def phase(self) -> Phase:
        """What this session waits for."""
        if self._is_leaving or self.is_closing:
            return Phase.GOODBYE
        if self._is_shaking_hands:
            return Phase.HANDSHAKE
        if self._wire.is_in_content and not self._awaited:
            return Phase.CONTENT
        is_answering = self._awaited or self._delayed or self._is_aiosmtpds_turn
        return Phase.ANSWER if is_answering else Phase.COMMAND

    @property
    def is_closing(self) -> bool:
        """Whether this side has ended the connection: nothing more is heard."""
        return self.transport is None or self.transport.is_closing()

    @property
    def is_between_messages(self) -> bool:
        """Whether closing now interrupts no message."""
        return not self.conversation.is_receiving and self._said is None

    def data_received(self, data: bytes) -> None:
        self.pulse.octets += len(data)
        if not (self._is_plain or self._wire.is_in_content):
            super().data_received(data)
            return
        self._wire.feed(data)
        self._advance()

    def eof_received(self) -> bool:
        """The client said its last: what it said is still answered, a whole message stored."""
        self._has_heard_all = True
        if self._delayed is not None:
            self.say_goodbye(replies.TOO_MANY_ERRORS)
        elif self._is_plain or self._wire.is_in_content:
            self._advance()
        else:
            self._reader.feed_eof()
        return not self._tls_protocol  # over TLS one side cannot go on alone

    def take_turn(self) -> None:
        """aiosmtpd waits for its next line: the wire's events are ours again."""
        self._is_aiosmtpds_turn = False
        if self._is_plain and (len(self._wire) or self._has_heard_all):
            self.loop.call_soon(self._advance)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._advance()

    def _advance(self) -> None:
        """Answer what the wire holds, until something has to be waited for."""
        for _ in range(TURN):
            if self._is_waiting():
                break
            event = self._wire.next_event()
            if event is None:
                self._end_if_heard_all()
                break
            self._answer_event(event)
        else:
            self.loop.call_soon(self._advance)
        self._flush()
        self._pace_reading()

    def _end_if_heard_all(self) -> None:
        """Let aiosmtpd's loop end where nothing more will come; half a message is forgotten."""
        if self._has_heard_all:
            self._reader.feed_eof()
            if self._said is not None:
                self._said.cancel()

    def _is_waiting(self) -> bool:
        is_answering = self._awaited or self._delayed or self._is_aiosmtpds_turn
        return bool(is_answering) or self.is_closing or self._paused

    def _pace_reading(self) -> None:
        """Leave the rest in the client's socket while there is enough to do."""
        is_much = len(self._wire) > READ_AHEAD_OCTETS
        if not (is_much or self._is_reading_paused) or self.is_closing:
            return
        is_full = is_much and self._is_waiting()
        if is_full and not self._is_reading_paused:
            self.transport.pause_reading()
        elif self._is_reading_paused and not is_full:
            self.transport.resume_reading()
        self._is_reading_paused = is_full

    def _answer_event(self, event: Event) -> None:
        self._reset_timeout()
        match event:
            case Line(octets):
                try:
                    self._answer_line(octets)
                except Exception as error:  # noqa: BLE001 - the outer shell
                    self._say(self._spoil(error))
            case LineTooLong():
                self._say(replies.LINE_TOO_LONG)
            case Piece(octets, is_last):
                self._take(octets, is_last=is_last)

    def _take(self, octets: bytes, *, is_last: bool) -> None:
        """Hand a piece of a message on, and the word back to aiosmtpd after the last one."""
        try:
            writing = self.conversation.add(octets)
        except Exception as error:  # noqa: BLE001 - the outer shell
            self.conversation.fail(self._trouble(error))
            writing = None
        if writing is not None:  # the next write, and the end, come after this one
            self._awaited = writing
            writing.listen(self._end_written if is_last else self._await_turn)
        elif is_last:
            self._end_content()

    def _end_written(self, _written: Pending[bool]) -> None:
        self._awaited = None
        self._end_content()
        self._advance()

    def _end_content(self) -> None:
        if self._said is not None:
            self._give_rest_back()
        self._answer(self.conversation.end)

    def _give_rest_back(self) -> None:
        """What follows the content is aiosmtpd's to read."""
        self._is_aiosmtpds_turn = True
        self._reader._buffer.extend(self._wire.take_rest())
        if self._has_heard_all:
            self._reader.feed_eof()

    def _await_turn(self, _written: Pending[bool]) -> None:
        self.conversation.services.turns.wait(self._go_on)

    def _go_on(self) -> None:
        self._awaited = None
        self._advance()

    def _answer_line(self, line: bytes) -> None:
        verb, argument = split_line(line)
        match verb.upper():
            case b"MAIL":
                self._answer(lambda: self.conversation.mail(argument))
            case b"RCPT":
                self._look_ahead(argument)
                self._answer(lambda: self.conversation.rcpt(argument))
            case b"DATA" if not argument:
                self._start_content()
            case b"BDAT":
                if refused := self._start_chunk(argument):
                    self._say(refused)
            case b"RSET" if not argument:
                self._guest.hear("RSET")
                self._set_rset_state()
                self._say(replies.OK)
            case b"NOOP":
                self._guest.hear("NOOP")
                self._say(replies.OK)
            case _:
                self._is_aiosmtpds_turn = True
                super().data_received(line + b"\r\n")

    def _look_ahead(self, argument: str) -> None:
        """RCPTs that came together are looked up together."""
        if len(self._wire):
            upcoming = self._wire.upcoming(b"RCPT", most=LOOK_AHEAD)
            if upcoming:
                rest = [split_line(line)[1] for line in upcoming]
                self.conversation.foresee([argument, *rest])

    def _start_content(self) -> None:
        refused = self.conversation.data()
        if refused is None:
            self._wire.start_content()
        self._say(refused or replies.START_CONTENT)

    def _start_chunk(self, argument: str) -> Reply | None:
        """Expect a chunk's octets, even where we fail; else the reply to a BDAT that has none."""
        answer = self.conversation.bdat(argument)
        if isinstance(answer, Reply):
            return answer
        self._wire.start_chunk(answer)
        try:
            self.conversation.begin_chunk()
        except Exception as error:  # noqa: BLE001 - the outer shell
            self._trouble(error)
        return None

    def _answer(self, command: "Any") -> None:
        """Run a command of the conversation and say its reply, now or when it is known."""
        try:
            answer: Answer = command()
        except Exception as error:  # noqa: BLE001 - the outer shell
            self._say(self._spoil(error))
            return
        if isinstance(answer, Reply):
            self._say(answer)
            return
        if answer.is_settled:
            self._say(self._outcome(answer))
            return
        self._awaited = answer
        answer.listen(self._say_awaited)

    def _say_awaited(self, answer: Pending[Reply]) -> None:
        self._awaited = None
        self._say(self._outcome(answer))
        self._advance()

    def _outcome(self, answer: Pending[Reply]) -> Reply:
        try:
            return answer.result()
        except Exception as error:  # noqa: BLE001 - the outer shell
            return self._spoil(error)

    def _say(self, reply: Reply) -> None:
        if self._said is not None:
            if not self._said.done():
                self._said.set_result(reply)
            return
        if self.is_closing:
            return
        seconds = self._guest.answer(reply.code, reply.enhanced)
        if seconds is None:
            self.say_goodbye(replies.TOO_MANY_ERRORS)
        elif seconds:
            self._delay(seconds, lambda: self._say_late(reply))
        else:
            self._write(reply)

    def _say_late(self, reply: Reply) -> None:
        if not self.is_closing:
            self._write(reply)
        self._advance()

    def _delay(self, seconds: float, then: Callable[[], None]) -> None:
        """Make an answer wait; a client that no longer listens is let go instead."""
        if self._has_heard_all:
            self.say_goodbye(replies.TOO_MANY_ERRORS)
            return
        metrics.DELAYED_ANSWERS.inc()
        self._delayed = self.loop.call_later(seconds, self._end_delay, then)

    def _end_delay(self, then: Callable[[], None]) -> None:
        self._delayed = None
        self._reset_timeout()
        then()

    def _write(self, reply: Reply) -> None:
        """Say it at the end of this turn, with what else is said in it: each write costs."""
        self._unsent.append(f"{reply}\r\n".encode())

    def _flush(self) -> None:
        if self._unsent:
            self._writer.write(b"".join(self._unsent))
            self._unsent.clear()

    def _spoil(self, error: BaseException) -> Reply:
        """A message that failed in our hands is forgotten; its sender tries again."""
        if self.conversation.is_receiving:
            self.conversation.reset()
        return self._trouble(error)

    def _trouble(self, error: BaseException) -> Reply:
        """Nothing of an error reaches the peer."""
        log.error("session failed", client=self.conversation.client.text, exc_info=error)
        return replies.TROUBLE


def split_line(line: bytes) -> tuple[bytes, str]:
    """The verb as it came, and its argument."""
    verb, _, rest = line.partition(b" ")
    return verb, rest.strip().decode("utf-8", "surrogateescape")
