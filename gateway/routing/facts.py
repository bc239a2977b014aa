"""The facts a decision is made from: rows as frozen values, read by a Directory in one go.

Absent is None or a missing key. A look-up that failed raises LookupFailed and never looks like
absence. Sizes are octets, times are aware and come from the database's clock.
"""

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from gateway.routing.address import Address
from gateway.routing.authentication import Ask, OnFailure
from gateway.routing.content_filter import AddressFilter, TenantFilter


class LookupFailed(Exception):
    """The directory could not answer; the shell says 451."""


class TenantState(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"
    SUSPENDED_FOR_ABUSE = "abuse"
    CLOSED = "closed"


class DomainState(StrEnum):
    PENDING = "pending"
    ACTIVE = "active"
    DEGRADED = "degraded"
    RELEASED = "released"


class AddressKind(StrEnum):
    ALIAS = "alias"
    ROLE = "role"


class RuleAction(StrEnum):
    DELIVER = "deliver"
    REFUSE = "refuse"
    RETARGET = "retarget"


class Hop(Struct, frozen=True):
    """A next hop: where a mailbox's or forward's mail is handed over."""

    id: int
    protocol: str  # "smtp" or "lmtp"
    host: str
    port: int
    tls: str = "opportunistic"  # "none", "opportunistic", "required", "implicit"
    calls_ahead: bool = False  # asked about each recipient before it is accepted


class Mailbox(Struct, frozen=True):
    """A mailbox and the server that holds it."""

    id: int
    address: Address
    hop: Hop


class Target(Struct, frozen=True):
    """What an address delivers to. `mailbox` or `forward_to` is set where the kind needs it."""

    id: int
    kind: str
    mailbox: Mailbox | None = None
    forward_to: Address | None = None
    options: Mapping[str, object] = {}


class SubaddressRule(Struct, frozen=True):
    """What happens to one detail of an address."""

    action: RuleAction
    targets: tuple[Target, ...] = ()


class Tenant(Struct, frozen=True):
    """A customer with its limits, its own or its plan's; None is no limit."""

    id: int
    name: str
    state: TenantState
    state_since: datetime
    max_message_octets: int | None = None
    messages_per_hour: int | None = None
    stored_octets_limit: int | None = None
    retention_days: int = 30
    filter: TenantFilter = TenantFilter()


class Domain(Struct, frozen=True):
    """A verified domain; `delimiters` is the set of its subaddress delimiters."""

    id: int
    name: str
    tenant: Tenant
    state: DomainState
    environment: str = "production"
    delimiters: str = "+"
    local_part_pattern: str = ""
    local_part_max_octets: int | None = None
    hides_disabled: bool = False
    role_holder: Mailbox | None = None
    smarthost: Hop | None = None

    @property
    def is_receiving(self) -> bool:
        """Degraded receives like active: DNS trouble changes no routing."""
        return self.state in (DomainState.ACTIVE, DomainState.DEGRADED)


class HostedAddress(Struct, frozen=True):
    """An alias or role address with its targets in order and its subaddress rules by detail."""

    id: int
    key: str
    kind: AddressKind
    enabled: bool = True
    expires_at: datetime | None = None
    allowed_senders: tuple[str, ...] = ()
    accepts_bounces: bool = False
    max_message_octets: int | None = None
    rate_per_hour: int | None = None
    holder: Mailbox | None = None
    accepts_forwards_from: tuple[str, ...] = ()  # A-labels of other tenants' domains
    targets: tuple[Target, ...] = ()
    rules: Mapping[str, SubaddressRule] = {}
    ask: Ask | None = None  # what its senders have to prove, at DATA
    filter: AddressFilter | None = None  # where it chooses for itself


class Usage(Struct, frozen=True):
    """What a counter stands at: units in the rolling hour, or a stored total."""

    total: int = 0
    full_since: datetime | None = None


class Platform(Struct, frozen=True):
    """What is true of the whole installation."""

    hostname: str
    bounce_domain: str
    max_message_octets: int
    smarthost: Hop | None = None
    srs_secrets: tuple[bytes, ...] = ()
    environments: frozenset[str] = frozenset()  # empty: every environment is served
    authserv_id: str = ""  # our name in Authentication-Results (RFC 8601 §2.5)
    # What becomes of mail that the content filter does not judge; None where there is no filter.
    on_unfiltered: OnFailure | None = None


class Facts(Struct, frozen=True):
    """Everything one decision may look at; keys are normalised address keys and A-labels."""

    platform: Platform
    now: datetime
    domains: Mapping[str, Domain] = {}
    addresses: Mapping[str, HostedAddress] = {}
    usage: Mapping[str, Usage] = {}
    return_paths: Mapping[str, Address] = {}
    # Keys of forwards that were not followed: there are too many. Nothing is known of them.
    unread: frozenset[str] = frozenset()

    def usage_of(self, counter: str) -> Usage:
        return self.usage.get(counter) or Usage()


class Session(Struct, frozen=True):
    """What the sender has said so far. `sender` is None for the null sender `<>`.

    A question that comes without a sender, such as a look-up in a table, is asked of none.
    """

    sender: Address | None
    declared_octets: int | None = None
    client: str = ""
    has_sender: bool = True


class Directory(Protocol):
    """The only read of routing data for decisions."""

    def facts(self, recipients: Sequence[Address]) -> Awaitable[Facts]:
        """The facts for these recipients and for hosted addresses that their targets name.

        Raises LookupFailed.
        """
        ...
