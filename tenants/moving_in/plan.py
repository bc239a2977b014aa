"""An inventory as rows of an import: what would stand here, and what stays behind with its reason.

An address is taken over as what it does: targets in order, itself meaning its mailbox. Addresses of
alias domains become aliases one by one, as there are today.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import count

from tenants.imports.rows import NAMED_BY, Kind, Refusal, Refused, Row, RowError, make_row
from tenants.moving_in.inventory import (
    DISCARD,
    DomainKind,
    Inventory,
    Left,
    OldAlias,
    OldDomain,
    OldHop,
)
from tenants.moving_in.postfix import move, without_extension

NO_CATCH_ALL = (
    "There are no catch-all addresses here: add the addresses that are really written to, which "
    "shadow mode finds in the old system's log."
)
RELAYS_ALL = (
    "It relays whatever recipient there is, and addresses are listed one by one here: only those "
    "that the source names are taken over."
)
SWITCHED_OFF = "Its domain was switched off where it came from."
ALWAYS_THERE = frozenset({"postmaster", "abuse"})  # answered on every domain


def rows_of(
    inventory: Inventory, *, tenant: str, next_hop: str, now: datetime
) -> Iterator[Row | Refused]:
    """What the inventory means here, for the tenant with this external id, numbered from 1.

    Mailboxes are at `next_hop` unless their domain names a server of its own.
    """
    planner = _Planner(inventory, next_hop, now)
    numbers = count(1)
    for kind, cells in planner.cells():
        yield _row(next(numbers), kind, cells, tenant)
    for each in (*inventory.left, *planner.left):
        yield Refused(next(numbers), (Refusal("", each.why),), each.what)


def _row(number: int, kind: Kind, cells: dict[str, object], tenant: str) -> Row | Refused:
    """What another product allows may be more than fits here: that row alone stays behind."""
    try:
        return make_row(number, kind, cells, tenant=tenant)
    except RowError as error:
        name = str(cells[NAMED_BY[kind]])
        return Refused(number, error.refusals, f"{kind} {name}")


Cells = tuple[Kind, dict[str, object]]


class _Planner:
    """One pass over an inventory; gathers in `left` what it cannot express."""

    def __init__(self, inventory: Inventory, next_hop: str, now: datetime) -> None:
        self._inventory = inventory
        self._next_hop = next_hop
        self._now = now
        self._alias_domains = self._find_alias_domains()
        self._relayed: dict[str, None] = {}  # recipients that become mailboxes of another server
        self.left: list[Left] = []

    def cells(self) -> Iterator[Cells]:
        """The cells of every row, addresses last."""
        addresses = [*self._addresses(), *self._at_alias_domains()]
        yield from self._hops()
        yield from self._mailboxes()
        yield from self._domains()
        yield from addresses
        self._leave_the_rest()

    def _find_alias_domains(self) -> dict[str, tuple[str, bool]]:
        """Target, and whether aliases are meant too; `@a → @b` says the same."""
        found = {
            name: (each.target, each.covers_aliases)
            for name, each in self._inventory.alias_domains.items()
        }
        for name, each in self._inventory.catch_alls.items():
            if _is_domain_for_domain(each):
                found[name] = (each.targets[0][1:], True)
        return found

    def _hops(self) -> Iterator[Cells]:
        hops = {domain.hop for domain in self._inventory.domains.values() if domain.hop}
        for hop in sorted(hops, key=_hop_name):
            cells = {"protocol": hop.protocol, "host": hop.host, "port": hop.port}
            yield Kind.HOP, {"name": _hop_name(hop), **cells}

    def _mailboxes(self) -> Iterator[Cells]:
        for key, mailbox in self._inventory.mailboxes.items():
            yield Kind.MAILBOX, {"address": key, "name": mailbox.name, "next_hop": self._hop(key)}
        for key in self._relayed:
            yield Kind.MAILBOX, {"address": key, "next_hop": self._hop(key)}

    def _hop(self, key: str) -> str:
        hop = self._domain_of(key).hop
        return _hop_name(hop) if hop else self._next_hop

    def _domain_of(self, key: str) -> OldDomain:
        name = key.rpartition("@")[2]
        return self._inventory.domains.get(name) or OldDomain(name)

    def _domains(self) -> Iterator[Cells]:
        for name in dict.fromkeys((*self._inventory.domains, *self._alias_domains)):
            yield Kind.DOMAIN, {"domain": name}

    def _addresses(self) -> Iterator[Cells]:
        served = self._inventory.domains.keys() | self._alias_domains.keys()
        for key in sorted(self._inventory.addresses()):
            if key.rpartition("@")[2] in served:
                yield from self._address(key)
            else:
                self._leave(f"address {key}", "The source does not list its domain.")

    def _address(self, key: str) -> Iterator[Cells]:
        alias, mailbox = self._inventory.aliases.get(key), self._inventory.mailboxes.get(key)
        if mailbox is not None and (alias is None or (mailbox.active and not alias.active)):
            alias = OldAlias(key, (key,), mailbox.active)
        if alias is None:
            return
        targets = [*self._targets(alias), *self._copies(key)]
        if not targets:
            return self._leave(f"alias {key}", "It has no target that could be taken over.")
        yield Kind.ALIAS, self._alias_cells(alias, targets)

    def _alias_cells(self, alias: OldAlias, targets: list[str]) -> dict[str, object]:
        is_served = self._domain_of(alias.key).active
        note = alias.note if is_served else "\n".join(filter(None, (alias.note, SWITCHED_OFF)))
        cells: dict[str, object] = {"address": alias.key, "targets": targets}
        cells["enabled"] = alias.active and is_served
        if alias.expires_at is not None:
            cells["expires_at"] = alias.expires_at.isoformat()
        return cells | ({"note": note} if note else {})

    def _targets(self, alias: OldAlias) -> Iterator[str]:
        for target in alias.targets:
            what = f"alias {alias.key}, target {target}"
            goal = move(alias.key, target[1:]) if target.startswith("@") else target
            if goal == DISCARD:
                yield "discard"
            elif goal == alias.key:
                yield from self._itself(alias, what)
            elif self._is_nobody(goal):
                self._leave(what, "Nobody has this address there, or it is switched off.")
            else:
                yield f"forward {goal}"

    def _itself(self, alias: OldAlias, what: str) -> Iterator[str]:
        """What stands for itself is its mailbox, here or at the server it is relayed to."""
        mailbox = self._inventory.mailboxes.get(alias.key)
        if mailbox is None and self._domain_of(alias.key).kind is DomainKind.HOSTED:
            return self._leave(what, "It stands for itself, and there is no such mailbox.")
        if mailbox is None:
            self._relayed[alias.key] = None
        elif not mailbox.active and len(alias.targets) > 1:
            return self._leave(what, "The mailbox is switched off.")
        yield f"mailbox {alias.key}"

    def _copies(self, key: str) -> Iterator[str]:
        for copy in self._inventory.copies.get(key, ()):
            yield f"forward {copy}"

    def _is_nobody(self, key: str) -> bool:
        local_part, _, name = key.rpartition("@")
        domain = self._inventory.domains.get(name)
        if domain is None or domain.kind is not DomainKind.HOSTED or local_part in ALWAYS_THERE:
            return False
        stands_for = self._alias_domains.get(name)
        there = {move(key, stands_for[0])} if stands_for else set()
        return not any(map(self._is_in_use, {key, *without_extension(key, "+"), *there}))

    def _is_in_use(self, key: str) -> bool:
        alias, mailbox = self._inventory.aliases.get(key), self._inventory.mailboxes.get(key)
        if alias is not None and alias.is_alive(self._now):
            return True
        return mailbox is not None and mailbox.active

    def _at_alias_domains(self) -> Iterator[Cells]:
        everyone = self._inventory.addresses()
        for name, (target, covers_aliases) in self._alias_domains.items():
            if target not in self._inventory.domains:
                self._leave(f"alias domain {name}", f"The source does not list {target}.")
                continue
            named = everyone if covers_aliases else self._inventory.mailboxes
            for key in sorted(each for each in named if each.endswith(f"@{target}")):
                there = move(key, name)
                if self._is_in_use(key) and there not in everyone:
                    yield Kind.ALIAS, {"address": there, "targets": [f"forward {key}"]}

    def _leave_the_rest(self) -> None:
        for name, each in self._inventory.catch_alls.items():
            if not _is_domain_for_domain(each):
                self._leave(f"catch-all @{name} to {', '.join(each.targets)}", NO_CATCH_ALL)
        for name, domain in self._inventory.domains.items():
            if domain.kind is DomainKind.RELAYED_WHOLE:
                self._leave(f"domain {name}, all recipients", RELAYS_ALL)
        everyone = self._inventory.addresses()
        for key, copies in self._inventory.copies.items():
            if key not in everyone:
                what = f"copy of mail for {key} to {', '.join(copies)}"
                self._leave(what, "The source has no such address.")

    def _leave(self, what: str, why: str) -> None:
        self.left.append(Left(what, why))


def _is_domain_for_domain(catch_all: OldAlias) -> bool:
    return catch_all.active and len(catch_all.targets) == 1 and catch_all.targets[0][0] == "@"


def _hop_name(hop: OldHop) -> str:
    return f"{hop.protocol} {hop.host}:{hop.port}"
