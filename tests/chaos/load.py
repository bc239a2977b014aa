"""Senders that go on whatever happens: each message says which it is, and what it was answered.

A message without an answer is not repeated, so that every copy of one is the product's own doing.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

ANSWER_SECONDS = 30
BACK_OFF_SECONDS = 0.1


@dataclass
class Load:
    """`connections` senders over all ports until `stop`; each waits up to `pause_seconds` between
    two messages.
    """

    ports: tuple[int, ...]
    recipients: tuple[str, ...]
    connections: int
    pause_seconds: float
    accepted: dict[str, str] = field(default_factory=dict)  # id of the message: recipient
    replies: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    _numbers: count = field(default_factory=count)
    _is_over: bool = False

    async def run(self) -> None:
        await asyncio.gather(*[self._send_on() for _ in range(self.connections)])

    def stop(self) -> None:
        self._is_over = True

    async def _send_on(self) -> None:
        while not self._is_over:
            try:
                await self._converse(random.choice(self.ports))
            except (OSError, asyncio.IncompleteReadError, TimeoutError):
                self.cut += 1
                await asyncio.sleep(BACK_OFF_SECONDS)

    async def _converse(self, port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await _reply(reader)
            await self._say(reader, writer, "EHLO chaos.example")
            while not self._is_over:
                await self._send(reader, writer)
                await asyncio.sleep(random.uniform(0, self.pause_seconds))
        finally:
            writer.close()

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient = random.choice(self.recipients)
        name = f"load-{next(self._numbers)}"
        for command in ("MAIL FROM:<ann@sender.example>", f"RCPT TO:<{recipient}>", "DATA"):
            reply = await self._say(reader, writer, command)
            if reply[0] not in "23":
                self.replies[reply[:9]] += 1
                await self._say(reader, writer, "RSET")
                return
        content = f"X-Load: {name}\r\nSubject: chaos\r\n\r\n{'x' * 2000}\r\n."
        reply = await self._say(reader, writer, content)
        self.replies[reply[:9]] += 1
        if reply.startswith("250"):
            self.accepted[name] = recipient

    async def _say(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: str
    ) -> str:
        writer.write(f"{line}\r\n".encode())
        reply = await _reply(reader)
        if reply.startswith("421"):
            raise ConnectionError(reply)
        return reply


async def _reply(reader: asyncio.StreamReader) -> str:
    """The last line of a reply. Raises IncompleteReadError where the connection ended."""
    async with asyncio.timeout(ANSWER_SECONDS):
        while True:
            line = await reader.readuntil(b"\n")
            if line[3:4] != b"-":
                return line.decode()
