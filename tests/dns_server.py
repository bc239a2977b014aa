"""A small DNS world on loopback: one recursive resolver and authoritative servers.

Rule of this file: real packets over UDP and TCP, answers out of dictionaries. The resolver
is 127.0.0.1, the name server at 127.0.0.n is called n.ns.test; all share one port. Every
server can hold its own version of a zone, and fail on it in its own way.
"""

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dnslib import CLASS, QTYPE, RCODE, RR, TXT, DNSError, DNSRecord

from mailrouting.supervisor import choose_free

RESOLVER = "127.0.0.1"
TCP = socket.SOCK_STREAM
BOTH = (socket.SOCK_DGRAM, TCP)
TTL_SECONDS = 60

Value = str | Sequence[str]
Records = Mapping[str, Sequence[Value]]
"""Values by "name TYPE", as in {"example.com MX": ["10 mx1.test."]}.

A TXT value is a text (split at 255 octets) or a sequence of its strings.
"""


class Fault(StrEnum):
    """Ways in which a server can fail on a zone."""

    SERVFAIL = "servfail"
    REFUSED = "refused"
    BARE_SERVFAIL = "servfail without the question"
    BARE_REFUSED = "refused without the question"
    SILENT = "silent"
    TRUNCATED = "truncated over UDP, whole over TCP"
    CUT = "truncated over UDP, TCP closes"
    NO_AUTHORITY = "answers without AA"
    REFERRAL = "AA, no answer, NS of the zone in the authority section"
    NO_EDNS = "FORMERR to EDNS"
    DENIES_AND_ANSWERS = "NXDOMAIN with an answer"


@dataclass
class Zone:
    """One server's version of a zone."""

    origin: str
    records: dict[tuple[str, str], Sequence[Value]]
    fault: Fault | None = None

    def find(self, name: str, rdtype: str) -> list[RR]:
        """The records of a name, or those of the wildcard that covers it."""
        owner = name if self.has(name) else "*." + name.partition(".")[2]
        values = self.records.get((owner, rdtype), ())
        return [make_record(name, rdtype, value) for value in values]

    def has(self, name: str) -> bool:
        """Whether a name exists, be it only above others (an empty non-terminal)."""
        known = {owner for owner, _ in self.records} | {self.origin}
        return any(owner == name or owner.endswith(f".{name}") for owner in known)

    def covers(self, name: str) -> bool:
        """Whether the name lies in this zone by its text."""
        return self.origin in ("", name) or name.endswith(f".{self.origin}")


