"""What a read asks, and Facts made of the answers; no connection here.

`rounds` is a generator of questions: whoever drives it sends back the rows of each.
"""

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from django.conf import settings
from msgspec import Struct
from msgspec.structs import replace

from gateway import smarthost
from gateway.directory import rows
from gateway.directory.statements import READ, READ_DETAILS, READ_SENDERS
from gateway.link import Question
from gateway.routing import policy, srs
from gateway.routing.address import Address, AddressError
from gateway.routing.authentication import OnFailure
from gateway.routing.facts import (
    AddressKind,
    Domain,
    Facts,
    Hop,
    HostedAddress,
    Mailbox,
    Platform,
    SubaddressRule,
    Target,
    Usage,
)
from gateway.routing.resolve import EXEMPT_ROLES, MAX_DEPTH, MAX_WIDTH

# The columns of an answer as texts, as gateway.link and a cursor give them.
Answer = Sequence[tuple[bytes | None, ...]]
# What becomes of mail that the content filter does not judge, as the setting calls it.
_UNFILTERED = {"defer": OnFailure.REJECT, "mark": OnFailure.MARK}
# Twice as many forwards as a decision follows: some lead from bases and rules that do not answer.
MOST_FORWARDS = 2 * MAX_WIDTH
NEVER = datetime.fromtimestamp(0, UTC)


