"""What a name server said, and the role that asks it.

Rule of this file: found, absent and failed never mix. Absent means that an authoritative
server denied the record; whatever else kept us from an answer is failed, with a reason.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class LookupFailedError(Exception):
    """The name servers of a name could not be found out; the text says why."""


class Outcome(StrEnum):
    """What became of one question to one name server."""

    FOUND = "found"
    ABSENT = "absent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NameServer:
    """One name server of a zone: its host name and the addresses to try in order.

    Without addresses `trouble` says why there are none.
    """

    host: str
    addresses: tuple[str, ...] = ()
    zone: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Delegation:
    """The zone that holds a name, and all its name servers. The root's name is empty."""

    zone: str
    servers: tuple[NameServer, ...]


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """One name server's answer to one question.

    `records` is sorted text: the joined strings of a TXT, "preference host." of an MX, the
    target of a CNAME; octets outside printable ASCII stand as \\DDD (RFC 1035 §5.1).
    `address` is the one that answered, or the last one tried. `reason` tells why a
    question failed, `alias` where a CNAME led, `ttl` is in seconds.
    """

    server: NameServer
    outcome: Outcome
    records: tuple[str, ...] = ()
    ttl: int | None = None
    address: str = ""
    reason: str = ""
    alias: str = ""


RESOLVER = NameServer("resolver")
"""Stands for whichever recursive resolver answered."""


@dataclass(frozen=True, slots=True)
class PolicyAnswer:
    """What became of the request for an MTA-STS policy file.

    Absent means that a sender would find no valid file there, failed that it could not be told.
    """

    outcome: Outcome
    text: str = ""
    reason: str = ""


class PolicyFetcher(Protocol):
    """A way to fetch policy files."""

    def fetch(self, domain: str, lookup: "Lookup") -> PolicyAnswer:
        """The policy file of a domain. Raises nothing."""


class Lookup(Protocol):
    """The questions of one check of one domain, under one deadline."""

    def delegation(self, name: str) -> Delegation:
        """The zone cut above `name` and its servers, in the order of their host names.

        Raises LookupFailedError when that cannot be found out.
        """

    def query(self, server: NameServer, name: str, rdtype: str) -> ServerAnswer:
        """What this very server says; aliases are followed. Raises nothing."""

    def resolve(self, name: str, rdtype: str) -> ServerAnswer:
        """What a recursive resolver says, as a sender's would. Raises nothing."""


class Resolver(Protocol):
    """A way to ask authoritative name servers."""

    def begin(self) -> Lookup:
        """Start the check of one domain; its deadline runs from here."""
