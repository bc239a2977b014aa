"""check_host() of RFC 7208 §4: whether a domain allows a client to send in its name.

Bounded as §4.6.4 asks: ten terms that look something up, ten names of one MX or PTR, two look-ups
without an answer. DNS trouble is `temperror` and never a result of its own.
"""

import asyncio
from ipaddress import IPv4Address, IPv6Address, ip_address

from msgspec import Struct
from msgspec.structs import replace

from gateway.inspection.notes import as_note
from gateway.inspection.resolver import Answer, DnsTrouble, Resolver
from gateway.inspection.spf.macros import Macros, reverse_name
from gateway.inspection.spf.record import Mechanism, Record, SpfSyntaxError, is_spf, parse
from gateway.routing.authentication import Result

MOST_LOOKUPS = 10
MOST_VOID_LOOKUPS = 2
MOST_NAMES = 10
LABEL_MAX_OCTETS = 63

Client = IPv4Address | IPv6Address


class SpfPermanentError(Exception):
    """The domain's records cannot be evaluated; the message says why."""


class Budget(Struct):
    """What one check may still ask, over all its includes and redirects."""

    lookups: int = MOST_LOOKUPS
    voids: int = MOST_VOID_LOOKUPS

    def take_lookup(self) -> None:
        """Spend one look-up (§4.6.4). Raises SpfPermanentError where none is left."""
        self.lookups -= 1
        if self.lookups < 0:
            raise SpfPermanentError(f"more than {MOST_LOOKUPS} look-ups")

    def count(self, answer: Answer) -> Answer:
        """The answer; an empty one counts as void. Raises SpfPermanentError after too many."""
        if not answer.records:
            self.voids -= 1
            if self.voids < 0:
                raise SpfPermanentError(f"more than {MOST_VOID_LOOKUPS} look-ups without an answer")
        return answer


async def check_host(
    client: Client, domain: str, sender: str, helo: str, resolver: Resolver
) -> tuple[Result, str]:
    """The result for a client that sends as `sender`, and a note on what decided it.

    `sender` is a whole address, `postmaster@` the HELO name for the null sender.
    """
    plain = client.ipv4_mapped if isinstance(client, IPv6Address) else None  # §5: as IPv4
    check = Check(plain or client, sender, helo, resolver, Budget())
    try:
        result, note = await check.domain(domain)
    except DnsTrouble as trouble:
        result, note = Result.TEMPERROR, f"no answer: {trouble}"
    except SpfPermanentError as error:
        result, note = Result.PERMERROR, str(error)
    return result, as_note(note)


