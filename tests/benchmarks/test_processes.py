"""Processes below a leash, their memory, and who listens."""

import socket
import sys
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.ports import free_port, listeners
from mailrouting.children import start
from tests.waiting import wait_until

PARENT = """
import subprocess, sys
held = bytearray(64 * 2**20)
held[::4096] = b"x" * len(held[::4096])
waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
child = subprocess.Popen(waiting, stdin=subprocess.PIPE)
print("ready", flush=True)
child.wait()
"""


def test_a_servers_memory_is_that_of_all_its_processes(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = start([sys.executable, "-c", PARENT], name="parent", log=log)
    try:
        wait_until(lambda: "ready" in log.read_text())
        wait_until(lambda: len(processes.below([child])) == 2)
        running = processes.below([child])
        assert processes.shared_mib(running) > 64
        processes.forget_peaks(running)
        assert processes.largest_peak_mib(running) > 64
    finally:
        child.stop()
    assert processes.below([child]) == []
    assert processes.shared_mib(running) == 0


@pytest.mark.usefixtures("socket_enabled")
def test_each_socket_that_listens_on_a_port_is_counted() -> None:
    port = free_port()
    assert listeners(port) == 0
    with socket.create_server(("127.0.0.1", port), reuse_port=True):
        assert listeners(port) == 1
        with socket.create_server(("127.0.0.1", port), reuse_port=True):
            assert listeners(port) == 2
