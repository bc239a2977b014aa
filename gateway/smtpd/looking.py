"""Whole messages for inspectors: few of those in files are in memory, and one of each client.

Whoever looks takes a turn for as long as it needs the octets. What it can learn without them (a
stranger's name servers take their time) it learns before.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from weakref import WeakValueDictionary

from gateway.inspection.inspector import NoTurn
from gateway.smtpd.content import Content

AT_A_TIME = 2
# With DNS before and the commit after it this ends before the client's patience (limits.py).
WAIT_SECONDS = 120.0


class Looking:
    """The turns of one process. A client's messages take one of them at a time."""

    def __init__(self, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._wait_seconds = wait_seconds
        self._places = asyncio.Semaphore(AT_A_TIME)
        self._clients: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def at(self, content: Content, client: bytes | None) -> AsyncIterator[bytes]:
        """All octets of a message, in memory; None is a client that nothing is counted for.

        Raises NoTurn, OSError.
        """
        if content.spool is None:
            yield await content.whole()
            return
        async with self._turn(client):
            yield await content.whole()

    @asynccontextmanager
    async def _turn(self, client: bytes | None) -> AsyncIterator[None]:
        own = None if client is None else self._clients.setdefault(client, asyncio.Lock())
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._wait_seconds):
                    if own is not None:
                        await held.enter_async_context(own)
                    await held.enter_async_context(self._places)
            except TimeoutError:
                raise NoTurn from None
            yield
