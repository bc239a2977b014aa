"""Asking real name servers, with dnspython.

Rule of this file: the only place of tenants/ that sends a DNS packet. Recursive resolvers
(validating ones, if DNSSEC is to count) are asked for nothing but zone cuts and addresses;
every record comes from an authoritative server itself. What goes wrong is an answer with a
reason, never an absence.
"""

import ipaddress
import time
from collections.abc import Callable, Sequence
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.query
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TXT
import dns.resolver
import dns.rrset

from tenants.dns.answers import (
    RESOLVER,
    Delegation,
    LookupFailedError,
    NameServer,
    Outcome,
    ServerAnswer,
)
from tenants.dns.expected import normalise_name

UDP_PAYLOAD_OCTETS = 1232
"""EDNS buffer size that no path fragments (DNS flag day 2020)."""

MOST_SERVERS = 16
MOST_ADDRESSES = 4
MOST_ALIASES = 16
"""Bounds on what a hostile zone can make one check do."""

UDP_ATTEMPTS = 2

TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
"""IPv4 behind a translator, by a prefix that everybody shares (RFC 6052 §2.1)."""

HANDED_OUT = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given to anybody (RFC 4291 §2.4): else old or local ways to embed IPv4."""

KEPT_BACK = (ipaddress.ip_network("3fff::/20"), ipaddress.ip_network("192.88.99.0/24"))
"""Documentation (RFC 9637) and relays of 6to4 (RFC 7526), not in each Python's own table."""


