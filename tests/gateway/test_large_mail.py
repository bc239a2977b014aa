"""Large messages over many connections: what a gateway process needs of memory, and who waits.

Measured in a process of its own. `LARGE_MAIL=50x25` runs as many connections with so many MB each
and prints what was seen (`pytest -s`); without it a smaller run holds the same rule.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.gateway import worker
from tests.gateway.live import Wire
from tests.gateway.sink import free_port
from tests.gateway.stage import Stage
from tests.waiting import wait_until

CONNECTIONS, MEGABYTES = map(int, os.environ.get("LARGE_MAIL", "12x8").split("x"))
LINE = b"x" * 98 + b"\r\n"
MOST_MIB = 512


class Gateway:
    """A gateway process on a port of its own."""

    def __init__(self, process_id: int, port: int) -> None:
        self.process_id = process_id
        self.port = port

    def connect(self) -> Wire:
        wire = Wire(socket.create_connection(("127.0.0.1", self.port), 60))
        wire.talk("S: 220 \nC: EHLO client.example\nS: 250 ")
        return wire

    def memory_mib(self, line: str) -> int:
        """`VmRSS` is what it holds now, `VmHWM` the most that it ever held."""
        status = Path(f"/proc/{self.process_id}/status").read_text()
        return int(status.partition(f"{line}:")[2].split()[0]) // 1024


@contextmanager
def gateway(folder: Path) -> Iterator[Gateway]:
    port, probe = str(free_port()), str(free_port())
    command = ["manage.py", "gateway", "--port", port, "--probe-port", probe]
    running = worker.Worker(*command, folder=folder)
    try:
        wait_until(lambda: _listens(int(port)))
        yield Gateway(running.process_id, int(port))
    finally:
        running.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def send_large(wire: Wire, recipient: str, ready: threading.Barrier, said: list[str]) -> None:
    """One message of so many MB, whose last line waits until all others are as far."""
    with wire:
        wire.talk(f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{recipient}>\nS: 250\nC: DATA\nS: 354")
        block = LINE * 1000
        wire.write(b"Subject: large\r\n\r\n")
        for _ in range(MEGABYTES * 10):
            wire.write(block)
        ready.wait(120)
        wire.write(b".\r\n")
        said.append(wire.reply())


def send_small(wire: Wire, recipient: str) -> float:
    """How many seconds a small message took, in a session that is open already."""
    began = time.perf_counter()
    wire.talk(
        f"C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<{recipient}>\nS: 250\nC: DATA\nS: 354\n"
        "C: Subject: small\n.\nS: 250"
    )
    return time.perf_counter() - began


def test_large_messages_stay_within_memory_and_small_ones_pass_them(
    stage: Stage, socket_enabled: None, tmp_path: Path
):
    stage.alias("hello")
    said: list[str] = []
    ready = threading.Barrier(CONNECTIONS + 1)
    with gateway(tmp_path) as running:
        small = running.connect()
        send_small(small, stage.address("hello"))
        idle_mib = running.memory_mib("VmRSS")
        threads = [
            threading.Thread(
                target=send_large, args=(running.connect(), stage.address("hello"), ready, said)
            )
            for _ in range(CONNECTIONS)
        ]
        for thread in threads:
            thread.start()
        seconds = [send_small(small, stage.address("hello"))]
        ready.wait(120)
        while any(thread.is_alive() for thread in threads):
            seconds.append(send_small(small, stage.address("hello")))
        small.close()
        most_mib = running.memory_mib("VmHWM")

    assert [reply[:9] for reply in said] == ["250 2.0.0"] * CONNECTIONS
    seconds.sort()
    print(  # noqa: T201 - the measurement
        f"\n{CONNECTIONS} messages of {MEGABYTES} MB: {idle_mib} MiB idle, {most_mib} MiB at most; "
        f"{len(seconds)} small ones beside: median {seconds[len(seconds) // 2] * 1000:.1f} ms, "
        f"p99 {seconds[int(len(seconds) * 0.99)] * 1000:.1f} ms"
    )
    assert most_mib - idle_mib < min(MOST_MIB - idle_mib, CONNECTIONS * MEGABYTES)
