"""What one gateway process lets a stranger do: numbers alone, each with its default and its reason.

Those that an operator may want to change are settings; the rest change in tests only.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

IpAddress = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of connections, of errors, and of time."""

    # Connections open at a time; a client is an IPv4 address or an IPv6 /64.
    max_connections: int = 2000
    max_connections_per_client: int = 100
    # Clients that are not counted: own monitoring, proxies, load tests.
    exempt: tuple[Network, ...] = ()
    # Load balancers, whose connections begin with a PROXY header; nobody else's may.
    proxies: tuple[Network, ...] = ()
    # From this share of max_connections on, those who keep connections for nothing lose them.
    stress_share: float = 0.8

    # Errors in one session since its last stored message: answers wait from the first number on,
    # by so much longer each, and the session is cut at the second.
    tarpit_errors: int = 10
    max_errors: int = 20
    delay_seconds: float = 1
    # NOOP, RSET, EHLO and the like in one session; each beyond them is an error.
    max_idle_talk: int = 100
    # Recipients that were told to come with the next message (452 4.5.3); each beyond is an error.
    max_postponed: int = 1000
    # Permanent refusals of one client in a rolling window, over all its connections; 0 is no limit.
    client_errors: int = 100
    client_window_seconds: float = 600
    # Clients whose errors are remembered; the one that was quiet longest is forgotten first.
    max_clients: int = 20_000

    # Waiting for a command (RFC 5321 §4.5.3.2.7), and while connections are scarce.
    idle_seconds: float = 300
    stress_seconds: float = 10
    # Waiting for the end of a TLS handshake or of a PROXY header.
    handshake_seconds: float = 30
    # Waiting for the client to read our last words.
    linger_seconds: float = 10
    # A message has to come in at this rate, averaged over the time that RFC 5321 §4.5.3.2.5
    # gives one block of data.
    octets_per_second: float = 500
    progress_seconds: float = 180