class Check(Struct, frozen=True):
    """One check_host() with all that hangs on it."""

    client: Client
    sender: str
    helo: str
    resolver: Resolver
    budget: Budget

    async def domain(self, domain: str) -> tuple[Result, str]:
        """Evaluate the record of one domain. Raises DnsTrouble, SpfPermanentError."""
        record = await self._record(domain)
        if record is None:
            return Result.NONE, f"{domain} publishes no record"
        macros = Macros(self.sender, self.helo, self.client, domain)
        for mechanism in record.mechanisms:
            if await self._matches(mechanism, macros):
                return mechanism.result, f"{mechanism.name} of {domain}"
        if record.redirect:
            return await self._redirect(record.redirect, macros)
        return Result.NEUTRAL, f"nothing of {domain} matches"

    async def _record(self, domain: str) -> Record | None:
        if not _is_full_name(domain):
            return None
        answer = await self.resolver.ask(domain, "TXT")
        policies = [text for text in answer.records if is_spf(text)]
        if len(policies) > 1:
            raise SpfPermanentError(f"{domain} publishes {len(policies)} records")
        try:
            return parse(policies[0]) if policies else None
        except SpfSyntaxError as error:
            raise SpfPermanentError(f"syntax of {domain}: {error}") from None

    async def _redirect(self, target: str, macros: Macros) -> tuple[Result, str]:
        self.budget.take_lookup()
        result, note = await self.domain(await self._expand(target, macros))
        if result is Result.NONE:
            raise SpfPermanentError(f"redirect: {note}")
        return result, note

    async def _matches(self, mechanism: Mechanism, macros: Macros) -> bool:
        if mechanism.name == "all":
            return True
        if mechanism.network is not None:
            return self.client in mechanism.network
        self.budget.take_lookup()
        return await self._look_up(mechanism, await self._expand(mechanism.domain, macros))

    async def _look_up(self, mechanism: Mechanism, name: str) -> bool:
        match mechanism.name:
            case "include":
                return await self._includes(name)
            case "a":
                return await self._has_address(name, mechanism)
            case "mx":
                return await self._has_mx(name, mechanism)
            case "exists":
                return bool(self.budget.count(await self.resolver.ask(name, "A")).records)
            case _:
                return bool(await self._validated(name))

    async def _includes(self, name: str) -> bool:
        result, note = await self.domain(name)
        if result is Result.NONE:
            raise SpfPermanentError(f"include: {note}")
        return result is Result.PASS

    async def _has_address(self, name: str, mechanism: Mechanism) -> bool:
        answer = self.budget.count(await self._addresses(name))
        return any(self._is_near(address, mechanism) for address in answer.records)

    async def _has_mx(self, name: str, mechanism: Mechanism) -> bool:
        answer = self.budget.count(await self.resolver.ask(name, "MX"))
        if len(answer.records) > MOST_NAMES:
            raise SpfPermanentError(f"{name} has more than {MOST_NAMES} MX records")
        hosts = await asyncio.gather(*(self._addresses(host) for host in answer.records if host))
        found = [address for host in hosts for address in self.budget.count(host).records]
        return any(self._is_near(address, mechanism) for address in found)

    async def _addresses(self, name: str) -> Answer:
        return await self.resolver.ask(name, "A" if self.client.version == 4 else "AAAA")

    def _is_near(self, text: str, mechanism: Mechanism) -> bool:
        """Whether the client shares the address's prefix."""
        bits = self.client.max_prefixlen
        shift = bits - (mechanism.prefix4 if bits == 32 else mechanism.prefix6)
        return int(ip_address(text)) >> shift == int(self.client) >> shift

    async def _expand(self, text: str, macros: Macros) -> str:
        if not text:
            return macros.domain
        if "%{p" in text.lower():
            macros = replace(macros, validated=await self._validated_name(macros.domain))
        return macros.expand(text)

    async def _validated_name(self, domain: str) -> str:
        """%{p} (§7.3): the client's host name, best one of the domain."""
        names = await self._host_names()
        best = sorted(names, key=lambda name: (name != domain, not _is_below(name, domain)))
        return best[0] if best else "unknown"

    async def _validated(self, domain: str) -> bool:
        return any(_is_below(name, domain) for name in await self._host_names())

    async def _host_names(self) -> list[str]:
        """Names of the client that lead back to it (§5.5); trouble is no match."""
        try:
            names = (await self.resolver.ask(reverse_name(self.client), "PTR")).records
        except DnsTrouble:
            return []
        return [name for name in names[:MOST_NAMES] if await self._leads_back(name)]

    async def _leads_back(self, name: str) -> bool:
        try:
            answer = await self._addresses(name)
        except DnsTrouble:
            return False
        return any(ip_address(text) == self.client for text in answer.records)


def _is_full_name(domain: str) -> bool:
    """A domain of two labels or more, none of them empty or too long (§4.3)."""
    labels = domain.removesuffix(".").split(".")
    return len(labels) > 1 and all(0 < len(label) <= LABEL_MAX_OCTETS for label in labels)


def _is_below(name: str, domain: str) -> bool:
    lowered, parent = name.lower(), domain.lower().rstrip(".")
    return lowered == parent or lowered.endswith(f".{parent}")
