"""A connected socket to a host: its addresses are tried in turn (RFC 5321 §5.1), each for a share.

A packet filter that drops what it does not want answers nothing: without a share of its own, the
first such address would use up all the time, and the next one would never be tried.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any

# Each more would take from the time of the others.
MOST_ADDRESSES = 6

# As getaddrinfo gives it: family, type, protocol, name, address.
Place = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


async def reach(host: str, port: int, *, seconds: float) -> socket.socket:
    """A socket connected to the first address that answers.

    Raises OSError, which says what came of each address; ValueError for a host that is no name.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    async with asyncio.timeout_at(ends_at):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return await _first_of(found[:MOST_ADDRESSES], ends_at=ends_at)


async def _first_of(places: Sequence[Place], *, ends_at: float) -> socket.socket:
    troubles = []
    for number, place in enumerate(places):
        left = ends_at - asyncio.get_running_loop().time()
        try:
            return await _connected(place, seconds=left / (len(places) - number))
        except OSError as error:
            troubles.append(f"{place[-1][0]}: {_reason(error)}")
    raise ConnectionError("; ".join(troubles))


async def _connected(place: Place, *, seconds: float) -> socket.socket:
    family, kind, protocol, _name, address = place
    opened = socket.socket(family, kind, protocol)  # without its protocol asyncio would delay
    try:
        opened.setblocking(False)
        async with asyncio.timeout(seconds):
            await asyncio.get_running_loop().sock_connect(opened, address)
    except BaseException:  # a cancelled attempt leaves no socket behind either
        opened.close()
        raise
    return opened


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError) and error.errno is None:
        return "no answer in time"
    return os.strerror(error.errno) if error.errno else str(error)
