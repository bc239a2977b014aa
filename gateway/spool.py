"""Where a large message waits for its commit: a file without a name, gone when nobody holds it.

Files are written and read on threads of their own, since a disk may take its time; each spool is
used by one thing at a time.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Protocol

from gateway.pending import Pending, pending_of

# A message is read back in pieces of this size.
READ_OCTETS = 256 * 1024
_threads = ThreadPoolExecutor(4, thread_name_prefix="spool")


class Hash(Protocol):
    """What hashlib makes."""

    def update(self, octets: bytes, /) -> None: ...


class Spool:
    """The octets of one message, written in order, read as a whole or piece by piece.

    What is written goes into `digest`, too, since that takes as long.
    """

    def __init__(self, digest: Hash, *, folder: str | None = None) -> None:
        self._digest = digest
        self._folder = folder  # None is the system's folder for temporary files
        self._file: BinaryIO | None = None
        self._under_way: asyncio.Future[None] | None = None
        self.size_octets = 0
        self._skipped_octets = 0

    def skip(self, octets: int) -> None:
        """Leave the first octets out from now on."""
        self.size_octets -= octets
        self._skipped_octets += octets

    def write(self, octets: bytes) -> Pending[None]:
        """Append; at most one write at a time. It fails with OSError."""
        self.size_octets += len(octets)
        loop = asyncio.get_running_loop()
        self._under_way = loop.run_in_executor(_threads, self._append, octets)
        return pending_of(self._under_way)

    async def read(self) -> bytes:
        """All of it. Raises OSError."""
        return await asyncio.get_running_loop().run_in_executor(_threads, self._whole)

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of it in order, a piece in memory at a time. Raises OSError."""
        loop, at = asyncio.get_running_loop(), self._skipped_octets
        while octets := await loop.run_in_executor(_threads, self._piece, at):
            yield octets
            at += len(octets)

    def close(self) -> None:
        """Give the space back, once a write under way has ended."""
        if self._under_way is not None and not self._under_way.done():
            self._under_way.add_done_callback(self._close)
        else:
            self._close()

    def _append(self, octets: bytes) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
        self._digest.update(octets)
        left = memoryview(octets)
        while left:  # a file without a buffer may take less than it is given
            left = left[self._file.write(left) :]

    def _whole(self) -> bytes:
        if self._file is None:
            return b""
        self._file.seek(self._skipped_octets)
        return self._file.read()

    def _piece(self, at: int) -> bytes:
        return b"" if self._file is None else os.pread(self._file.fileno(), READ_OCTETS, at)

    def _close(self, done: "asyncio.Future[None] | None" = None) -> None:
        if done is not None and not done.cancelled():
            done.exception()  # nobody waits for it any more
        if self._file is not None:
            self._file.close()
            self._file = None
