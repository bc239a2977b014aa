"""Postfix's policy delegation protocol (SMTPD_POLICY_README), pure: octets in, requests out.

A request is lines of `name=value` up to an empty one, a reply one line `action=…` and an empty one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from gateway.postfix.socketmap import ProtocolError
from gateway.routing.replies import Reply

REQUEST_MAX_OCTETS = 65_536
# Lets the next restriction decide, the end of which is Postfix's own answer.
PASS = "DUNNO"  # noqa: S105 - a word of access(5)


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """What Postfix tells of a session at one of its stages.

    `sender` and `recipient` are in Postfix's internal form: without angle brackets and quotes.
    `size_octets` is what MAIL declared, at END-OF-MESSAGE what was received; 0 is not known.
    `instance` is the same for all requests about one message.
    """

    stage: str
    instance: str = ""
    queue_id: str = ""
    client: str = ""
    helo: str = ""
    protocol: str = ""
    sender: str = ""
    recipient: str = ""
    recipient_count: int = 0
    size_octets: int = 0

    @property
    def client_address(self) -> IPv4Address | IPv6Address | None:
        try:
            return ip_address(self.client)
        except ValueError:  # Postfix says "unknown"
            return None


def take(buffer: bytearray) -> PolicyRequest | None:
    """Cut the first request out of the buffer; None until it is whole. Raises ProtocolError."""
    end = buffer.find(b"\n\n")
    if max(end, len(buffer) if end < 0 else 0) > REQUEST_MAX_OCTETS:
        raise ProtocolError(f"a request over {REQUEST_MAX_OCTETS} octets")
    if end < 0:
        return None
    lines = bytes(buffer[:end]).decode("utf-8", "surrogateescape").split("\n")
    del buffer[: end + 2]
    return _request(dict(map(_attribute, lines)))


def action(reply: Reply) -> bytes:
    """The answer that makes Postfix say this reply; an accepted one lets it go on."""
    return f"action={PASS if reply.is_accepted else reply}\n\n".encode()


def _attribute(line: str) -> tuple[str, str]:
    name, equals, value = line.partition("=")
    if not name or not equals:
        raise ProtocolError("a line of a request has the form name=value")
    return name, value


def _request(attributes: Mapping[str, str]) -> PolicyRequest:
    if attributes.get("request") != "smtpd_access_policy":
        raise ProtocolError("only requests of smtpd_access_policy are answered")
    return PolicyRequest(
        stage=attributes.get("protocol_state", ""),
        instance=attributes.get("instance", ""),
        queue_id=attributes.get("queue_id", ""),
        client=attributes.get("client_address", ""),
        helo=attributes.get("helo_name", ""),
        protocol=attributes.get("protocol_name", ""),
        sender=attributes.get("sender", ""),
        recipient=attributes.get("recipient", ""),
        recipient_count=_number(attributes.get("recipient_count", "")),
        size_octets=_number(attributes.get("size", "")),
    )


def _number(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise ProtocolError("a number is written in digits")
    return int(text)
