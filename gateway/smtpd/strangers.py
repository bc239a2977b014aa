"""Who is connected and how each client has behaved, pure: the clock is passed in.

A client is an IPv4 address or an IPv6 /64, which is what one customer of a provider has; both are
proved by TCP's handshake, so nobody speaks for another. Memory is bounded: open connections by
their limit, remembered clients by theirs.
"""

from collections import OrderedDict
from collections.abc import Callable

from gateway.routing import replies
from gateway.routing.replies import Reply
from gateway.smtpd.conduct import Conduct
from gateway.smtpd.limits import IpAddress, Limits

IPV6_CLIENT_OCTETS = 8  # a /64


def client_key(address: IpAddress) -> bytes:
    """What is counted as one client."""
    return address.packed[:IPV6_CLIENT_OCTETS]


class Tally:
    """Errors and stored messages of one client in a rolling window.

    Two windows are kept and the elder is taken in part, which is exact where errors come evenly.
    """

    __slots__ = ("_before", "_now", "_window")

    def __init__(self, window: int) -> None:
        self._window = window
        self._now = [0, 0]
        self._before = [0, 0]

    def add(self, position: float, *, errors: int = 0, stored: int = 0) -> None:
        """Count at `position`, the time in windows."""
        self._roll(int(position))
        self._now[0] += errors
        self._now[1] += stored

    def sums(self, position: float) -> tuple[float, float]:
        """Errors and stored messages of the window that ends at `position`."""
        self._roll(int(position))
        share = 1 - position % 1
        errors, stored = (
            now + share * before for now, before in zip(self._now, self._before, strict=True)
        )
        return errors, stored

    def _roll(self, window: int) -> None:
        if window == self._window:
            return
        self._before = self._now if window == self._window + 1 else [0, 0]
        self._now = [0, 0]
        self._window = window


class Strangers:
    """All clients of one process."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._clock = clock
        self.connected = 0
        self._open: dict[bytes, int] = {}
        self._tallies: OrderedDict[bytes, Tally] = OrderedDict()

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._tallies)

    @property
    def is_stressed(self) -> bool:
        """Whether connections are scarce."""
        return self.connected >= self.limits.max_connections * self.limits.stress_share

    def is_exempt(self, address: IpAddress | None) -> bool:
        """Whether connections from there are not counted."""
        return address is not None and any(address in each for each in self.limits.exempt)

    def is_proxy(self, address: IpAddress | None) -> bool:
        """Whether whoever connects from there speaks for others."""
        return address is not None and any(address in each for each in self.limits.proxies)

    def enter(self, address: IpAddress | None) -> "Guest | Reply":
        """Let a connection in, or the reply that turns it away; None is a peer without address."""
        guest = Guest(self)
        return guest.become(address) or guest

    def admit(self, key: bytes | None, *, is_exempt: bool) -> Reply | None:
        """Count a connection in, or the reply that turns it away; a client without key is none."""
        limits = self.limits
        if not is_exempt and self.connected >= limits.max_connections:
            return replies.TOO_MANY_CONNECTIONS
        if key and self._open.get(key, 0) >= limits.max_connections_per_client:
            return replies.TOO_MANY_OF_CLIENT
        self.connected += 1
        if key:
            self._open[key] = self._open.get(key, 0) + 1
        return None

    def leave(self, key: bytes | None) -> None:
        """A connection of this client has ended."""
        self.connected -= 1
        if key and (left := self._open[key] - 1):
            self._open[key] = left
        elif key:
            del self._open[key]

    def count(self, key: bytes, *, errors: int = 0, stored: int = 0) -> None:
        """Remember what a client did, and forget who was quiet longest."""
        position = self._position()
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally(int(position))
        tally.add(position, errors=errors, stored=stored)
        self._tallies.move_to_end(key)
        if len(self._tallies) > self.limits.max_clients:
            self._tallies.popitem(last=False)

    def is_over_budget(self, key: bytes) -> bool:
        """Whether a client has erred too often, and more often than it brought mail."""
        tally = self._tallies.get(key)
        if tally is None or not self.limits.client_errors:
            return False
        errors, stored = tally.sums(self._position())
        return errors >= self.limits.client_errors and errors > stored

    def _position(self) -> float:
        return self._clock() / self.limits.client_window_seconds


class Guest:
    """One connection of a client, with its conduct in this session."""

    __slots__ = ("_conduct", "_is_in", "_key", "_strangers", "is_exempt")

    def __init__(self, strangers: Strangers) -> None:
        self._strangers = strangers
        self._conduct = Conduct()
        self._key: bytes | None = None
        self._is_in = False
        self.is_exempt = False

    def become(self, address: IpAddress | None) -> Reply | None:
        """The connection is this client's (as PROXY may say later): None, or why it has to go."""
        self.leave()
        self.is_exempt = self._strangers.is_exempt(address)
        self._key = None if address is None or self.is_exempt else client_key(address)
        refused = self._strangers.admit(self._key, is_exempt=self.is_exempt)
        self._is_in = refused is None
        return refused

    def leave(self) -> None:
        """The connection has ended."""
        if self._is_in:
            self._strangers.leave(self._key)
            self._is_in = False

    @property
    def key(self) -> bytes | None:
        """What its client is counted under; None for one that is not."""
        return self._key

    @property
    def errors(self) -> int:
        """Errors of this session since its last stored message."""
        return self._conduct.errors

    def is_over_budget(self) -> bool:
        """Whether this client gets no recipient more for now."""
        return self._key is not None and self._strangers.is_over_budget(self._key)

    def hear(self, verb: str) -> None:
        """Note a command before it is answered."""
        self._conduct.hear(verb, self._strangers.limits)

    def answer(self, code: int, enhanced: str) -> float | None:
        """Note an answer: seconds that it has to wait, 0 nearly always; None ends the session."""
        conduct, strangers = self._conduct, self._strangers
        if (code < 400 and not conduct.has_erred) or self.is_exempt:
            return 0
        is_error = conduct.answer(code, enhanced, strangers.limits)
        if code >= 500 and self._key:
            strangers.count(self._key, errors=1)
        if not is_error:
            return 0
        if conduct.is_over(strangers.limits, is_stressed=strangers.is_stressed):
            return None
        return conduct.delay(strangers.limits)

    def bring(self) -> None:
        """A message of this session was stored."""
        self._conduct.forgive()
        if self._key:
            self._strangers.count(self._key, stored=1)
