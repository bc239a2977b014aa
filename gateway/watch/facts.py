"""What alarms are judged from, and what a judgement is: plain values, read by reading.py.

Only what may be in trouble is a fact; whether it is, judge.py says.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum


class Kind(StrEnum):
    """What an alarm is about."""

    DOMAIN = "domain"
    TARGET = "target"
    QUOTA = "quota"
    ATTACK = "attack"
    PROCESS = "process"
    DISK = "disk"
    QUEUE = "queue"


class Severity(IntEnum):
    """How soon somebody has to look: today, or now."""

    WARNING = 1
    CRITICAL = 2


@dataclass(frozen=True, slots=True)
class DomainTrouble:
    """A domain that is degraded, or whose DNS lacks what keeps it active."""

    id: int
    name: str
    tenant_id: int
    is_degraded: bool
    failing: tuple[str, ...]  # kinds of records that are absent or wrong
    since: datetime


@dataclass(frozen=True, slots=True)
class LaneTrouble:
    """Deliveries that one next hop does not take: it is out, or puts them off."""

    lane: str
    name: str
    hop_id: int | None
    tenant_id: int | None
    out_since: datetime | None = None
    deferred: int = 0
    oldest_deferred_at: datetime | None = None
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of one limit a tenant uses."""

    tenant_id: int
    tenant: str
    what: str  # "messages per hour", "stored octets", "domains", "addresses"
    used: int
    limit: int


@dataclass(frozen=True, slots=True)
class Flood:
    """Permanent refusals of some minutes: on a domain ("" is every foreign one), or of a client."""

    name: str
    count: int
    is_client: bool = False
    tenant_id: int | None = None


@dataclass(frozen=True, slots=True)
class Pulse:
    """When a process was last alive, and the room on its disks where it watches them."""

    process: str
    role: str
    at: datetime
    disk_free_octets: int | None = None
    disk_reserve_octets: int | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that may be in trouble at one moment.

    `oldest_ready_at` is since when the delivery waits that is due longest and could be tried.
    """

    now: datetime
    domains: Sequence[DomainTrouble] = ()
    lanes: Sequence[LaneTrouble] = ()
    usages: Sequence[Usage] = ()
    floods: Sequence[Flood] = ()
    pulses: Sequence[Pulse] = ()
    ready: int = 0
    oldest_ready_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One trouble: `subject` is its stable name within the kind, `title` says it in words."""

    kind: Kind
    subject: str
    severity: Severity
    title: str
    evidence: str
    tenant_id: int | None = None
    place: tuple[str, str] = field(default=("", ""))  # a page's name and what is asked of it

    @property
    def key(self) -> tuple[str, str]:
        return self.kind.value, self.subject
