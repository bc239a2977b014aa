"""Whether identities may be: what mail for their address arrives at, or an owner's grant.

An identity that rests on a route falls back to pending with the edit that takes the route away,
whatever row was edited: changes gathers what was touched and asks here before it commits.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from gateway.routing.address import DELIMITER_ALPHABET
from gateway.routing.resolve import MAX_DEPTH
from tenants.forwards import forwards_to
from tenants.models import Address, Domain, Membership, SendAsIdentity, SubaddressRule, Target
from tenants.routes import routes

State = SendAsIdentity.State
NO_RIGHT = (
    "A mailbox may send as an address that delivers to it, or as one on a verified domain of its "
    "tenant when an owner grants it."
)
LOST = "Its address does not deliver to the mailbox any more."
EVERY = "@"
"""Before a domain's name: all of its addresses were touched."""


def require_right(identity: SendAsIdentity, was: Mapping[str, Any] | None) -> None:
    """Refuse an identity that is new or verified without a route or a grant.

    Others may stay as they are, or be revoked. Raises ValidationError.
    """
    if (was is None or identity.state == State.VERIFIED) and find_lost([identity]):
        raise ValidationError({"address": NO_RIGHT})


def touched_by(row: models.Model, was: Mapping[str, Any] | None = None) -> Iterator[str]:
    """The keys of addresses whose mail may go elsewhere by an edit of the row."""
    if isinstance(row, Address):
        yield from {row.key, (was or {}).get("key", row.key)}
    elif isinstance(row, SubaddressRule):
        yield row.address.key
    elif isinstance(row, Target):
        yield row.origin.key
    elif isinstance(row, Domain) and was is not None:
        yield EVERY + row.name


def lost_by(touched: Collection[str]) -> list[int]:
    """The verified identities, by id, whose route these addresses were and are no more.

    One query for tenants without any; else a few for each step of forwards.
    """
    domains = {key.rpartition("@")[2] for key in touched}
    verified = SendAsIdentity.objects.filter(state=State.VERIFIED)
    if not verified.filter(mailbox__tenant__domains__name__in=domains).exists():
        return []
    whole = {key.removeprefix(EVERY) for key in touched if key.startswith(EVERY)}
    keys = _leading_to({key for key in touched if not key.startswith(EVERY)})
    every = dict.fromkeys((key.rpartition("@")[2] for key in keys), DELIMITER_ALPHABET)
    resting = verified.of(keys, every) | verified.filter(mailbox__tenant__domains__name__in=whole)
    return find_lost(resting.distinct().select_related("mailbox"))


def _leading_to(keys: set[str]) -> set[str]:
    """These addresses and all whose forwards arrive at one of them, over several steps."""
    found, latest = set(keys), keys
    for _ in range(MAX_DEPTH):
        latest = {each.origin for each in forwards_to(latest, most=None)} - found
        if not latest:
            break
        found |= latest
    return found


def find_lost(identities: Iterable[SendAsIdentity]) -> list[int]:
    """The ids of those that have neither a route nor a grant, as things stand."""
    rows = list(identities)
    reached = _reached({row.key for row in rows})
    left = [row for row in rows if row.mailbox_id not in reached[row.key, row.mailbox.tenant_id]]
    granted = _grants(left)
    return [row.pk for row in left if not granted.holds(row)]


def _reached(keys: Collection[str]) -> Mapping[tuple[str, int | None], set[int | None]]:
    """The mailboxes that each key's mail is delivered to, by key and its domain's tenant."""
    found: dict[tuple[str, int | None], set[int | None]] = defaultdict(set)
    for key, decision, _ in routes(keys):
        found[key, decision.tenant_id] |= {each.mailbox_id for each in decision.destinations}
    return found


@dataclass(frozen=True, slots=True)
class _Grants:
    """Verified domains by name and tenant, and owners by tenant and user."""

    domains: Collection[tuple[str, int]]
    owners: Collection[tuple[int, int]]

    def holds(self, identity: SendAsIdentity) -> bool:
        """Whether an owner grants it, on a domain of the tenant."""
        tenant_id = identity.mailbox.tenant_id
        domain = identity.key.rpartition("@")[2]
        is_owner = (tenant_id, identity.granted_by_id) in self.owners
        return is_owner and (domain, tenant_id) in self.domains


def _grants(identities: Collection[SendAsIdentity]) -> _Grants:
    """What there is to grant of these identities. Two queries, or none."""
    granted = [row for row in identities if row.granted_by_id is not None]
    if not granted:
        return _Grants((), ())
    names = {row.key.rpartition("@")[2] for row in granted}
    domains = Domain.objects.receiving().filter(name__in=names)
    owners = Membership.objects.filter(
        user__in={row.granted_by_id for row in granted}, role=Membership.Role.OWNER
    )
    return _Grants(
        set(domains.values_list("name", "tenant_id")),
        set(owners.values_list("tenant_id", "user_id")),
    )
