"""A directory in memory and short makers for facts, so that a test names only what it is about.

No Django here: the whole folder tests the pure core.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from gateway.routing.address import Address
from gateway.routing.decision import Decision
from gateway.routing.facts import (
    AddressKind,
    Domain,
    DomainState,
    Facts,
    Hop,
    HostedAddress,
    Mailbox,
    Platform,
    Session,
    SubaddressRule,
    Target,
    Tenant,
    TenantState,
    Usage,
)
from gateway.routing.resolve import resolve

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECRET = b"a secret of the tests"
STORE = Hop(id=1, protocol="lmtp", host="store.example.net", port=24)
SMARTHOST = Hop(id=2, protocol="smtp", host="relay.example.net", port=25)
PLATFORM = Platform(
    hostname="mx.example.net",
    bounce_domain="bounce.example.net",
    max_message_octets=50_000_000,
    smarthost=SMARTHOST,
    srs_secrets=(SECRET,),
)
_ids = count(1)


def tenant(**fields: Any) -> Tenant:
    given = {"id": 1, "name": "A", "state": TenantState.ACTIVE, "state_since": NOW} | fields
    return Tenant(**given)


OTHER = tenant(id=2, name="B")


def domain(name: str = "a.example", **fields: Any) -> Domain:
    given = {"id": next(_ids), "tenant": tenant(), "state": DomainState.ACTIVE} | fields
    return Domain(name=name, **given)


def mailbox(address: str = "anna@store.example.net") -> Mailbox:
    return Mailbox(next(_ids), Address.parse(address), STORE)


def to_mailbox(address: str = "anna@store.example.net") -> Target:
    return Target(next(_ids), "mailbox", mailbox=mailbox(address))


def to_inbox() -> Target:
    return Target(next(_ids), "inbox")


def forward(address: str) -> Target:
    return Target(next(_ids), "forward", forward_to=Address.parse(address))


def alias(key: str, *targets: Target, **fields: Any) -> HostedAddress:
    given = {"id": next(_ids), "kind": AddressKind.ALIAS, "targets": targets} | fields
    return HostedAddress(key=key, **given)


def role(key: str, *targets: Target, **fields: Any) -> HostedAddress:
    return alias(key, *targets, kind=AddressKind.ROLE, **fields)


def refusing(detail: str) -> dict[str, SubaddressRule]:
    from gateway.routing.facts import RuleAction

    return {detail: SubaddressRule(RuleAction.REFUSE)}


class MemoryDirectory:
    """A Directory whose rows are given at once; it hands out all of them to everyone."""

    def __init__(
        self,
        *rows: Domain | HostedAddress,
        usage: dict[str, int | Usage] | None = None,
        platform: Platform = PLATFORM,
        now: datetime = NOW,
    ) -> None:
        domains: Iterable[Domain] = [row for row in rows if isinstance(row, Domain)]
        addresses = [row for row in rows if isinstance(row, HostedAddress)]
        self.all = Facts(
            platform=platform,
            now=now,
            domains={row.name: row for row in domains} or {"a.example": domain()},
            addresses={row.key: row for row in addresses},
            usage={
                key: value if isinstance(value, Usage) else Usage(value)
                for key, value in (usage or {}).items()
            },
        )

    async def facts(self, recipients: Sequence[Address]) -> Facts:
        return self.all


def decide(
    recipient: str,
    *rows: Domain | HostedAddress,
    sender: str | None = "someone@far.example",
    size: int | None = None,
    **directory: Any,
) -> Decision:
    """What resolve() makes of a recipient, given these rows (an active a.example if none)."""
    session = Session(Address.parse(sender) if sender else None, declared_octets=size)
    facts = MemoryDirectory(*rows, **directory).all
    return resolve(Address.parse(recipient), session, facts)


def recipients_of(decision: Decision) -> list[str]:
    """Where a decision delivers to, in order: recipient, or kind where there is none."""
    return [str(place.recipient or place.kind) for place in decision.destinations]