class DnspythonResolver:
    """Authoritative servers through dnspython; safe to share between threads.

    `resolvers` are addresses, with a port or without ("192.0.2.1", "192.0.2.1:5353",
    "[2001:db8::1]:53"); empty means the system's. A question waits `timeout_seconds`, a
    whole check `lifetime_seconds`. Servers at addresses that are not public are asked only
    if `allow_private_addresses`: whoever owns a domain chooses where its servers lie.
    Raises ValueError for a resolver that is no address or when the system has none.
    """

    def __init__(
        self,
        resolvers: Sequence[str],
        *,
        authoritative_port: int = 53,
        timeout_seconds: float = 3.0,
        lifetime_seconds: float = 30.0,
        allow_private_addresses: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stub = make_stub(resolvers, timeout_seconds)
        self.authoritative_port = authoritative_port
        self.timeout_seconds = timeout_seconds
        self.lifetime_seconds = lifetime_seconds
        self.allow_private_addresses = allow_private_addresses
        self.clock = clock

    def begin(self) -> "DnspythonLookup":
        """Start the check of one domain; its deadline runs from here."""
        return DnspythonLookup(self)


def make_stub(resolvers: Sequence[str], timeout_seconds: float) -> dns.resolver.Resolver:
    """A stub resolver for the given addresses, or the system's. Raises ValueError."""
    try:
        stub = dns.resolver.Resolver(configure=not resolvers)
    except dns.resolver.NoResolverConfiguration:
        raise ValueError("The system names no DNS resolver; set DNS_RESOLVERS.") from None
    if resolvers:
        stub.nameservers = [dns.nameserver.Do53Nameserver(*parse_endpoint(r)) for r in resolvers]
    stub.timeout = timeout_seconds
    return stub


def parse_endpoint(text: str) -> tuple[str, int]:
    """Address and port out of "192.0.2.1", "192.0.2.1:5353" or "[2001:db8::1]:53".

    Raises ValueError.
    """
    host, port = text.strip(), "53"
    if host.startswith("["):
        host, _, port = host[1:].partition("]")
        port = port.removeprefix(":") or "53"
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
    try:
        return str(ipaddress.ip_address(host)), int(port)
    except ValueError:
        raise ValueError(f"DNS_RESOLVERS: {text!r} is not an address, or address:port.") from None


class DnspythonLookup:
    """One check of one domain: a deadline, and what was learned so far. For one thread.

    A server that stays silent is not asked again within the check, so that it costs its
    timeout once.
    """

    def __init__(self, settings: DnspythonResolver) -> None:
        self._settings = settings
        self._deadline = settings.clock() + settings.lifetime_seconds
        self._silent: set[str] = set()
        self._responses: dict[tuple[dns.name.Name, str], dns.message.QueryMessage] = {}
        self._delegations: dict[dns.name.Name, Delegation] = {}
        self._chased: dict[tuple[dns.name.Name, str], ServerAnswer] = {}

    def delegation(self, name: str) -> Delegation:
        """The zone cut above `name` and its servers, by host name. Raises LookupFailedError."""
        return self._delegation(_parse_name(name))

    def query(self, server: NameServer, name: str, rdtype: str) -> ServerAnswer:
        """What this very server says: the first of its addresses that answers."""
        try:
            return self._query(server, _parse_name(name), rdtype)
        except LookupFailedError as failure:
            return _failed(server, str(failure))

    def resolve(self, name: str, rdtype: str) -> ServerAnswer:
        """What a recursive resolver says; a denial is an absence."""
        try:
            response = self._recurse(_parse_name(name), rdtype)
            chain = response.resolve_chaining()
        except LookupFailedError as failure:
            return _failed(RESOLVER, str(failure))
        except dns.exception.DNSException:
            return _failed(RESOLVER, "its answer contradicts itself")
        if chain.answer is None:
            return ServerAnswer(RESOLVER, Outcome.ABSENT, ttl=chain.minimum_ttl)
        records = tuple(sorted(map(_record_text, chain.answer)))
        return ServerAnswer(RESOLVER, Outcome.FOUND, records, chain.minimum_ttl)

    def _delegation(self, name: dns.name.Name) -> Delegation:
        zone, hosts = self._find_cut(name)
        if zone not in self._delegations:
            found = tuple(self._name_server(host, zone) for host in hosts[:MOST_SERVERS])
            self._delegations[zone] = Delegation(_text(zone), found)
        return self._delegations[zone]

    def _find_cut(self, name: dns.name.Name) -> tuple[dns.name.Name, list[dns.name.Name]]:
        """Walk up from `name` to the first name with NS records of its own."""
        response = self._recurse(name, "NS")
        hosts = response.get_rrset(response.answer, name, dns.rdataclass.IN, dns.rdatatype.NS)
        if hosts:
            return name, sorted((rdata.target for rdata in hosts), key=_text)
        if name == dns.name.root:
            raise LookupFailedError("the resolver knows no name servers")
        return self._find_cut(_zone_above(name, response))

    def _name_server(self, host: dns.name.Name, zone: dns.name.Name) -> NameServer:
        # IPv6 only where there is no IPv4: a panel without IPv6 must not call half of the
        # world's name servers failed.
        try:
            addresses = self._addresses(host, "A") or self._addresses(host, "AAAA")
        except LookupFailedError as failure:
            return NameServer(_text(host), (), _text(zone), f"its address: {failure}")
        trouble = "" if addresses else "it has no address"
        return NameServer(_text(host), addresses[:MOST_ADDRESSES], _text(zone), trouble)

    def _addresses(self, host: dns.name.Name, rdtype: str) -> tuple[str, ...]:
        response = self._recurse(host, rdtype)
        wanted = dns.rdatatype.from_text(rdtype)
        found = (rrset for rrset in response.answer if rrset.rdtype == wanted)
        return tuple(sorted(rdata.address for rrset in found for rdata in rrset))

    def _recurse(self, name: dns.name.Name, rdtype: str) -> dns.message.QueryMessage:
        """A recursive resolver's response, also a negative one. Raises LookupFailedError."""
        key = (name, rdtype)
        if key not in self._responses:
            self._responses[key] = self._resolve(name, rdtype)
        return self._responses[key]

    def _resolve(self, name: dns.name.Name, rdtype: str) -> dns.message.QueryMessage:
        lifetime = min(3 * self._settings.timeout_seconds, self._remaining_seconds())
        try:
            return self._settings.stub.resolve(
                name, rdtype, raise_on_no_answer=False, lifetime=lifetime, search=False
            ).response
        except dns.resolver.NXDOMAIN as denial:
            return cast("dns.message.QueryMessage", denial.kwargs["responses"][name])
        except dns.exception.Timeout:
            raise LookupFailedError(f"no resolver answers for {_text(name)} {rdtype}") from None
        except (dns.exception.DNSException, OSError):
            raise LookupFailedError(f"the look-up of {_text(name)} {rdtype} fails") from None

    def _query(self, server: NameServer, name: dns.name.Name, rdtype: str) -> ServerAnswer:
        answer = _failed(server, server.trouble or "it has no address")
        for address in server.addresses:
            answer = self._query_address(server, address, name, rdtype)
            if answer.outcome is not Outcome.FAILED:
                break
        return answer

    def _query_address(
        self, server: NameServer, address: str, name: dns.name.Name, rdtype: str
    ) -> ServerAnswer:
        try:
            response = self._exchange(address, name, rdtype)
            return self._read(response, server, address, name, rdtype)
        except LookupFailedError as failure:
            return _failed(server, str(failure), address)

    def _exchange(self, address: str, name: dns.name.Name, rdtype: str) -> dns.message.QueryMessage:
        """One question to one address, with the second tries that DNS asks for."""
        if not (self._settings.allow_private_addresses or is_public(address)):
            raise LookupFailedError("its address is not a public one")
        request = dns.message.make_query(name, rdtype, use_edns=0, payload=UDP_PAYLOAD_OCTETS)
        request.flags &= ~dns.flags.RD
        response = self._send(request, address)
        if response.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP):
            request.use_edns(False)  # RFC 6891 §7: a server from before EDNS
            response = self._send(request, address)
        return cast("dns.message.QueryMessage", response)

    def _send(self, request: dns.message.QueryMessage, address: str) -> dns.message.Message:
        if address in self._silent:
            raise LookupFailedError("no answer")
        for _ in range(UDP_ATTEMPTS):
            try:
                return self._send_udp(request, address)
            except dns.exception.Timeout:
                continue
            except dns.message.Truncated:
                return self._send_tcp(request, address)
            except (dns.exception.DNSException, OSError):
                raise LookupFailedError("it cannot be reached") from None
        self._silent.add(address)
        raise LookupFailedError("no answer")

    def _send_udp(self, request: dns.message.QueryMessage, address: str) -> dns.message.Message:
        return dns.query.udp(
            request,
            address,
            timeout=self._patience_seconds(),
            port=self._settings.authoritative_port,
            ignore_unexpected=True,
            ignore_errors=True,
            raise_on_truncation=True,
        )

    def _send_tcp(self, request: dns.message.QueryMessage, address: str) -> dns.message.Message:
        port = self._settings.authoritative_port
        try:
            return dns.query.tcp(request, address, timeout=self._patience_seconds(), port=port)
        except (dns.exception.DNSException, OSError, EOFError):
            raise LookupFailedError("its answer is cut short, and TCP fails") from None

    def _read(
        self,
        response: dns.message.QueryMessage,
        server: NameServer,
        address: str,
        name: dns.name.Name,
        rdtype: str,
    ) -> ServerAnswer:
        """What a response says, its aliases followed. Raises LookupFailedError.

        It need not repeat the question: servers that refuse leave it out.
        """
        chain = _follow_chain(response)
        end = chain.canonical_name
        alias = "" if end == name else _text(end)
        inside = end.is_subdomain(_parse_name(server.zone))
        if chain.answer is not None and inside:
            records = tuple(sorted(map(_record_text, chain.answer)))
            return ServerAnswer(
                server, Outcome.FOUND, records, chain.minimum_ttl, address, alias=alias
            )
        if inside and _is_denial(response):
            reason = dns.rcode.to_text(response.rcode())
            return ServerAnswer(
                server, Outcome.ABSENT, (), chain.minimum_ttl, address, reason, alias
            )
        if not alias:
            raise LookupFailedError("it passes the question on, so it does not hold the zone")
        return self._chase(server, address, end, rdtype)

    def _chase(
        self, server: NameServer, address: str, target: dns.name.Name, rdtype: str
    ) -> ServerAnswer:
        """Ask the servers of an alias's target; a name met again is a cycle."""
        key = (target, rdtype)
        if key not in self._chased:
            if len(self._chased) >= MOST_ALIASES:
                raise LookupFailedError("too many aliases (CNAME)")
            # Stands while the target is being asked: whoever comes back here went round.
            self._chased[key] = _failed(server, f"aliases (CNAME) go round at {_text(target)}")
            delegation = self._delegation(target)
            answers = [self._query(each, target, rdtype) for each in delegation.servers]
            self._chased[key] = _agree(answers, server, _text(target))
        end = self._chased[key]
        return ServerAnswer(
            server,
            end.outcome,
            end.records,
            end.ttl,
            address,
            end.reason,
            end.alias or _text(target),
        )

    def _patience_seconds(self) -> float:
        return min(self._settings.timeout_seconds, self._remaining_seconds())

    def _remaining_seconds(self) -> float:
        remaining = self._deadline - self._settings.clock()
        if remaining <= 0:
            raise LookupFailedError("the time for this check is over")
        return remaining


