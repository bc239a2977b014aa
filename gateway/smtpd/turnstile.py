"""What stands between aiosmtpd's command loop and its stream: the lines it may see, and when.

aiosmtpd reads commands from here and knows nothing of it.
"""

import asyncio
from typing import Any, Protocol

from gateway.smtpd.wire import readable


class Gate(Protocol):
    """The session that aiosmtpd's loop belongs to."""

    @property
    def is_closing(self) -> bool: ...

    def take_turn(self) -> None:
        """aiosmtpd has nothing left to read."""
        ...


class Turnstile:
    """aiosmtpd's reader: its lines are the wire's, and it tells when there is none left to read."""

    def __init__(self, session: Gate, reader: asyncio.StreamReader, *, command_limit: int) -> None:
        self.__dict__.update(_session=session, _reader=reader, _command_limit=command_limit)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        if self._session.is_closing:
            raise asyncio.CancelledError
        if not self._reader._buffer:
            self._session.take_turn()
        try:
            line: bytes = await self._reader.readuntil(separator)
        except asyncio.IncompleteReadError:
            raise asyncio.CancelledError from None  # the client has ended; so does aiosmtpd's loop
        if separator != b"\n" or len(line) > self._command_limit:
            return line
        return readable(line.removesuffix(b"\n").removesuffix(b"\r")) + b"\r\n"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._reader, name, value)
