"""Postfix's side of a conversation, for tests that ask the listener directly."""

import socket
from itertools import count
from typing import Any, Self

from tests.gateway.live import TIMEOUT_SECONDS

_instances = count(1)


class Asking:
    """One connection of a Postfix process."""

    def __init__(self, target: int | str) -> None:
        """To a port on loopback, or to a UNIX socket's path."""
        family = socket.AF_INET if isinstance(target, int) else socket.AF_UNIX
        self._socket = socket.socket(family)
        self._socket.settimeout(TIMEOUT_SECONDS)
        try:
            self._socket.connect(("127.0.0.1", target) if isinstance(target, int) else target)
        except OSError:
            self._socket.close()
            raise
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def write(self, octets: bytes) -> None:
        self._socket.sendall(octets)

    def read_all(self) -> bytes:
        """What comes until the listener closes."""
        return self._file.read()

    def look_up(self, table: str, key: str) -> str:
        """Ask a table; its status and text."""
        payload = f"{table} {key}".encode(errors="surrogateescape")
        self.write(b"%d:%s," % (len(payload), payload))
        size = b""
        while (digit := self._file.read(1)) != b":":
            assert digit, "the listener has closed"
            size += digit
        text = self._file.read(int(size) + 1)
        assert text[-1:] == b","
        return text[:-1].decode()

    def action(self, stage: str, **attributes: Any) -> str:
        """Ask for an action; what follows `action=`."""
        given = {"request": "smtpd_access_policy", "protocol_state": stage} | attributes
        lines = "".join(f"{name}={value}\n" for name, value in given.items())
        self.write(lines.encode(errors="surrogateescape") + b"\n")
        line, end = self._file.readline(), self._file.readline()
        assert end == b"\n", "the listener has closed"
        return line.decode().removeprefix("action=").rstrip("\n")


class Mailing:
    """One message as Postfix tells of it: its recipients one by one, then its end."""

    def __init__(self, asking: Asking, **attributes: Any) -> None:
        self._asking = asking
        self._attributes = {
            "instance": f"1.{next(_instances)}",
            "sender": "ann@sender.example",
            "client_address": "192.0.2.7",
            "helo_name": "client.example",
            "protocol_name": "ESMTP",
            "size": 0,
        } | attributes

    def rcpt(self, recipient: str) -> str:
        return self._asking.action("RCPT", **self._attributes, recipient=recipient)

    def end(self, octets: int = 100, recipients: int = 1) -> str:
        told = self._attributes | {"size": octets, "recipient_count": recipients}
        return self._asking.action("END-OF-MESSAGE", **told, queue_id="ABCDEF")

    def send(self, recipient: str, octets: int = 100) -> str:
        """The action that decided it."""
        action = self.rcpt(recipient)
        return self.end(octets) if action == "DUNNO" else action
