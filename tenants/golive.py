"""What has to be true before the world's mail for a domain is switched to this platform.

Rule of this file: `read_facts` asks the database, `checklist` is pure. It only advises: nothing
waits for a line of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from gateway.models import Delivery, RoutingRecord
from gateway.routing.resolve import EXEMPT_ROLES
from tenants.models import Address, Domain, DomainCheck

TRIED_WITHIN = timedelta(days=7)
"""How long a message that arrived shows that the way is open."""

LOOKED_THROUGH = 2_000
"""The tenant's newest recipients among which a message to the domain is looked for."""

SHORT_TTL_SECONDS = 600
"""What an MX may be kept for by others while it is being switched."""

Kind, State = DomainCheck.Kind, DomainCheck.State
_RECORDS = (
    (Kind.MX, "The MX points here and to nobody else"),
    (Kind.SPF, "SPF allows what is sent on from here"),
    (Kind.DKIM, "DKIM keys are published"),
    (Kind.DMARC, "DMARC has a policy"),
)


class Progress(StrEnum):
    """How far a line of the list is."""

    DONE = "done"
    OPEN = "open"
    UNKNOWN = "not known yet"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to see to, how far it is, and what to do about it: nothing where it is done."""

    title: str
    progress: Progress
    mend: str = ""

    @property
    def is_done(self) -> bool:
        return self.progress is Progress.DONE


@dataclass(frozen=True, slots=True)
class Record:
    """The worst state among a domain's records of a kind, and what was advised about it."""

    state: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the list is made from.

    `mx_ttl_seconds` is the longest that a name server told; None where there is no MX yet.
    `unread_roles` are those of RFC 2142's addresses whose mail is stored and nobody gets.
    """

    is_verified: bool
    records: Mapping[str, Record]
    mx_ttl_seconds: int | None
    unread_roles: tuple[str, ...]
    first_address: str
    is_accepted: bool
    is_delivered: bool


def read_facts(domain: Domain, *, now: datetime) -> Facts:
    """The facts about a domain. Six queries, none over more than LOOKED_THROUGH events."""
    checks = list(domain.checks.all())
    addresses = Address.objects.filter(domain=domain).alive()
    first = addresses.order_by("pk").values_list("key", flat=True).first()
    accepted = _accepted(domain, now)
    delivered = Delivery.objects.filter(record__in=accepted, state=Delivery.State.DELIVERED)
    return Facts(
        is_verified=domain.verified_at is not None,
        records=_worst(checks),
        mx_ttl_seconds=_longest_ttl(checks),
        unread_roles=_unread_roles(domain),
        first_address=first or "",
        is_accepted=bool(accepted),
        is_delivered=bool(accepted) and delivered.exists(),
    )


def checklist(facts: Facts) -> list[Line]:
    """Every line in the order in which it is seen to."""
    lines = [
        _line("Ownership is proved", facts.is_verified, _OWNERSHIP),
        _line("An address receives", bool(facts.first_address), _ADDRESS),
        _roles(facts.unread_roles),
        _test_message(facts),
        _ttl(facts),
    ]
    return lines + [
        _record(title, facts.records[kind]) for kind, title in _RECORDS if kind in facts.records
    ]


_OWNERSHIP = "Publish the ownership record below, then check: until then all mail is refused."
_ADDRESS = "Add an alias, and where its mail goes."


def _line(title: str, is_done: bool, mend: str) -> Line:  # noqa: FBT001 - what it is about
    return Line(title, Progress.DONE) if is_done else Line(title, Progress.OPEN, mend)


def _record(title: str, record: Record) -> Line:
    if record.state == State.PRESENT:
        return Line(title, Progress.DONE)
    if record.state == State.UNKNOWN:
        return Line(title, Progress.UNKNOWN, record.advice or "Check now.")
    return Line(title, Progress.OPEN, record.advice)


def _roles(unread: tuple[str, ...]) -> Line:
    names = " and ".join(f"{role}@" for role in unread)
    mend = (
        f"Choose a default role holder on this page: mail to {names} is stored and nobody gets it."
    )
    return _line("postmaster and abuse are read by somebody", not unread, mend)


def _test_message(facts: Facts) -> Line:
    to = facts.first_address or "an address"
    mend = f"Send a message to {to}, before the switch straight to this platform's gateway."
    if facts.is_accepted:
        mend = "A message was accepted and is not delivered yet: look at the deliveries."
    title = "A message was accepted and delivered within 7 days"
    return _line(title, facts.is_delivered, mend)


def _ttl(facts: Facts) -> Line:
    """Only while the MX leads elsewhere: once it points here nobody has to wait any more."""
    title = "The MX may be switched without long waiting"
    mx = facts.records.get(Kind.MX)
    if mx is None or mx.state == State.UNKNOWN:
        return Line(title, Progress.UNKNOWN, "Check now.")
    ttl = facts.mx_ttl_seconds
    is_short = mx.state == State.PRESENT or ttl is None or ttl <= SHORT_TTL_SECONDS
    mend = (
        f"Lower the TTL of the MX records to 300 s and wait for {timedelta(seconds=ttl or 0)} h "
        "before they are changed: senders keep the old ones for so long."
    )
    return _line(title, is_short, mend)


def _worst(checks: list[DomainCheck]) -> dict[str, Record]:
    order = (State.PRESENT, State.UNKNOWN, State.ABSENT, State.WRONG)
    worst: dict[str, Record] = {}
    for check in sorted(checks, key=lambda check: order.index(State(check.state))):
        worst[check.kind] = Record(check.state, check.advice)
    return {kind: worst.get(kind, Record(State.UNKNOWN)) for kind in _expected(worst)}


def _expected(found: Mapping[str, Record]) -> list[str]:
    """DKIM is expected where a key was looked for; the rest always is."""
    return [kind for kind, _ in _RECORDS if kind != Kind.DKIM or kind in found]


def _longest_ttl(checks: list[DomainCheck]) -> int | None:
    ttls = [
        line["ttl"]
        for check in checks
        if check.kind == Kind.MX
        for line in check.evidence
        if line.get("values") and line.get("ttl") is not None
    ]
    return max(ttls, default=None)


def _unread_roles(domain: Domain) -> tuple[str, ...]:
    if domain.default_role_holder_id is not None:
        return ()
    roles = sorted(EXEMPT_ROLES, reverse=True)
    keys = [f"{role}@{domain.name}" for role in roles]
    rows = Address.objects.filter(domain=domain, key__in=keys).alive()
    read = set(rows.exclude(holder=None, targets=None).values_list("key", flat=True))
    return tuple(role for role, key in zip(roles, keys, strict=True) if key not in read)


def _accepted(domain: Domain, now: datetime) -> list[UUID]:
    newest = RoutingRecord.objects.filter(tenant=domain.tenant_id).order_by("-id")
    looked_at = RoutingRecord.objects.filter(pk__in=newest.values("pk")[:LOOKED_THROUGH])
    found = looked_at.filter(domain=domain.pk, accepted=True, at__gt=now - TRIED_WITHIN)
    return list(found.values_list("pk", flat=True)[:50])
