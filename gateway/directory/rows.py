"""The rows of a read, decoded from JSON arrays straight into values, in the order of statements.py.

What a row says is a fact for as long as the row says it: facts made of equal octets are equal, so
those that many look-ups share (domains, mailboxes, hops) are made once for each wording of a row.
The rows themselves are read anew every time.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from msgspec import Struct
from msgspec.json import Decoder

from gateway.routing.address import Address
from gateway.routing.authentication import Ask, Demand, OnFailure
from gateway.routing.content_filter import AddressFilter, TenantFilter
from gateway.routing.facts import (
    AddressKind,
    Domain,
    DomainState,
    Hop,
    Mailbox,
    RuleAction,
    Target,
    Tenant,
    TenantState,
    Usage,
)
from gateway.routing.window import RollingHour

Row = TypeVar("Row")


class HopRow(Struct, array_like=True, frozen=True):
    """A next hop."""

    id: int
    protocol: str
    host: str
    port: int
    tls: str
    calls_ahead: bool


class MailboxRow(Struct, array_like=True, frozen=True):
    """A mailbox with its next hop."""

    id: int
    address: str
    hop: HopRow


class TargetRow(Struct, array_like=True):
    """A target with its mailbox, where it has one."""

    id: int
    kind: str
    forward_to: str | None
    options: dict[str, object]
    mailbox: MailboxRow | None


class DomainRow(Struct, array_like=True):
    """A domain with its tenant, and the tenant's limits or its plan's."""

    id: int
    name: str
    state: DomainState
    environment: str
    delimiters: str
    local_part_pattern: str
    local_part_max_octets: int | None
    hides_disabled: bool
    role_holder_id: int | None
    smarthost_id: int | None
    tenant_id: int
    tenant_name: str
    tenant_state: TenantState
    tenant_state_since: datetime
    max_message_octets: int | None
    messages_per_hour: int | None
    stored_octets_limit: int | None
    retention_days: int
    filter: TenantFilter


class AskRow(Struct, array_like=True, frozen=True):
    """What an address asks of its senders' authentication, where it asks for something."""

    demand: Demand
    on_failure: OnFailure
    signer: str
    lists_authors: bool


class AddressRow(Struct, array_like=True):
    """An address with its targets."""

    id: int
    domain_id: int
    key: str
    kind: AddressKind
    enabled: bool
    expires_at: datetime | None
    allowed_senders: list[str]
    accepts_forwards_from: list[str]
    max_message_octets: int | None
    rate_per_hour: int | None
    holder_id: int | None
    targets: list[TargetRow] | None
    ask: AskRow | None
    filter: AddressFilter | None


class RuleRow(Struct, array_like=True):
    """A subaddress rule with its targets."""

    address_id: int
    detail: str
    action: RuleAction
    targets: list[TargetRow] | None


class HourRow(Struct, array_like=True):
    """A rate's counter; without counts its total is what it stood at, at most, since `minute`."""

    minute: int
    total: int
    counts: list[int] | None


class StoredRow(Struct, array_like=True):
    """A storage's counter."""

    total: int
    full_since: datetime | None


class HostedDomain(Struct, frozen=True):
    """A domain as a fact, and which mailbox and hop still have to be read for it."""

    domain: Domain
    role_holder_id: int | None
    smarthost_id: int | None


decode_now = Decoder(datetime).decode
decode_address = Decoder(AddressRow).decode
decode_rule = Decoder(RuleRow).decode
decode_mailbox = Decoder(MailboxRow).decode
decode_hop = Decoder(HopRow).decode
decode_identity = Decoder(tuple[str]).decode
decode_stored = Decoder(StoredRow).decode
_decode_hour = Decoder(HourRow).decode
_decode_domain = Decoder(DomainRow).decode


@lru_cache(maxsize=20_000)
def hosted_domain(row: bytes) -> HostedDomain:
    """The facts of a domain's row."""
    found = _decode_domain(row)
    tenant = Tenant(
        id=found.tenant_id,
        name=found.tenant_name,
        state=found.tenant_state,
        state_since=found.tenant_state_since,
        max_message_octets=found.max_message_octets,
        messages_per_hour=found.messages_per_hour,
        stored_octets_limit=found.stored_octets_limit,
        retention_days=found.retention_days,
        filter=found.filter,
    )
    domain = Domain(
        id=found.id,
        name=found.name,
        tenant=tenant,
        state=found.state,
        environment=found.environment,
        delimiters=found.delimiters,
        local_part_pattern=found.local_part_pattern,
        local_part_max_octets=found.local_part_max_octets,
        hides_disabled=found.hides_disabled,
    )
    return HostedDomain(domain, found.role_holder_id, found.smarthost_id)


@lru_cache(maxsize=10_000)
def usage_in_hour(row: bytes, minute: int) -> Usage:
    """What a rate's counter stands at in a minute (minutes since the epoch), at most."""
    counter = _decode_hour(row)
    if counter.counts is None:
        return Usage(counter.total)
    return Usage(RollingHour.of(counter.minute, counter.counts).at(minute).total)


def targets(rows: Sequence[TargetRow] | None) -> tuple[Target, ...]:
    """Targets in their order."""
    if not rows:
        return ()
    return tuple(
        [
            Target(
                row.id,
                row.kind,
                mailbox(row.mailbox) if row.mailbox else None,
                Address.parse(row.forward_to) if row.forward_to else None,
                row.options,
            )
            for row in rows
        ]
    )


def ask(row: AskRow | None, allowed_senders: Sequence[str]) -> Ask | None:
    """The demand; the list of senders is one of authors where the address wants that."""
    if row is None:
        return None
    authors = tuple(allowed_senders) if row.lists_authors else ()
    return Ask(row.demand, row.on_failure, row.signer, authors)


@lru_cache(maxsize=50_000)
def mailbox(row: MailboxRow) -> Mailbox:
    """The fact of a mailbox's row."""
    return Mailbox(row.id, Address.parse(row.address), hop(row.hop))


@lru_cache(maxsize=10_000)
def hop(row: HopRow) -> Hop:
    """The fact of a next hop's row."""
    return Hop(row.id, row.protocol, row.host, row.port, row.tls, row.calls_ahead)
