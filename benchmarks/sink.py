"""Postfix's smtp-sink: the next hop of whoever delivers, which throws all away and counts."""

import os
import shutil
from pathlib import Path

from benchmarks.peers import PeerError
from benchmarks.ports import HOST, await_greeting, free_port
from mailrouting.children import Child, start

BACKLOG = "1024"
AS_NOBODY = ("-u", "nobody") if os.geteuid() == 0 else ()  # as root it asks for an account
START_SECONDS = 10


class Sink:
    """One smtp-sink; `-c` makes it write its counters after each message."""

    def __init__(self, log: Path) -> None:
        self.port = 0
        self._log = log

    def require(self) -> None:
        """Raises PeerError where the program is missing."""
        self._program()

    def start(self) -> Child:
        """Start counting from nothing."""
        self._log.unlink(missing_ok=True)
        self.port = free_port()
        child = start(
            [self._program(), *AS_NOBODY, "-c", f"{HOST}:{self.port}", BACKLOG],
            name="sink",
            log=self._log,
        )
        if not await_greeting(self.port, within_seconds=START_SECONDS):
            child.stop()
            said = " ".join(child.last_lines())
            raise PeerError(f"smtp-sink does not greet on port {self.port}: {said}")
        return child

    def received_count(self) -> int:
        """Messages taken since the start, by the last of its lines: `sess=1 quit=0 mesg=7`."""
        with self._log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 200))
            counts = log.read().rpartition(b"mesg=")[2].split()
        return int(counts[0]) if counts else 0

    def _program(self) -> str:
        found = shutil.which("smtp-sink", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
        if found is None:
            raise PeerError("smtp-sink is missing: apt install postfix")
        return found
