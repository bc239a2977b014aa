"""The only read of routing data for decisions: rows in, Facts out.

One statement reads domains, addresses with targets and rules, counters and the database's time,
so that a decision sees one moment. Nothing is kept between reads: an address disabled in the panel
is refused by the very next look-up. Look-ups that arrive together share the statement.
"""

import asyncio
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from django.db import DatabaseError

from gateway import smarthost
from gateway.batching import Batcher
from gateway.database import LoopLink, once_more, raw
from gateway.routing import srs
from gateway.routing.address import Address
from gateway.routing.facts import (
    AddressKind,
    Domain,
    DomainState,
    Facts,
    Hop,
    HostedAddress,
    LookupFailed,
    Mailbox,
    Platform,
    RuleAction,
    SubaddressRule,
    Target,
    Tenant,
    TenantState,
    Usage,
)
from gateway.routing.resolve import MAX_DEPTH
from gateway.routing.window import RollingHour

DEADLINE_SECONDS = 5.0
LARGEST_BATCH = 400
NEVER = datetime.fromtimestamp(0, UTC)

HOP = "json_build_array(h.id, h.protocol, h.host, h.port, h.tls)"
TARGET = f"""json_build_object('id', t.id, 'kind', t.kind, 'forward_to', t.forward_to,
    'mailbox', CASE WHEN m.id IS NOT NULL THEN json_build_array(m.id, m.address, {HOP}) END,
    'options', t.options)"""
TARGETS = f"""SELECT json_agg({TARGET} ORDER BY t.position, t.id)
    FROM tenants_target t
    LEFT JOIN tenants_mailbox m ON m.id = t.mailbox_id
    LEFT JOIN tenants_nexthop h ON h.id = m.next_hop_id"""
MAILBOX = f"""(SELECT json_build_array(m.id, m.address, {HOP})
    FROM tenants_mailbox m JOIN tenants_nexthop h ON h.id = m.next_hop_id WHERE m.id = %s)"""

READ = f"""
WITH d AS (
    SELECT d.*, n.name AS tenant_name, n.state AS tenant_state, n.state_since AS tenant_since,
        coalesce(n.max_message_octets, p.max_message_octets) AS max_message_octets,
        coalesce(n.messages_per_hour, p.messages_per_hour) AS messages_per_hour,
        coalesce(n.stored_octets, p.stored_octets) AS stored_octets,
        coalesce(n.retention_days, p.retention_days, 30) AS retention_days
    FROM tenants_domain d
    JOIN tenants_tenant n ON n.id = d.tenant_id
    JOIN tenants_plan p ON p.id = n.plan_id
    WHERE d.name = ANY(%(domains)s) AND d.state IN ('active', 'degraded')
), a AS (
    SELECT a.* FROM tenants_address a JOIN d ON d.id = a.domain_id WHERE a.key = ANY(%(keys)s)
)
SELECT 'now', to_json(clock_timestamp())
UNION ALL
SELECT 'domain', json_build_object(
    'id', id, 'name', name, 'state', state, 'environment', environment,
    'delimiters', delimiters, 'local_part_pattern', local_part_pattern,
    'local_part_max_octets', local_part_max_octets, 'hides_disabled', hides_disabled,
    'role_holder', CASE WHEN default_role_holder_id IS NOT NULL
        THEN {MAILBOX.replace("%s", "default_role_holder_id")} END,
    'smarthost', CASE WHEN smarthost_id IS NOT NULL
        THEN (SELECT {HOP} FROM tenants_nexthop h WHERE h.id = smarthost_id) END,
    'tenant', json_build_array(tenant_id, tenant_name, tenant_state, tenant_since,
        max_message_octets, messages_per_hour, stored_octets, retention_days))
FROM d
UNION ALL
SELECT 'address', json_build_object(
    'id', a.id, 'key', a.key, 'kind', a.kind, 'enabled', a.enabled, 'expires_at', a.expires_at,
    'allowed_senders', a.allowed_senders, 'accepts_forwards_from', a.accepts_forwards_from,
    'accepts_bounces', a.allowed_senders <> '{{}}' AND EXISTS (
        SELECT FROM tenants_sendasidentity i
        WHERE i.key = a.key AND i.state = 'verified'
            AND (i.expires_at IS NULL OR i.expires_at > clock_timestamp())),
    'max_message_octets', a.max_message_octets, 'rate_per_hour', a.rate_per_hour,
    'holder', CASE WHEN a.holder_id IS NOT NULL THEN {MAILBOX.replace("%s", "a.holder_id")} END,
    'targets', ({TARGETS} WHERE t.address_id = a.id),
    'rules', (SELECT json_agg(json_build_array(r.detail, r.action,
        ({TARGETS} WHERE t.rule_id = r.id))) FROM tenants_subaddressrule r
        WHERE r.address_id = a.id))
FROM a
UNION ALL
SELECT 'counter', json_build_array(c.key, c.minute, c.counts, c.total, c.full_since)
FROM gateway_counter c WHERE c.key IN (
    SELECT 'rate:address:' || a.id FROM a WHERE a.rate_per_hour IS NOT NULL
    UNION SELECT 'rate:tenant:' || d.tenant_id FROM d WHERE d.messages_per_hour IS NOT NULL
    UNION SELECT 'stored:tenant:' || d.tenant_id FROM d WHERE d.stored_octets IS NOT NULL)
"""


