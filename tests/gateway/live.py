"""A real gateway on a loopback port, and clients to hold dialogues with it (dialogue.py)."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

from gateway.routing.facts import Directory
from gateway.smtpd.server import GatewayServer
from tests.gateway.dialogue import TIMEOUT_SECONDS, Wire


class LiveGateway:
    """A GatewayServer on a thread with its own event loop."""

    def __init__(self, **options: Any) -> None:
        self._options = {"max_recipients": 1000, "data_budget_octets": 10**8} | options
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = 0
        self._wires: list[Wire] = []
        self.loop: asyncio.AbstractEventLoop
        self.server: GatewayServer
        self._stop: asyncio.Event

    def start(self) -> "LiveGateway":
        self._thread.start()
        assert self._ready.wait(TIMEOUT_SECONDS)
        return self

    def stop(self) -> None:
        if self._thread.is_alive():
            self.loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(TIMEOUT_SECONDS * 3)
        assert not self._thread.is_alive()

    def flush_refusals(self) -> None:
        """Write the refusals noted so far."""
        flush = self.server.services.refusals.flush()
        asyncio.run_coroutine_threadsafe(flush, self.loop).result(TIMEOUT_SECONDS)

    def replace_directory(self, directory: Directory) -> None:
        self.server.services.directory = directory

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.server = GatewayServer(**self._options)
        self.port = await self.server.start("127.0.0.1", 0)
        self._ready.set()
        await self._stop.wait()
        await self.server.stop()

    # --- talking to it ------------------------------------------------------

    def talk(self, dialogue: str) -> "Wire":
        """Hold a dialogue from the greeting on; the open connection comes back."""
        wire = self.connect()
        wire.talk(dialogue)
        return wire

    def open(self, source: str = "127.0.0.1") -> "Wire":
        """A connection from an address of this host, before anything was read."""
        there = ("127.0.0.1", self.port)
        wire = Wire(socket.create_connection(there, TIMEOUT_SECONDS, (source, 0)))
        self._wires.append(wire)
        return wire

    def close_wires(self) -> None:
        """Close the connections that a test has left open."""
        for wire in self._wires:
            wire.close()

    def connect(self, source: str = "127.0.0.1") -> "Wire":
        """A connection that has read the greeting and said EHLO."""
        wire = self.open(source)
        wire.talk("S: 220 localhost ESMTP\nC: EHLO client.example\nS: 250 ")
        return wire

    def send(self, recipient: str, content: bytes = b"Subject: x\r\n\r\nx\r\n", **said: Any) -> str:
        """One message; the reply that decided it."""
        with self.connect() as wire:
            sender = said.get("sender", "ann@sender.example")
            parameters = said.get("parameters", "")
            for command in (f"MAIL FROM:<{sender}>{parameters}", f"RCPT TO:<{recipient}>", "DATA"):
                reply = wire.command(command)
                if reply[0] in "45":
                    return reply
            return wire.send_content(content)


@contextmanager
def live_gateway(**options: Any) -> Iterator[LiveGateway]:
    gateway = LiveGateway(**options).start()
    try:
        yield gateway
    finally:
        gateway.stop()
        gateway.close_wires()
