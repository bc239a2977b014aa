"""A gateway as operators run it, for tests: a process with its log, on the test's own database."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailrouting.embedded import REPOSITORY
from tests.gateway import worker
from tests.gateway.live import TIMEOUT_SECONDS, Wire
from tests.gateway.sink import free_port
from tests.waiting import told_of, wait_until


class GatewayProcess:
    """`manage.py gateway` with settings of the test's own."""

    def __init__(self, folder: Path, *, descriptors: int | None = None, **settings: str) -> None:
        self.port, self.probe_port = free_port(), free_port()
        self._log = folder / "gateway.log"
        own = {"GATEWAY_PORT": str(self.port), "GATEWAY_PROBE_PORT": str(self.probe_port)}

        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*_limited(descriptors), sys.executable, "manage.py", "gateway"],
                cwd=REPOSITORY,
                env=worker.environment(folder) | own | settings,
                stdout=log,
                stderr=log,
            )
        self._wires: list[Wire] = []
        wait_until(lambda: "event=listening" in self.log() or not self.is_running())
        assert self.is_running(), self.log()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def log(self) -> str:
        return self._log.read_text()

    def open(self, source: str = "127.0.0.1") -> Wire:
        """A connection, before anything was read."""
        there = ("127.0.0.1", self.port)
        wire = Wire(socket.create_connection(there, TIMEOUT_SECONDS, (source, 0)))
        self._wires.append(wire)
        return wire

    def cpu_seconds(self) -> float:
        """What the process has used of a processor so far."""
        fields = told_of(self.pid)
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def terminate(self) -> None:
        """SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        return self._process.wait(30)

    def stop(self) -> None:
        """End it, and close what the test has left open."""
        for wire in self._wires:
            wire.close()
        if self.is_running():
            self.terminate()
        self.wait()


@contextmanager
def gateway_process(
    folder: Path, *, descriptors: int | None = None, **settings: str
) -> Iterator[GatewayProcess]:
    """A running gateway, stopped at the end."""
    process = GatewayProcess(folder, descriptors=descriptors, **settings)
    try:
        yield process
    finally:
        process.stop()


def _limited(descriptors: int | None) -> list[str]:
    """A command that starts another with so many descriptors, half of them at first."""
    if descriptors is None:
        return []
    limits = f"ulimit -S -n {descriptors // 2} && ulimit -H -n {descriptors}"
    return ["sh", "-c", f'{limits} && exec "$@"', "sh"]