def is_public(address: str) -> bool:
    """Whether an address lies in the public Internet, mapped and translated ones too."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if inner or ip in TRANSLATED:
            return is_public(str(inner or ipaddress.IPv4Address(ip.packed[-4:])))
        if ip not in HANDED_OUT:
            return False
    return ip.is_global and not ip.is_multicast and not any(ip in each for each in KEPT_BACK)


def _zone_above(name: dns.name.Name, response: dns.message.Message) -> dns.name.Name:
    """The next name to try: the SOA's owner in a plain denial, else one label up."""
    if not response.answer:
        for rrset in response.authority:
            above = rrset.name != name and name.is_subdomain(rrset.name)
            if rrset.rdtype == dns.rdatatype.SOA and above:
                return rrset.name
    return name.parent()


def _follow_chain(response: dns.message.QueryMessage) -> dns.message.ChainingResult:
    rcode = response.rcode()
    if rcode == dns.rcode.REFUSED:
        raise LookupFailedError("it refuses, so it does not hold the zone (lame)")
    if rcode not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        raise LookupFailedError(f"it answers {dns.rcode.to_text(rcode)}")
    if not response.flags & dns.flags.AA:
        raise LookupFailedError("it answers without authority for the zone (lame)")
    try:
        return response.resolve_chaining()
    except dns.message.ChainTooLong:
        raise LookupFailedError("aliases (CNAME) go round") from None
    except dns.exception.DNSException:
        raise LookupFailedError("its answer contradicts itself") from None