READ_SENDERS = """
SELECT d.id, m.sender FROM gateway_delivery d JOIN gateway_message m ON m.id = d.message_id
WHERE d.id = ANY(%(ids)s)
"""


class PostgresDirectory:
    """The Directory of a running gateway: batched reads, a few in flight."""

    def __init__(self, links: Sequence[LoopLink]) -> None:
        self._batcher: Batcher[LoopLink, Sequence[Address], Facts] = Batcher(
            _read_together, links=links, largest=LARGEST_BATCH
        )

    def facts(self, recipients: Sequence[Address]) -> "asyncio.Future[Facts]":
        """See Directory. Facts of a batch are shared: they may hold more than was asked for."""
        future = self._batcher.submit(recipients)
        deadline = asyncio.get_running_loop().call_later(DEADLINE_SECONDS, _give_up, future)
        future.add_done_callback(lambda _: deadline.cancel())
        return future


def _give_up(future: "asyncio.Future[Facts]") -> None:
    if not future.done():
        future.set_exception(LookupFailed("the directory did not answer in time"))


async def _read_together(
    link: LoopLink, asked: Sequence[Sequence[Address]]
) -> Sequence[Facts | Exception]:
    """One Facts for many questions, each of which gets it."""
    recipients = [address for addresses in asked for address in addresses]

    async def read(opened: "psycopg.AsyncConnection[Any]") -> Facts:
        rounds = _rounds(recipients)
        question = next(rounds)
        while True:
            cursor = psycopg.AsyncCursor(opened)
            await cursor.execute(*question, prepare=True)
            try:
                question = rounds.send(await cursor.fetchall())
            except StopIteration as done:
                facts: Facts = done.value
                return facts

    try:
        return [await link.use_again(read)] * len(asked)
    except psycopg.Error as error:
        raise LookupFailed(str(error)) from error


def read_facts(recipients: Sequence[Address]) -> Facts:
    """The facts for these recipients, read now on this thread's connection.

    One query, and one more per forward hosted here. Raises LookupFailed.
    """
    try:
        return once_more(lambda: _read(recipients))
    except (psycopg.Error, DatabaseError) as error:
        raise LookupFailed(str(error)) from error


def _read(recipients: Sequence[Address]) -> Facts:
    rounds = _rounds(recipients)
    question = next(rounds)
    while True:
        rows = psycopg.Cursor(raw()).execute(*question, prepare=True).fetchall()
        try:
            question = rounds.send(rows)
        except StopIteration as done:
            facts: Facts = done.value
            return facts


Question = tuple[str, dict[str, list[Any]]]
Rows = Sequence[tuple[Any, ...]]


@dataclass(slots=True)
class _Reading:
    """Rows gathered over the rounds of one read."""

    now: datetime = NEVER  # every round sets it
    domains: dict[str, Domain] = field(default_factory=dict)
    addresses: dict[str, HostedAddress] = field(default_factory=dict)
    counters: dict[str, Sequence[Any]] = field(default_factory=dict)
    return_paths: dict[str, Address] = field(default_factory=dict)


def _rounds(recipients: Sequence[Address]) -> Generator[Question, Rows, Facts]:
    """The questions of one read, each made of the answers so far; its result are the facts."""
    reading = _Reading()
    asked: set[Address] = set()
    wanted = set(recipients)
    for _ in range(MAX_DEPTH + 1):
        _take_rows(reading, (yield _question(wanted)))
        asked |= wanted
        wanted = _hosted_forwards(reading) - asked
        if not wanted:
            break
    if paths := _opaque_return_paths(recipients):
        senders: dict[UUID, str] = dict((yield READ_SENDERS, {"ids": list(paths)}))
        reading.return_paths = {
            paths[delivery_id].key: Address.parse(sender)
            for delivery_id, sender in senders.items()
            if sender
        }
    return Facts(
        platform=platform(),
        now=reading.now,
        domains=reading.domains,
        addresses=reading.addresses,
        usage={key: _usage(row, reading.now) for key, row in reading.counters.items()},
        return_paths=reading.return_paths,
    )


