"""Who forwards to an address: those whose mail finds nothing there once it takes none.

Forwards are checked as they are saved, and what they lead to may end later. That is allowed, so
whoever ends it is told beforehand whom it reaches; a job notes what ends by itself.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models.functions import Coalesce

from gateway.routing.address import Address as ParsedAddress
from gateway.routing.resolve import EXEMPT_ROLES
from tenants.models import Address, Domain, Target

NAMED = 3
OTHERWISE = "; where they have no other target, so is all of their mail."
COUNTED = 1000
"""How many forwards are looked at for one question."""


@dataclass(frozen=True, slots=True)
class Forwarders:
    """Addresses that forward to one: those of its own tenant by name, the others counted."""

    own: Sequence[str] = ()
    foreign: int = 0

    def __len__(self) -> int:
        return len(self.own) + self.foreign

    def __str__(self) -> str:
        """Such as "2 addresses forward here: a@x.example, b@x.example"."""
        more = len(self.own) - NAMED
        named = [*self.own[:NAMED], *([f"{more:,} more"] if more > 0 else [])]
        foreign = [f"{self.foreign:,} of other tenants"] if self.foreign else []
        verb = "address forwards" if len(self) == 1 else "addresses forward"
        return f"{len(self):,} {verb} here: {', '.join([*named, *foreign])}"

    def losing(self, when: str = "from then on") -> str:
        """What it does to them that the address takes no more mail."""
        return f"{self}. What they send here is refused {when}{OTHERWISE}"


@dataclass(frozen=True, slots=True)
class Forward:
    """One forward: the address that it is a target of, and the key that it arrives at."""

    to: str
    origin_id: int
    origin: str
    tenant_id: int


def forwarders(addresses: Iterable[Address], *, ending: Any = frozenset()) -> dict[int, Forwarders]:
    """Who in use forwards to each of these addresses, by id; left out where nobody does.

    Nor are those told whose ids are among `ending`. postmaster and abuse answer without a row, so
    nothing ends with theirs. Four queries, however many the addresses.
    """
    rows = {row.key: row for row in addresses if _local(row.key) not in EXEMPT_ROLES}
    domains = Domain.objects.filter(pk__in={row.domain_id for row in rows.values()})
    tenants = dict(domains.values_list("pk", "tenant_id"))
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for each in forwards_to(rows, of=Address.objects.alive().exclude(pk__in=ending)):
        found[each.to][each.origin] = each.tenant_id
    return {rows[key].pk: _told(of, tenants[rows[key].domain_id]) for key, of in found.items()}


def forwards_to(
    keys: Collection[str], *, of: Any = None, most: int | None = COUNTED
) -> list[Forward]:
    """Forwards that arrive at these keys, also by a detail; at most so many, of the addresses `of`.

    One to the address itself is none. Three queries.
    """
    receiving = Domain.objects.receiving().filter(name__in={key.rpartition("@")[2] for key in keys})
    delimiters = dict(receiving.values_list("name", "delimiters"))
    served = {key for key in keys if key.rpartition("@")[2] in delimiters}
    if not served:
        return []
    address = {"key": Coalesce("address__key", "rule__address__key")}
    tenant = Coalesce("address__domain__tenant", "rule__address__domain__tenant")
    rows = Target.objects.with_origin().forwarding_to(served, delimiters)
    if of is not None:
        rows = rows.filter(origin_id__in=of)
    columns = rows.annotate(**address, tenant=tenant).values_list(
        "forward_key", "origin_id", "key", "tenant"
    )
    found = list(columns.order_by("key", "forward_key")[:most])
    landing = _landings({forward for forward, *_ in found}, served, delimiters)
    return [
        Forward(landing[forward], *rest)
        for forward, *rest in found
        if landing.get(forward, rest[1]) != rest[1]
    ]


def _landings(
    forwards: Collection[str], keys: Collection[str], delimiters: Mapping[str, str]
) -> dict[str, str]:
    """At which of the keys each forward arrives: an address of its own goes before a subaddress."""
    detailed = [forward for forward in forwards if forward not in keys]
    own = set(Address.objects.filter(key__in=detailed).values_list("key", flat=True))
    found = {forward: forward for forward in forwards if forward in keys}
    for forward in detailed:
        split = ParsedAddress.of_key(forward).subaddress(delimiters[forward.rpartition("@")[2]])
        if forward not in own and split is not None and split.base_key in keys:
            found[forward] = split.base_key
    return found


def _told(origins: Mapping[str, int], tenant: int) -> Forwarders:
    own = [key for key, of in origins.items() if of == tenant]
    return Forwarders(own, len(origins) - len(own))


def _local(key: str) -> str:
    return key.rpartition("@")[0]
