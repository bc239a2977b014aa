"""One SMTP connection that speaks a dialogue: octets of the wire in, commands out.

Lean on purpose: what the load generator costs is taken from the server it measures.
"""

import asyncio
from typing import Any, cast

from benchmarks.dialogues import Dialogue, Pause, Volley, WrongReplyError
from benchmarks.run import Run


class Session(asyncio.Protocol):
    """Feeds each complete reply to the dialogue and sends what that yields next."""

    def __init__(self, run: Run, dialogue: Dialogue) -> None:
        self.ready = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()
        self._run = run
        self._dialogue = dialogue
        self._partial = b""
        self._has_ended = False
        self._wanted = 0  # replies to a volley under way
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        next(self._dialogue)  # runs to where the greeting is waited for

    def data_received(self, data: bytes) -> None:
        data = self._partial + data if self._partial else data
        if self._wanted:
            self._take_volley(data)
            return
        last = data.rfind(b"\n", 0, -1) + 1
        if data[-1:] != b"\n" or data[last + 3 : last + 4] == b"-":
            self._partial = data
            return
        self._partial = b""
        self.proceed(data[last:])

    def _take_volley(self, data: bytes) -> None:
        """Wait for all replies of a volley, then hand over the last line of each."""
        if data[-1:] != b"\n" or data.count(b"\n") < self._wanted:
            self._partial = data
            return
        lines = [line for line in data.splitlines() if line[3:4] != b"-"]
        if len(lines) < self._wanted:
            self._partial = data
            return
        self._partial, self._wanted = b"", 0
        self.proceed(lines)

    def proceed(self, reply: Any = b"") -> None:
        """Give the dialogue its reply or replies, or wake it with none after it was ready."""
        assert self._transport is not None
        try:
            said = self._dialogue.send(reply)
        except StopIteration:
            self._has_ended = True
            self._be_ready()
            self._transport.close()
        except WrongReplyError as error:
            self._fail(str(error))
        else:
            self._say(said)

    def _say(self, said: bytes | Volley | Pause | None) -> None:
        assert self._transport is not None
        if isinstance(said, bytes):
            self._transport.write(said)
        elif isinstance(said, Volley):
            self._wanted = said.replies
            self._transport.write(said.commands)
        elif isinstance(said, Pause):
            asyncio.get_running_loop().call_later(said.seconds, self.proceed)
        else:
            self._be_ready()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_over() or not self.ready.done():
            self._fail(f"the server closed a connection: {exc or 'end of stream'}")
        self.closed.set_result(None)

    def _is_over(self) -> bool:
        """Whether nobody waits for a reply any more: the dialogue or the run has ended."""
        return self._has_ended or not self._run.is_going()

    def _fail(self, reason: str) -> None:
        self._be_ready()
        self._run.fail(reason)
        assert self._transport is not None
        self._transport.close()

    def _be_ready(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