def _question(recipients: Iterable[Address]) -> Question:
    keys = {key for address in recipients for key in address.lookup_keys()}
    return READ, {"keys": list(keys), "domains": list({each.domain for each in recipients})}


def _take_rows(reading: _Reading, rows: Rows) -> None:
    for kind, row in rows:
        if kind == "address":
            reading.addresses[row["key"]] = _address(row)
        elif kind == "domain":
            reading.domains[row["name"]] = _domain(row)
        elif kind == "counter":
            reading.counters[row[0]] = row
        else:
            reading.now = datetime.fromisoformat(row)


def _opaque_return_paths(recipients: Iterable[Address]) -> dict[UUID, Address]:
    """The deliveries named by return paths of ours that are too long for SRS."""
    ours = platform()
    found = {}
    for address in recipients:
        if address.domain == ours.bounce_domain and srs.is_opaque(address.local_part):
            with suppress(srs.SrsError):
                found[srs.read_opaque(address.local_part, secrets=ours.srs_secrets)] = address
    return found


def _hosted_forwards(reading: _Reading) -> set[Address]:
    """Where targets read so far forward to; foreign domains cost one look-up and are gone."""
    return {
        target.forward_to
        for address in reading.addresses.values()
        for target in _all_targets(address)
        if target.forward_to is not None
    }


def _all_targets(address: HostedAddress) -> Iterable[Target]:
    yield from address.targets
    for rule in address.rules.values():
        yield from rule.targets


def _usage(row: Sequence[Any], now: datetime) -> Usage:
    _, minute, counts, total, full_since = row
    if counts:
        window = RollingHour.of(minute, counts).at(int(now.timestamp()) // 60)
        return Usage(window.total)
    return Usage(total, _moment(full_since))


def _domain(row: Mapping[str, Any]) -> Domain:
    return Domain(
        id=row["id"],
        name=row["name"],
        tenant=_tenant(row["tenant"]),
        state=DomainState(row["state"]),
        environment=row["environment"],
        delimiters=row["delimiters"],
        local_part_pattern=row["local_part_pattern"],
        local_part_max_octets=row["local_part_max_octets"],
        hides_disabled=row["hides_disabled"],
        role_holder=_mailbox(row["role_holder"]),
        smarthost=_hop(row["smarthost"]),
    )


def _tenant(row: Sequence[Any]) -> Tenant:
    tenant_id, name, state, since, octets, hourly, stored, retention = row
    return Tenant(
        id=tenant_id,
        name=name,
        state=TenantState(state),
        state_since=datetime.fromisoformat(since),
        max_message_octets=octets,
        messages_per_hour=hourly,
        stored_octets_limit=stored,
        retention_days=retention,
    )


def _address(row: Mapping[str, Any]) -> HostedAddress:
    return HostedAddress(
        id=row["id"],
        key=row["key"],
        kind=AddressKind(row["kind"]),
        enabled=row["enabled"],
        expires_at=_moment(row["expires_at"]),
        allowed_senders=tuple(row["allowed_senders"]),
        accepts_bounces=row["accepts_bounces"],
        max_message_octets=row["max_message_octets"],
        rate_per_hour=row["rate_per_hour"],
        holder=_mailbox(row["holder"]),
        targets=_targets(row["targets"]),
        rules={
            detail: SubaddressRule(RuleAction(action), _targets(targets))
            for detail, action, targets in row["rules"] or ()
        },
    )


def _targets(rows: Sequence[Mapping[str, Any]] | None) -> tuple[Target, ...]:
    return tuple(
        Target(
            id=row["id"],
            kind=row["kind"],
            mailbox=_mailbox(row["mailbox"]),
            forward_to=Address.parse(row["forward_to"]) if row["forward_to"] else None,
        )
        for row in rows or ()
    )


def _mailbox(row: Sequence[Any] | None) -> Mailbox | None:
    if row is None:
        return None
    mailbox_id, address, hop = row
    return Mailbox(mailbox_id, Address.parse(address), Hop(*hop))


def _hop(row: Sequence[Any] | None) -> Hop | None:
    return Hop(*row) if row is not None else None


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