@dataclass
class DnsWorld:
    """Zones by server address. `queries` lists (address, transport, name, type) as asked.

    `name_servers` overrides, by zone, which NS hosts the resolver tells of.
    """

    port: int = 0
    zones: dict[str, dict[str, Zone]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    name_servers: dict[str, list[str]] = field(default_factory=dict)
    queries: list[tuple[str, str, str, str]] = field(default_factory=list)

    @property
    def resolvers(self) -> list[str]:
        """What belongs into DNS_RESOLVERS."""
        return [f"{RESOLVER}:{self.port}"]

    def serve(
        self,
        origin: str,
        records: Records,
        *,
        at: Sequence[str] = ("127.0.0.2", "127.0.0.3"),
        fault: Fault | None = None,
    ) -> None:
        """Put a zone on the servers at these addresses, in place of an older version."""
        keyed = {(name.lower(), rdtype): values for (name, rdtype), values in _split(records)}
        for address in at:
            self.zones.setdefault(address, {})[origin] = Zone(origin, keyed, fault)

    def break_recursion(self, origin: str, fault: Fault) -> None:
        """Let the recursive resolver fail on every name of a zone."""
        self.faults[origin] = fault

    def clear(self) -> None:
        """Forget all zones, faults and queries."""
        self.zones.clear()
        self.faults.clear()
        self.name_servers.clear()
        self.queries.clear()

    def respond(self, address: str, packet: bytes, transport: str) -> bytes | None:
        """The answer of the server at `address`; None when it stays silent."""
        try:
            query = DNSRecord.parse(packet)
        except DNSError:
            return None
        name = str(query.q.qname).rstrip(".").lower()
        rdtype = QTYPE.get(query.q.qtype, str(query.q.qtype))
        self.queries.append((address, transport, name, rdtype))
        if address == RESOLVER:
            return self._respond_recursively(query, name, rdtype)
        return self._respond_with_authority(query, name, rdtype, address, transport)

    def _respond_recursively(self, query: DNSRecord, name: str, rdtype: str) -> bytes | None:
        reply = query.reply(ra=1, aa=0)
        for _ in range(8):
            zone = self._zone_of(name)
            fault = self.faults.get(zone.origin)
            if fault is Fault.SILENT:
                return None
            if fault is not None:
                reply.header.rcode = RCODE.SERVFAIL
                return reply.pack()
            found = self._look_up(zone, name, rdtype)
            aliases = [] if found else zone.find(name, "CNAME")
            reply.add_answer(*found, *aliases)
            if not aliases:
                break
            name = str(aliases[0].rdata.label).rstrip(".").lower()
        if not found:
            _deny(reply, zone, name)
        return reply.pack()

    def _look_up(self, zone: Zone, name: str, rdtype: str) -> list[RR]:
        if rdtype == "NS" and name == zone.origin and name:
            return [make_record(name, "NS", host) for host in self._hosts(name)]
        if rdtype == "A" and name.endswith(".ns.test"):
            return [make_record(name, "A", f"127.0.0.{name.partition('.')[0]}")]
        return zone.find(name, rdtype)

    def _hosts(self, origin: str) -> list[str]:
        if origin in self.name_servers:
            return self.name_servers[origin]
        holding = sorted(address for address, zones in self.zones.items() if origin in zones)
        return [f"{address.rpartition('.')[2]}.ns.test." for address in holding]

    def _zone_of(self, name: str) -> Zone:
        known = [zone for zones in self.zones.values() for zone in zones.values()]
        covering = [zone for zone in known if zone.covers(name)]
        return max(covering, key=lambda zone: len(zone.origin), default=Zone("", {}))

    def _respond_with_authority(
        self, query: DNSRecord, name: str, rdtype: str, address: str, transport: str
    ) -> bytes | None:
        held = [zone for zone in self.zones.get(address, {}).values() if zone.covers(name)]
        zone = max(held, key=lambda zone: len(zone.origin), default=None)
        reply = query.reply(ra=0, aa=1)
        if zone is None:
            reply.header.rcode = RCODE.REFUSED
            return reply.pack()
        if _stays_silent(zone.fault, transport):
            return None
        if _fails_early(zone.fault, reply, query, transport):
            return reply.pack()
        _answer(reply, zone, name, rdtype)
        _late_fault(zone.fault, reply, zone)
        return reply.pack()


def _split(records: Records) -> Iterator[tuple[tuple[str, str], Sequence[Value]]]:
    for key, values in records.items():
        name, _, rdtype = key.partition(" ")
        yield (name, rdtype), values


def make_record(name: str, rdtype: str, value: Value) -> RR:
    """One resource record out of text."""
    if rdtype != "TXT":
        owner = f"{name}." if name else "."
        return RR.fromZone(f"{owner} {TTL_SECONDS} IN {rdtype} {value}")[0]
    strings = _split_text(value) if isinstance(value, str) else value
    data = TXT([text.encode("latin-1") for text in strings])
    return RR(f"{name}.", QTYPE.TXT, CLASS.IN, TTL_SECONDS, data)


def _split_text(text: str) -> list[str]:
    return [text[start : start + 255] for start in range(0, len(text) or 1, 255)]


def _answer(reply: DNSRecord, zone: Zone, name: str, rdtype: str) -> None:
    for _ in range(20):
        found = zone.find(name, rdtype)
        aliases = [] if found else zone.find(name, "CNAME")
        reply.add_answer(*found, *aliases)
        if found or not aliases:
            break
        name = str(aliases[0].rdata.label).rstrip(".").lower()
        if not zone.covers(name):
            return
    if not reply.rr or reply.rr[-1].rtype == QTYPE.CNAME:
        _deny(reply, zone, name)


def _deny(reply: DNSRecord, zone: Zone, name: str) -> None:
    if not zone.has(name):
        reply.header.rcode = RCODE.NXDOMAIN
    soa = "ns.test. host.test. 1 3600 600 86400 60"
    reply.add_auth(make_record(zone.origin, "SOA", soa))


def _stays_silent(fault: Fault | None, transport: str) -> bool:
    return fault is Fault.SILENT or (fault is Fault.CUT and transport == "tcp")


def _fails_early(fault: Fault | None, reply: DNSRecord, query: DNSRecord, transport: str) -> bool:
    """Apply a fault that leaves no answer; whether there was one."""
    if fault in (Fault.SERVFAIL, Fault.REFUSED):
        reply.header.rcode = getattr(RCODE, fault.name)
    elif fault in (Fault.BARE_SERVFAIL, Fault.BARE_REFUSED):
        reply.header.rcode = getattr(RCODE, fault.name.removeprefix("BARE_"))
        reply.questions = []
    elif fault is Fault.NO_EDNS and any(extra.rtype == QTYPE.OPT for extra in query.ar):
        reply.header.rcode = RCODE.FORMERR
    elif fault in (Fault.TRUNCATED, Fault.CUT) and transport == "udp":
        reply.header.tc = 1
    else:
        return False
    return True


def _late_fault(fault: Fault | None, reply: DNSRecord, zone: Zone) -> None:
    if fault is Fault.NO_AUTHORITY:
        reply.header.aa = 0
    elif fault is Fault.DENIES_AND_ANSWERS:
        reply.header.rcode = RCODE.NXDOMAIN
    elif fault is Fault.REFERRAL:
        reply.rr, reply.auth = [], [make_record(zone.origin, "NS", "9.ns.test.")]
        reply.header.rcode = RCODE.NOERROR


class _UdpServer(socketserver.UDPServer):
    world: DnsWorld
    allow_reuse_address = False


class _TcpServer(socketserver.TCPServer):
    world: DnsWorld
    allow_reuse_address = True


class _UdpHandler(socketserver.BaseRequestHandler):
    server: _UdpServer

    def handle(self) -> None:
        packet, sock = self.request
        answer = self.server.world.respond(str(self.server.server_address[0]), packet, "udp")
        if answer is not None:
            sock.sendto(answer, self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    server: _TcpServer
    timeout = 2

    def handle(self) -> None:
        head = self.rfile.read(2)
        if len(head) < 2:
            return
        packet = self.rfile.read(struct.unpack("!H", head)[0])
        answer = self.server.world.respond(str(self.server.server_address[0]), packet, "tcp")
        if answer is not None:
            self.wfile.write(struct.pack("!H", len(answer)) + answer)


@contextmanager
def run_dns_world(port: int = 0, servers: int = 4) -> Iterator[DnsWorld]:
    """Run the resolver and `servers` name servers (127.0.0.2 and on) until the block ends.

    Port 0 takes one that is free for all of them.
    """
    world = DnsWorld(port or _find_free_port(servers))
    with ExitStack() as stack:
        for number in range(1, servers + 2):
            endpoint = (f"127.0.0.{number}", world.port)
            _run(stack, _UdpServer(endpoint, _UdpHandler), world)
            _run(stack, _TcpServer(endpoint, _TcpHandler), world)
        yield world


def _run(stack: ExitStack, server: Any, world: DnsWorld) -> None:
    server.world = world
    stack.callback(server.server_close)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    stack.callback(thread.join)
    stack.callback(server.shutdown)


def _find_free_port(servers: int) -> int:
    addresses = [f"127.0.0.{number}" for number in range(1, servers + 2)]
    for _ in range(50):
        (port,) = choose_free([RESOLVER])
        if all(_is_free(each, port, *BOTH) for each in addresses):
            return port
    raise OSError("no port is free on all loopback addresses")


def _is_free(address: str, port: int, *kinds: socket.SocketKind) -> bool:
    for kind in kinds:
        with socket.socket(socket.AF_INET, kind) as probe:
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True
