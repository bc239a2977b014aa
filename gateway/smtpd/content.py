"""One message as it comes in, piece by piece: kept, counted, hashed, its header and line ends seen.

The memory it needs does not grow with the message: beyond MOST_IN_MEMORY_OCTETS its octets wait in
a file (gateway/spool.py). Nothing is decided about the message here.
"""

import re
from hashlib import sha256

from gateway.pending import Pending
from gateway.smtpd.trace import MAX_HEADER_OCTETS
from gateway.spool import Spool

# A body of 1 MiB with its header stays in memory.
MOST_IN_MEMORY_OCTETS = 1024 * 1024 + 64 * 1024
# What a message whose size nobody declared takes of the budget, and takes again when it is more.
SHARE_OCTETS = 64 * 1024
# A message in a file is written in pieces of this size.
WRITE_OCTETS = 256 * 1024
# Smaller pieces are gathered up to this size: each of their own would take 40 octets besides.
PIECE_OCTETS = 16 * 1024
_BARE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_END_OF_HEADER = b"\r\n\r\n"
_LONGEST_HEAD = len(b"\r\n") + MAX_HEADER_OCTETS


class Content:
    """What has come of a message so far.

    `seed` begins its digest. With `normalises` a bare CR or LF becomes CR LF, else it is kept and
    `has_bare_ends` tells. `is_header_too_long` tells of a header section of more than
    MAX_HEADER_OCTETS, whatever the pieces were that it came in; no more of it is seen.
    """

    def __init__(self, seed: bytes, *, normalises: bool, spool_folder: str | None = None) -> None:
        self.size_octets = 0
        self.in_memory_octets = 0
        self.has_bare_ends = False
        self.is_header_too_long = False
        self.spool: Spool | None = None
        self.normalises = normalises
        self._spool_folder = spool_folder
        self._hash = sha256(seed)
        self._head = bytearray(b"\r\n")  # so that a header without a line ends like every other
        self._has_header = False
        self._pieces: list[bytes | bytearray] = []
        self._held = b""  # a CR whose LF may come with the next piece

    @property
    def header(self) -> bytes:
        """The header section without the empty line; at most MAX_HEADER_OCTETS of it."""
        return bytes(self._head[2:_LONGEST_HEAD])

    @property
    def header_section(self) -> bytes:
        """The header with the end of its last line; empty where there is none."""
        header = self.header
        return header if not header or header.endswith(b"\r\n") else header + b"\r\n"

    @property
    def digest(self) -> bytes:
        """Once all has come, and is in its file."""
        return self._hash.digest()

    def add(self, octets: bytes) -> Pending[None] | None:
        """Take more of it; where a write is pending, it has to end before more is added.

        It fails with OSError.
        """
        if self._held:
            octets, self._held = self._held + octets, b""
        if octets.endswith(b"\r"):
            octets, self._held = octets[:-1], b"\r"
        return self._keep(self._with_line_ends(octets))

    def end(self) -> Pending[None] | None:
        """Nothing more comes; as `add`."""
        octets, self._held = self._with_line_ends(self._held), b""
        writing = self._keep(octets)
        if self.spool is not None:
            return writing or self._write()
        for piece in self._pieces:
            self._hash.update(piece)
        return None

    async def whole(self) -> bytes:
        """All of it, as it came, in memory. Raises OSError."""
        return b"".join(self._pieces) if self.spool is None else await self.spool.read()

    def take(self, top: bytes, *, header: bytes | None = None) -> bytes:
        """What is in memory, below lines of ours: the whole message where it is not spooled.

        `header` stands in place of the header section, its last line end included.
        """
        octets = b"".join(self._pieces)
        self._pieces.clear()
        if header is None:
            return top + octets
        left_out = len(self.header_section)
        if self.spool is not None:
            self.spool.skip(left_out)
        return top + header + octets[left_out:]

    def drop(self) -> None:
        """Give back memory and file: nothing of it will be stored."""
        self._pieces.clear()
        self.in_memory_octets = 0
        if self.spool is not None:
            self.spool.close()
            self.spool = None

    def _with_line_ends(self, octets: bytes) -> bytes:
        if octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r"):
            return octets
        self.has_bare_ends = True
        return _BARE_END.sub(b"\r\n", octets) if self.normalises else octets

    def _keep(self, octets: bytes) -> Pending[None] | None:
        self.size_octets += len(octets)
        self.in_memory_octets += len(octets)
        self._gather(octets)
        if not self._has_header:
            self._see_header(octets)
        most = MOST_IN_MEMORY_OCTETS if self.spool is None else WRITE_OCTETS
        return self._write() if self.in_memory_octets > most else None

    def _gather(self, octets: bytes) -> None:
        """Keep a piece: by itself as the first or after a large one, else with the last."""
        last = self._pieces[-1] if self._pieces else None
        if last is None or len(last) >= PIECE_OCTETS:
            self._pieces.append(octets)
        elif isinstance(last, bytearray):
            last += octets
        elif octets:
            self._pieces[-1] = bytearray(last) + octets

    def _see_header(self, octets: bytes) -> None:
        seen = max(0, len(self._head) - len(_END_OF_HEADER) + 1)
        self._head += octets[: _LONGEST_HEAD + len(_END_OF_HEADER)]
        end = self._head.find(_END_OF_HEADER, seen)
        # What came last may be the beginning of its end.
        size_octets = end if end >= 0 else len(self._head) - len(_END_OF_HEADER) + 1
        self.is_header_too_long = size_octets > _LONGEST_HEAD
        self._has_header = end >= 0 or self.is_header_too_long
        if self._has_header:
            del self._head[min(size_octets, _LONGEST_HEAD) :]

    def _write(self) -> Pending[None] | None:
        """Move what is in memory to the file."""
        if self.spool is None:
            self.spool = Spool(self._hash, folder=self._spool_folder)
        octets = b"".join(self._pieces)
        self._pieces.clear()
        self.in_memory_octets = 0
        return self.spool.write(octets) if octets else None
