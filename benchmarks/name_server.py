"""A DNS server on loopback that answers for the author of authenticated load, and nobody else."""

import socket
import sys
from pathlib import Path

from benchmarks import author
from benchmarks.peers import PeerError
from benchmarks.ports import HOST, await_condition, free_port
from mailrouting.children import Child, start

START_SECONDS = 10
# A question for the author's SPF record, in the form of RFC 1035 §4.1.
_NAME = b"".join(bytes([len(label)]) + label.encode() for label in author.DOMAIN.split("."))
QUESTION = b"\0\1\1\0\0\1\0\0\0\0\0\0" + _NAME + b"\0\0\x10\0\1"


class NameServer:
    """dnslib's server with the author's zone, over UDP and TCP."""

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self._folder = folder

    @property
    def endpoint(self) -> str:
        return f"{HOST}:{self.port}"

    def start(self) -> Child:
        self.port = free_port()
        zone = self._folder / "author.zone"
        zone.write_text(author.zone())
        child = start(
            [
                *(sys.executable, "-m", "dnslib.zoneresolver", "--zone", str(zone)),
                *("--address", HOST, "--port", str(self.port), "--tcp", "--log=-request,-reply"),
            ],
            name="name server",
            log=self._folder / "name-server.log",
        )
        if not await_condition(self._answers, within_seconds=START_SECONDS):
            child.stop()
            raise PeerError(f"The name server does not answer: {' '.join(child.last_lines())}")
        return child

    def _answers(self) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(0.5)
            asking.connect((HOST, self.port))
            try:
                asking.send(QUESTION)
                return b"v=spf1" in asking.recv(1024)
            except OSError:
                return False
