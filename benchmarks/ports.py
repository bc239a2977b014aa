"""Loopback ports of the servers under test: finding a free one, waiting for a greeting."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from mailrouting.supervisor import choose_free

HOST = "127.0.0.1"
CLIENTS = 250
LISTENING = "0A"  # proc_net_tcp, the state of a socket


def free_port() -> int:
    """A loopback port that nothing listens on now, and no outgoing connection takes meanwhile."""
    return choose_free([HOST])[0]


def listeners(port: int) -> int:
    """How many sockets listen on an IPv4 port; several where processes share it."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    found = [line.split() for line in lines]
    return sum(each[1].endswith(f":{port:04X}") and each[3] == LISTENING for each in found)


def client_address(number: int) -> str:
    """One of 250 loopback addresses to connect from, in turn.

    Each has ports of its own, so that those of closed connections do not run out.
    """
    return f"127.0.1.{number % CLIENTS + 1}"


def is_greeted(port: int) -> bool:
    """Whether a mail server on the port greets with 220 at this moment."""
    try:
        with socket.create_connection((HOST, port), timeout=2) as connection:
            greeting = connection.recv(512)
            connection.sendall(b"QUIT\r\n")
    except OSError:
        return False
    return greeting.startswith(b"220")


def await_greeting(port: int, *, within_seconds: float) -> bool:
    """True once the port greets; False when it has not within the time."""
    return await_condition(lambda: is_greeted(port), within_seconds=within_seconds)


def await_open(port: int, *, within_seconds: float) -> bool:
    """True once something listens on the port; False when nothing does within the time."""
    return await_condition(lambda: _is_open(port), within_seconds=within_seconds)


def await_condition(is_met: Callable[[], bool], *, within_seconds: float) -> bool:
    """True once the condition is met; False when it is not within the time."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if is_met():
            return True
        time.sleep(0.02)
    return False


def _is_open(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=2).close()
    except OSError:
        return False
    return True
