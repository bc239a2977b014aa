"""What many idle connections cost a server, and whether a fresh client is greeted meanwhile."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import perf_counter

from benchmarks import processes
from benchmarks.case import Sample, Task, WrongAnswerError
from benchmarks.histogram import Histogram
from benchmarks.peers import Peer
from benchmarks.ports import HOST, client_address

FRESH_CLIENTS = 50
REPLY_SECONDS = 30
REPLY_OCTETS = 4096


def idle(peer: Peer, task: Task) -> Sample:
    """Memory that the connections add, and the time to the greeting of 50 more, one by one."""
    before = processes.shared_mib(peer.processes())
    with _held_open(peer.port, task.connections):
        times = Histogram()
        for number in range(FRESH_CLIENTS):
            times.record(_seconds_to_greeting(peer.port, number))
        grown = processes.shared_mib(peer.processes()) - before
    return Sample(times.percentile(50) or 0.0, times.percentile(99) or 0.0, memory_mib=grown)


@contextmanager
def _held_open(port: int, connections: int) -> Iterator[None]:
    """So many sessions that have said EHLO and nothing since."""
    with ExitStack() as stack:
        for number in range(connections):
            client = stack.enter_context(_connect(port, number))
            _expect(client, b"220")
            client.sendall(b"EHLO idle.bench.example\r\n")
            _expect(client, b"250")
        yield


def _seconds_to_greeting(port: int, number: int) -> float:
    started = perf_counter()
    with _connect(port, number) as client:
        _expect(client, b"220")
        return perf_counter() - started


def _connect(port: int, number: int) -> socket.socket:
    source = (client_address(number), 0)
    return socket.create_connection((HOST, port), timeout=REPLY_SECONDS, source_address=source)


def _expect(client: socket.socket, code: bytes) -> None:
    reply = client.recv(REPLY_OCTETS)
    if not reply.startswith(code):
        raise WrongAnswerError(f"expected {code!r}, was answered {reply[:200]!r}")
