"""Loopback ports of the servers under test: finding a free one, waiting for a greeting."""

import socket
import time

HOST = "127.0.0.1"


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return int(listener.getsockname()[1])


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
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if is_greeted(port):
            return True
        time.sleep(0.05)
    return False