def _is_denial(response: dns.message.Message) -> bool:
    """Whether an answer without the record denies it, or refers elsewhere (RFC 2308 §2)."""
    kinds = {rrset.rdtype for rrset in response.authority}
    denied = response.rcode() == dns.rcode.NXDOMAIN or dns.rdatatype.SOA in kinds
    return denied or dns.rdatatype.NS not in kinds


def _agree(answers: Sequence[ServerAnswer], server: NameServer, target: str) -> ServerAnswer:
    """One answer for an alias's target: what its servers say with one voice.

    Failed servers count only against absence.
    """
    said = {(a.outcome, a.records): a for a in answers if a.outcome is not Outcome.FAILED}
    failed = [answer for answer in answers if answer.outcome is Outcome.FAILED]
    if len(said) > 1:
        return _failed(server, f"the name servers of {target} disagree")
    for answer in said.values():
        if answer.outcome is Outcome.FOUND or not failed:
            return answer
    reason = failed[0].reason if failed else "no name servers"
    return _failed(server, f"its alias (CNAME) {target}: {reason}")


def _failed(server: NameServer, reason: str, address: str = "") -> ServerAnswer:
    return ServerAnswer(server, Outcome.FAILED, address=address, reason=reason)


def _parse_name(text: str) -> dns.name.Name:
    try:
        return dns.name.from_text(text)
    except (dns.exception.DNSException, UnicodeError):
        raise LookupFailedError(f"{text[:80]!r} cannot be a domain name") from None


def _text(name: dns.name.Name) -> str:
    return normalise_name(name.to_text())


def _record_text(rdata: dns.rdata.Rdata) -> str:
    if isinstance(rdata, dns.rdtypes.ANY.TXT.TXT):
        return _printable(b"".join(rdata.strings))
    return rdata.to_text().lower()


def _printable(octets: bytes) -> str:
    return "".join(chr(o) if 0x20 <= o < 0x7F else f"\\{o:03d}" for o in octets)