class _Reading(Struct):
    """Rows gathered over the rounds of one read."""

    now: datetime = NEVER  # every round sets it
    domains: dict[str, rows.HostedDomain] = {}
    addresses: dict[str, rows.AddressRow] = {}
    targets: dict[str, tuple[Target, ...]] = {}
    usage: dict[str, Usage] = {}
    rules: dict[int, dict[str, SubaddressRule]] = {}
    mailboxes: dict[int, Mailbox] = {}
    hops: dict[int, Hop] = {}
    identities: set[str] = set()
    return_paths: dict[str, Address] = {}

    def take(self, answer: Answer) -> None:
        """Keep the rows of READ, which start with the time."""
        found = []
        for kind, row, rate, stored in answer:
            if kind == b"address":
                found.append((rows.decode_address(row or b""), rate))
            elif kind == b"domain":
                self._take_domain(rows.hosted_domain(row or b""), rate, stored)
            else:
                self.now = rows.decode_now(row or b"")
        verified = {hosted.domain.id for hosted in self.domains.values()}
        for address, rate in found:
            # An address of a claim that is not verified is nobody's.
            if address.domain_id in verified:
                self._take_address(address, rate)

    def _take_domain(
        self, hosted: rows.HostedDomain, rate: bytes | None, stored: bytes | None
    ) -> None:
        self.domains[hosted.domain.name] = hosted
        tenant_id = hosted.domain.tenant.id
        if rate is not None:
            self.usage[policy.tenant_rate_counter(tenant_id)] = self._hour(rate)
        if stored is not None:
            row = rows.decode_stored(stored)
            self.usage[policy.storage_counter(tenant_id)] = Usage(row.total, row.full_since)

    def _take_address(self, row: rows.AddressRow, rate: bytes | None) -> None:
        self.addresses[row.key] = row
        self.targets[row.key] = rows.targets(row.targets)
        if rate is not None:
            self.usage[policy.rate_counter(row.id)] = self._hour(rate)

    def _hour(self, counter: bytes) -> Usage:
        return rows.usage_in_hour(counter, int(self.now.timestamp()) // 60)

    def take_details(self, answer: Answer) -> None:
        """Keep the rows of READ_DETAILS."""
        for kind, row in answer:
            match kind:
                case b"rule":
                    rule = rows.decode_rule(row or b"")
                    fact = SubaddressRule(rule.action, rows.targets(rule.targets))
                    self.rules.setdefault(rule.address_id, {})[rule.detail] = fact
                case b"mailbox":
                    box = rows.mailbox(rows.decode_mailbox(row or b""))
                    self.mailboxes[box.id] = box
                case b"hop":
                    hop = rows.hop(rows.decode_hop(row or b""))
                    self.hops[hop.id] = hop
                case _:
                    self.identities.update(rows.decode_identity(row or b""))


def rounds(
    recipients: Sequence[Address], *, is_exact: bool = False, most_forwards: int | None = None
) -> Generator[Question, Answer, Facts]:
    """The questions of one read, each made of the answers so far; its result are the facts.

    One question answers most recipients. Subaddresses, roles and sender lists take a second one,
    each forward that is hosted here one or two more. What has been counted against a rate is an
    upper bound below its limit, unless it is asked for exactly. Beyond so many forwards the rest
    is left unread, which the facts say.
    """
    reading = _Reading()
    asked: set[Address] = set()
    wanted = set(recipients)
    unread: set[Address] = set()
    for _ in range(MAX_DEPTH + 1):
        reading.take((yield _question(wanted, is_exact=is_exact)))
        details = _details(reading, wanted)
        if any(details):
            reading.take_details((yield Question(READ_DETAILS, details)))
        asked |= wanted
        wanted = _forwards(reading) - asked
        if most_forwards is not None and len(asked) + len(wanted) > most_forwards:
            unread = wanted
            break
        if not wanted:
            break
    if paths := _opaque_return_paths(recipients):
        answer = yield Question(READ_SENDERS, ([str(delivery_id) for delivery_id in paths],))
        for delivery_id, sender in answer:
            with suppress(AddressError):  # of a message to which nothing goes back
                path = paths[UUID((delivery_id or b"").decode())]
                reading.return_paths[path.key] = Address.parse((sender or b"").decode())
    return _facts(reading, unread)


def _question(recipients: Iterable[Address], *, is_exact: bool) -> Question:
    keys = {key for address in recipients for key in address.lookup_keys()}
    domains = {each.domain for each in recipients}
    return Question(READ, (list(keys), list(domains), "true" if is_exact else "false"))


def _details(reading: _Reading, recipients: Iterable[Address]) -> tuple[list[str], ...]:
    """The parameters of READ_DETAILS for these recipients; mostly nothing."""
    bases: list[str] = []
    mailboxes: list[str] = []
    hops: list[str] = []
    listed: list[str] = []
    for address in recipients:
        hosted = reading.domains.get(address.domain)
        if hosted is None:
            continue
        is_role = address.folded_local_part in EXEMPT_ROLES
        for key in address.lookup_keys():
            row = reading.addresses.get(key)
            if row is None:
                continue
            is_role = is_role or row.kind is AddressKind.ROLE
            if key != address.key:
                bases.append(str(row.id))
            if row.holder_id is not None:
                mailboxes.append(str(row.holder_id))
            if row.allowed_senders:
                listed.append(key)
        if is_role and hosted.role_holder_id is not None:
            mailboxes.append(str(hosted.role_holder_id))
        if hosted.smarthost_id is not None:
            hops.append(str(hosted.smarthost_id))
    return bases, mailboxes, hops, listed


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


def _facts(reading: _Reading, unread: Collection[Address]) -> Facts:
    return Facts(
        platform=platform(),
        now=reading.now,
        domains={name: _domain(hosted, reading) for name, hosted in reading.domains.items()},
        addresses={key: _address(row, reading) for key, row in reading.addresses.items()},
        usage=reading.usage,
        return_paths=reading.return_paths,
        unread=frozenset(address.key for address in unread),
    )


def _domain(hosted: rows.HostedDomain, reading: _Reading) -> Domain:
    if hosted.role_holder_id is None and hosted.smarthost_id is None:
        return hosted.domain
    return replace(
        hosted.domain,
        role_holder=reading.mailboxes.get(hosted.role_holder_id or 0),
        smarthost=reading.hops.get(hosted.smarthost_id or 0),
    )


def _address(row: rows.AddressRow, reading: _Reading) -> HostedAddress:
    return HostedAddress(
        id=row.id,
        key=row.key,
        kind=row.kind,
        enabled=row.enabled,
        expires_at=row.expires_at,
        allowed_senders=tuple(row.allowed_senders),
        accepts_bounces=row.key in reading.identities,
        accepts_forwards_from=tuple(row.accepts_forwards_from),
        max_message_octets=row.max_message_octets,
        rate_per_hour=row.rate_per_hour,
        holder=reading.mailboxes.get(row.holder_id or 0),
        targets=reading.targets[row.key],
        rules=reading.rules.get(row.id, {}),
        ask=rows.ask(row.ask, row.allowed_senders),
        filter=row.filter,
    )


def platform() -> Platform:
    """What the settings say of the installation."""
    return _platform(
        settings.GATEWAY_HOSTNAME,
        settings.BOUNCE_DOMAIN,
        settings.GATEWAY_MAX_MESSAGE_OCTETS,
        settings.SMARTHOST_URL,
        tuple(settings.SRS_SECRETS),
        frozenset(settings.GATEWAY_ENVIRONMENTS),
        settings.AUTHSERV_ID,
        _UNFILTERED[settings.CONTENT_FILTER_FAILURE] if settings.CONTENT_FILTER_URL else None,
    )


@lru_cache(maxsize=4)
def _platform(
    hostname: str,
    bounce_domain: str,
    max_message_octets: int,
    smarthost_url: str,
    srs_secrets: tuple[str, ...],
    environments: frozenset[str],
    authserv_id: str,
    on_unfiltered: OnFailure | None,
) -> Platform:
    relay = smarthost.parse(smarthost_url)
    return Platform(
        hostname=hostname,
        bounce_domain=bounce_domain,
        max_message_octets=max_message_octets,
        smarthost=relay.hop if relay else None,
        srs_secrets=tuple(secret.encode() for secret in srs_secrets),
        environments=environments,
        authserv_id=authserv_id,
        on_unfiltered=on_unfiltered,
    )
