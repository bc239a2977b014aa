"""A broker that can be killed: redis-server in memory alone, so that a kill loses all it held."""

import os
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.waiting import wait_until


class Redis:
    """One server on a loopback port; `kill` and `start` as often as one likes."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        program = shutil.which("redis-server") or "/usr/bin/redis-server"
        words = ("--port", str(self._port), "--bind", "127.0.0.1", "--save", "", "--dir")
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, *words, str(self._folder)], stdout=log, stderr=log
            )
        wait_until(self._answers)

    def kill(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1) as peer:
            peer.sendall(b"PING\r\n")
            return peer.recv(16).startswith(b"+PONG")
        return False
