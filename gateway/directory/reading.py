"""What a read asks, and Facts made of the answers; no connection here.

`rounds` is a generator of questions: whoever drives it sends back the rows of each.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings

from gateway import smarthost
from gateway.directory.statements import READ, READ_DETAILS, READ_SENDERS
from gateway.routing import policy, srs
from gateway.routing.address import Address
from gateway.routing.facts import (
    AddressKind,
    Domain,
    DomainState,
    Facts,
    Hop,
    HostedAddress,
    Mailbox,
    Platform,
    RuleAction,
    SubaddressRule,
    Target,
    Tenant,
    TenantState,
    Usage,
)
from gateway.routing.resolve import EXEMPT_ROLES, MAX_DEPTH
from gateway.routing.window import RollingHour

Question = tuple[str, dict[str, list[Any]]]
Rows = Sequence[tuple[Any, ...]]
NEVER = datetime.fromtimestamp(0, UTC)


class DomainRow(NamedTuple):
    """A domain with its tenant and the tenant's counters, in the order of READ."""

    id: int
    name: str
    state: str
    environment: str
    delimiters: str
    local_part_pattern: str
    local_part_max_octets: int | None
    hides_disabled: bool
    role_holder_id: int | None
    smarthost_id: int | None
    tenant_id: int
    tenant_name: str
    tenant_state: str
    tenant_state_since: str
    max_message_octets: int | None
    messages_per_hour: int | None
    stored_octets_limit: int | None
    retention_days: int
    rate: tuple[int, list[int]] | None  # minute, counts
    stored: tuple[int, str | None] | None  # total, full since


class AddressRow(NamedTuple):
    """An address with its targets and its counter, in the order of READ."""

    id: int
    domain_id: int
    key: str
    kind: str
    enabled: bool
    expires_at: str | None
    allowed_senders: list[str]
    accepts_forwards_from: list[str]
    max_message_octets: int | None
    rate_per_hour: int | None
    holder_id: int | None
    rate: tuple[int, list[int]] | None  # minute, counts
    targets: list[Any] | None


@dataclass(slots=True)
class _Reading:
    """Rows gathered over the rounds of one read."""

    now: datetime = NEVER  # every round sets it
    domains: dict[str, DomainRow] = field(default_factory=dict)
    addresses: dict[str, AddressRow] = field(default_factory=dict)
    targets: dict[str, tuple[Target, ...]] = field(default_factory=dict)
    rules: dict[int, dict[str, SubaddressRule]] = field(default_factory=dict)
    mailboxes: dict[int, Mailbox] = field(default_factory=dict)
    hops: dict[int, Hop] = field(default_factory=dict)
    identities: set[str] = field(default_factory=set)
    return_paths: dict[str, Address] = field(default_factory=dict)

    def take(self, rows: Rows) -> None:
        """Keep the rows of READ; an address of a claim that is not verified is nobody's."""
        addresses = []
        for kind, row in rows:
            if kind == "now":
                self.now = datetime.fromisoformat(row)
            elif kind == "domain":
                self.domains[row[1]] = DomainRow(*row)
            else:
                addresses.append(AddressRow(*row))
        verified = {domain.id for domain in self.domains.values()}
        for row in addresses:
            if row.domain_id in verified:
                self.addresses[row.key] = row
                self.targets[row.key] = _targets(row.targets)

    def take_details(self, rows: Rows) -> None:
        """Keep the rows of READ_DETAILS."""
        for kind, row in rows:
            if kind == "rule":
                address_id, detail, action, targets = row
                rule = SubaddressRule(RuleAction(action), _targets(targets))
                self.rules.setdefault(address_id, {})[detail] = rule
            elif kind == "mailbox":
                self.mailboxes[row[0]] = _mailbox(row)
            elif kind == "hop":
                self.hops[row[0]] = Hop(*row)
            else:
                self.identities.add(row[0])


def rounds(recipients: Sequence[Address]) -> Generator[Question, Rows, Facts]:
    """The questions of one read, each made of the answers so far; its result are the facts.

    One question answers most recipients. Subaddresses, roles and sender lists take a second one,
    each forward that is hosted here one or two more.
    """
    reading = _Reading()
    asked: set[Address] = set()
    wanted = set(recipients)
    for _ in range(MAX_DEPTH + 1):
        reading.take((yield _question(wanted)))
        details = _details(reading, wanted)
        if any(details.values()):
            reading.take_details((yield READ_DETAILS, details))
        asked |= wanted
        wanted = _forwards(reading) - asked
        if not wanted:
            break
    if paths := _opaque_return_paths(recipients):
        senders: dict[UUID, str] = dict((yield READ_SENDERS, {"ids": list(paths)}))
        reading.return_paths = {
            paths[delivery_id].key: Address.parse(sender)
            for delivery_id, sender in senders.items()
            if sender
        }
    return _facts(reading)


def _question(recipients: Iterable[Address]) -> Question:
    keys = {key for address in recipients for key in address.lookup_keys()}
    return READ, {"keys": list(keys), "domains": list({each.domain for each in recipients})}


def _details(reading: _Reading, recipients: Iterable[Address]) -> dict[str, list[Any]]:
    """What these recipients need beyond READ; mostly nothing."""
    bases: list[int] = []
    mailboxes: set[int] = set()
    hops: set[int] = set()
    listed: list[str] = []
    for address in recipients:
        domain = reading.domains.get(address.domain)
        if domain is None:
            continue
        is_role = address.folded_local_part in EXEMPT_ROLES
        for key in address.lookup_keys():
            row = reading.addresses.get(key)
            if row is None:
                continue
            is_role = is_role or row.kind == AddressKind.ROLE
            if key != address.key:
                bases.append(row.id)
            if row.holder_id is not None:
                mailboxes.add(row.holder_id)
            if row.allowed_senders:
                listed.append(key)
        if is_role and domain.role_holder_id is not None:
            mailboxes.add(domain.role_holder_id)
        if domain.smarthost_id is not None:
            hops.add(domain.smarthost_id)
    return {"bases": bases, "mailboxes": list(mailboxes), "hops": list(hops), "listed": listed}


