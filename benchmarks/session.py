"""One SMTP connection that speaks a dialogue: octets of the wire in, commands out.

Lean on purpose: what the load generator costs is taken from the server it measures.
"""

import asyncio
from typing import cast

from benchmarks.dialogues import Dialogue, WrongReplyError
from benchmarks.run import Run


class Session(asyncio.Protocol):
    """Feeds each complete reply to the dialogue and sends what that yields next."""

    def __init__(self, run: Run, dialogue: Dialogue) -> None:
        self.ready = asyncio.get_running_loop().create_future()
        self.closed = asyncio.get_running_loop().create_future()
        self._run = run
        self._dialogue = dialogue
        self._partial = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        next(self._dialogue)  # runs to where the greeting is waited for

    def data_received(self, data: bytes) -> None:
        data = self._partial + data if self._partial else data
        last = data.rfind(b"\n", 0, -1) + 1
        if data[-1:] != b"\n" or data[last + 3 : last + 4] == b"-":
            self._partial = data
            return
        self._partial = b""
        self.proceed(data[last:])

    def proceed(self, reply: bytes = b"") -> None:
        """Give the dialogue a reply, or wake it with none after it was ready."""
        assert self._transport is not None
        try:
            command = self._dialogue.send(reply)
        except StopIteration:
            self._transport.close()
        except WrongReplyError as error:
            self._fail(str(error))
        else:
            if command is None:
                self.ready.set_result(None)
            else:
                self._transport.write(command)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._run.is_going() or not self.ready.done():
            self._fail(f"the server closed a connection: {exc or 'end of stream'}")
        self.closed.set_result(None)

    def _fail(self, reason: str) -> None:
        if not self.ready.done():
            self.ready.set_result(None)
        self._run.fail(reason)
        assert self._transport is not None
        self._transport.close()
