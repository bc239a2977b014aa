"""DNS for messages that wait: asked of the configured resolvers, on the event loop.

Absent and failed stay apart: an answer without records says so, a look-up that failed raises.
Answers are kept as long as their TTL allows, questions that are under way are shared, and only a
bounded number is under way at a time.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver
from msgspec import Struct

from gateway.inspection.name_server import BoundedNameserver
from tenants.dns.resolver import UDP_PAYLOAD_OCTETS, parse_endpoint

QUERY_SECONDS = 3.0
QUESTION_SECONDS = 8.0
MOST_QUESTIONS = 200
MOST_ANSWERS = 20_000
# Strangers choose how long their answers are.
MOST_KEPT_CHARACTERS = 64 * 1024 * 1024
# No name has more (RFC 1035 §2.3.4).
LONGEST_NAME = 255
LONGEST_TTL_SECONDS = 3600
# A failure is remembered just long enough that a crowd of messages does not repeat it.
FAILURE_TTL_SECONDS = 5

Key = tuple[str, str]


class DnsTrouble(Exception):
    """The look-up failed: nothing is known of the name."""


class Answer(Struct, frozen=True):
    """Records as text: TXT strings joined (Latin-1), addresses, host names without the last dot.

    MX hosts come by preference. `exists` is False where the name itself does not (NXDOMAIN).
    """

    records: tuple[str, ...] = ()
    exists: bool = True


NOWHERE = Answer(exists=False)


class Resolver(Protocol):
    """What the checks ask."""

    async def ask(self, name: str, kind: str) -> Answer:
        """The records of a kind ("TXT", "A" …) at a name. Raises DnsTrouble."""
        ...


class CachingResolver:
    """Asks `resolvers` ("192.0.2.1", "192.0.2.1:5353"); none means the system's."""

    def __init__(
        self, resolvers: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._resolvers = resolvers
        self._clock = clock
        self._stub: dns.asyncresolver.Resolver | None = None
        self._slots = asyncio.Semaphore(MOST_QUESTIONS)
        self._known: OrderedDict[Key, tuple[float, Answer | None]] = OrderedDict()
        self._kept_characters = 0
        self._asking: dict[Key, asyncio.Task[Answer | None]] = {}

    async def ask(self, name: str, kind: str) -> Answer:
        """See Resolver. A name that DNS cannot hold is one that does not exist."""
        if len(name) > LONGEST_NAME:
            return NOWHERE
        key = (name.lower().rstrip("."), kind)
        until, answer = self._known.get(key, (0.0, None))
        if until <= self._clock():
            answer = await asyncio.shield(self._question(key))
        if answer is None:
            raise DnsTrouble(f"{kind} of {key[0]}")
        return answer

    def _question(self, key: Key) -> "asyncio.Task[Answer | None]":
        """The look-up under way for a key; it goes on when who asked has given up."""
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.ensure_future(self._look_up(key))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return task

    async def _look_up(self, key: Key) -> Answer | None:
        async with self._slots:
            answer, ttl = await self._resolve(*key)
        self._keep(key, self._clock() + min(ttl, LONGEST_TTL_SECONDS), answer)
        return answer

    def _keep(self, key: Key, until: float, answer: Answer | None) -> None:
        """Remember an answer, and forget the oldest ones that are too many or too long."""
        _, replaced = self._known.pop(key, (0.0, None))
        self._known[key] = (until, answer)
        self._kept_characters += _length(answer) - _length(replaced)
        while len(self._known) > MOST_ANSWERS or self._kept_characters > MOST_KEPT_CHARACTERS:
            _, (_, forgotten) = self._known.popitem(last=False)
            self._kept_characters -= _length(forgotten)

    async def _resolve(self, name: str, kind: str) -> tuple[Answer | None, float]:
        """The answer, None where the look-up failed, and how long either holds, in seconds."""
        try:
            found = await self._opened().resolve(
                dns.name.from_text(name), kind, raise_on_no_answer=False, search=False
            )
        except dns.resolver.NXDOMAIN as denial:
            return NOWHERE, _denial_ttl(denial)
        except (dns.name.LabelTooLong, dns.name.NameTooLong, dns.name.EmptyLabel):
            return NOWHERE, LONGEST_TTL_SECONDS
        except (dns.exception.DNSException, OSError, ValueError):
            return None, FAILURE_TTL_SECONDS
        return Answer(_texts(found)), found.chaining_result.minimum_ttl

    def _opened(self) -> dns.asyncresolver.Resolver:
        """The stub, made at its first use: a gateway without DNS still takes mail."""
        if self._stub is None:
            stub = dns.asyncresolver.Resolver(configure=not self._resolvers)
            given = [*map(parse_endpoint, self._resolvers)]
            system = [(str(address), stub.port) for address in stub.nameservers]
            stub.nameservers = [BoundedNameserver(*each) for each in given or system]
            stub.timeout, stub.lifetime = QUERY_SECONDS, QUESTION_SECONDS
            stub.use_edns(0, 0, UDP_PAYLOAD_OCTETS)
            self._stub = stub
        return self._stub


def _length(answer: Answer | None) -> int:
    """In characters."""
    return sum(map(len, answer.records)) if answer else 0


def _texts(found: dns.resolver.Answer) -> tuple[str, ...]:
    rdatas: list[Any] = list(found.rrset or ())
    if found.rdtype == dns.rdatatype.TXT:
        return tuple(b"".join(rdata.strings).decode("latin-1") for rdata in rdatas)
    if found.rdtype == dns.rdatatype.MX:
        ordered = sorted(rdatas, key=lambda rdata: rdata.preference)
        return tuple(rdata.exchange.to_text(omit_final_dot=True) for rdata in ordered)
    if found.rdtype == dns.rdatatype.PTR:
        return tuple(rdata.target.to_text(omit_final_dot=True) for rdata in rdatas)
    return tuple(rdata.to_text() for rdata in rdatas)


def _denial_ttl(denial: dns.resolver.NXDOMAIN) -> float:
    """How long a name does not exist (RFC 2308 §5)."""
    for response in denial.kwargs["responses"].values():
        return float(response.resolve_chaining().minimum_ttl)
    return FAILURE_TTL_SECONDS