def _forwards(reading: _Reading) -> set[Address]:
    """Where targets read so far forward to; foreign domains cost one look-up and are gone."""
    ruled = (rule.targets for rules in reading.rules.values() for rule in rules.values())
    return {
        target.forward_to
        for targets in (*reading.targets.values(), *ruled)
        for target in targets
        if target.forward_to is not None
    }


def _opaque_return_paths(recipients: Iterable[Address]) -> dict[UUID, Address]:
    """The deliveries named by return paths of ours that are too long for SRS."""
    ours = platform()
    found = {}
    for address in recipients:
        if address.domain == ours.bounce_domain and srs.is_opaque(address.local_part):
            with suppress(srs.SrsError):
                found[srs.read_opaque(address.local_part, secrets=ours.srs_secrets)] = address
    return found


# --- rows become facts ---------------------------------------------------------


def _facts(reading: _Reading) -> Facts:
    return Facts(
        platform=platform(),
        now=reading.now,
        domains={name: _domain(row, reading) for name, row in reading.domains.items()},
        addresses={key: _address(row, reading) for key, row in reading.addresses.items()},
        usage=_usage(reading),
        return_paths=reading.return_paths,
    )


def _usage(reading: _Reading) -> dict[str, Usage]:
    minute = int(reading.now.timestamp()) // 60
    usage = {}
    for domain in reading.domains.values():
        if domain.rate is not None:
            usage[policy.tenant_rate_counter(domain.tenant_id)] = _hour(*domain.rate, minute)
        if domain.stored is not None:
            total, full_since = domain.stored
            usage[policy.storage_counter(domain.tenant_id)] = Usage(total, _moment(full_since))
    for address in reading.addresses.values():
        if address.rate is not None:
            usage[policy.rate_counter(address.id)] = _hour(*address.rate, minute)
    return usage


def _hour(minute: int, counts: Sequence[int], now: int) -> Usage:
    return Usage(RollingHour.of(minute, counts).at(now).total)


def _domain(row: DomainRow, reading: _Reading) -> Domain:
    return Domain(
        id=row.id,
        name=row.name,
        tenant=_tenant(row),
        state=DomainState(row.state),
        environment=row.environment,
        delimiters=row.delimiters,
        local_part_pattern=row.local_part_pattern,
        local_part_max_octets=row.local_part_max_octets,
        hides_disabled=row.hides_disabled,
        role_holder=reading.mailboxes.get(row.role_holder_id or 0),
        smarthost=reading.hops.get(row.smarthost_id or 0),
    )


def _tenant(row: DomainRow) -> Tenant:
    return Tenant(
        id=row.tenant_id,
        name=row.tenant_name,
        state=TenantState(row.tenant_state),
        state_since=datetime.fromisoformat(row.tenant_state_since),
        max_message_octets=row.max_message_octets,
        messages_per_hour=row.messages_per_hour,
        stored_octets_limit=row.stored_octets_limit,
        retention_days=row.retention_days,
    )


def _address(row: AddressRow, reading: _Reading) -> HostedAddress:
    return HostedAddress(
        id=row.id,
        key=row.key,
        kind=AddressKind(row.kind),
        enabled=row.enabled,
        expires_at=_moment(row.expires_at),
        allowed_senders=tuple(row.allowed_senders),
        accepts_bounces=row.key in reading.identities,
        accepts_forwards_from=tuple(row.accepts_forwards_from),
        max_message_octets=row.max_message_octets,
        rate_per_hour=row.rate_per_hour,
        holder=reading.mailboxes.get(row.holder_id or 0),
        targets=reading.targets[row.key],
        rules=reading.rules.get(row.id, {}),
    )


def _targets(rows: Sequence[Any] | None) -> tuple[Target, ...]:
    return tuple(
        Target(
            id=target_id,
            kind=kind,
            mailbox=_mailbox(mailbox) if mailbox else None,
            forward_to=Address.parse(forward_to) if forward_to else None,
            options=options,
        )
        for target_id, kind, forward_to, options, mailbox in rows or ()
    )


def _mailbox(row: Sequence[Any]) -> Mailbox:
    mailbox_id, address, hop = row
    return Mailbox(mailbox_id, Address.parse(address), Hop(*hop))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def platform() -> Platform:
    """What the settings say of the installation."""
    return _platform(
        settings.GATEWAY_HOSTNAME,
        settings.BOUNCE_DOMAIN,
        settings.GATEWAY_MAX_MESSAGE_OCTETS,
        settings.SMARTHOST_URL,
        tuple(settings.SRS_SECRETS),
        frozenset(settings.GATEWAY_ENVIRONMENTS),
    )


@lru_cache(maxsize=4)
def _platform(
    hostname: str,
    bounce_domain: str,
    max_message_octets: int,
    smarthost_url: str,
    srs_secrets: tuple[str, ...],
    environments: frozenset[str],
) -> Platform:
    relay = smarthost.parse(smarthost_url)
    return Platform(
        hostname=hostname,
        bounce_domain=bounce_domain,
        max_message_octets=max_message_octets,
        smarthost=relay.hop if relay else None,
        srs_secrets=tuple(secret.encode() for secret in srs_secrets),
        environments=environments,
    )
