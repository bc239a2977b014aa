"""What Postfix sends on one connection, pure: octets in, requests out, however they are cut.

One listener serves tables and policy: look-ups start with a digit, policy requests with a letter.
"""

from gateway.postfix import delegation, socketmap
from gateway.postfix.delegation import PolicyRequest
from gateway.postfix.socketmap import Lookup

Request = Lookup | PolicyRequest


class Reader:
    """Feed it octets; ask it for the next request until there is none."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> None:
        """Take what came."""
        self._buffer += octets

    def next_request(self) -> Request | None:
        """The next request; None until more octets come. Raises ProtocolError."""
        if not self._buffer:
            return None
        if self._buffer[:1].isdigit():
            return socketmap.take(self._buffer)
        return delegation.take(self._buffer)
