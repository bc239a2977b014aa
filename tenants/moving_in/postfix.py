"""What Postfix would do with a recipient by the old system's rules: virtual(5), in its order.

An address is looked up whole, then without its extension, then as @domain; what it leads to is
looked up again until an address stands for itself. Extensions are not followed beyond that: where
mail for name+detail ends is compared, not how the detail is handed on.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from tenants.moving_in.inventory import DISCARD, AliasDomain, DomainKind, Inventory

MAX_NESTING = 50  # Postfix stops at 1,000 by default (virtual_alias_recursion_limit)


class Look(Struct, frozen=True):
    """What the maps say of one address. `rule` names what gave the targets; empty: none did."""

    domain: DomainKind | None = None  # None: not served
    mailbox: str | None = None  # the mailbox that the address is
    rule: str = ""
    targets: tuple[str, ...] = ()
    copies: tuple[str, ...] = ()


class OldSystem(Protocol):
    """The rules of the system that is left: stored, or asked live."""

    def look(self, keys: Collection[str]) -> Mapping[str, Look]:
        """What is known of each of these addresses. Raises OldSystemFailed."""
        ...


class OldSystemFailed(Exception):
    """The old system could not be asked; nothing follows from that about any address."""


class OldAnswer(Struct, frozen=True):
    """Whether a recipient is accepted, where its mail ends, and what bounces after that."""

    accepted: bool
    steps: tuple[str, ...]
    destinations: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()

    @property
    def text(self) -> str:
        return "; ".join(self.steps)


class StoredRules:
    """An OldSystem made of an inventory, as of one moment."""

    def __init__(self, inventory: Inventory, *, now: datetime, delimiter: str = "+") -> None:
        self._inventory = inventory
        self._now = now
        self._delimiter = delimiter

    def look(self, keys: Collection[str]) -> Mapping[str, Look]:
        return {key: self._look(key) for key in keys}

    def _look(self, key: str) -> Look:
        found = self._inventory
        domain = key.rpartition("@")[2]
        candidates = without_extension(key, self._delimiter)
        rule, targets = self._targets(candidates, domain)
        return Look(
            domain=self._kind(domain),
            mailbox=self._mailbox(candidates, found.alias_domains.get(domain)),
            rule=rule,
            targets=targets,
            copies=next((found.copies[each] for each in candidates if each in found.copies), ()),
        )

    def _kind(self, domain: str) -> DomainKind | None:
        row = self._inventory.domains.get(domain)
        if row is not None:
            return row.kind if row.active else None
        return DomainKind.HOSTED if domain in self._inventory.alias_domains else None

    def _targets(self, candidates: Iterable[str], domain: str) -> tuple[str, tuple[str, ...]]:
        found = self._inventory
        stands_for = found.alias_domains.get(domain)
        for key in candidates:
            alias = found.aliases.get(key)
            if alias is not None and alias.is_alive(self._now):
                return f"alias {key}", alias.targets
            if stands_for is not None and (targets := self._at_target(key, stands_for)):
                return f"alias domain {domain} → {stands_for.target}", targets
        covered = stands_for.target if stands_for and stands_for.covers_aliases else domain
        for name in (domain, covered):
            catch_all = found.catch_alls.get(name)
            if catch_all is not None and catch_all.is_alive(self._now):
                return f"catch-all @{name}", catch_all.targets
        return "", ()

    def _at_target(self, key: str, stands_for: AliasDomain) -> tuple[str, ...]:
        there = move(key, stands_for.target)
        alias = self._inventory.aliases.get(there)
        if stands_for.covers_aliases:
            return alias.targets if alias is not None and alias.is_alive(self._now) else ()
        return (there,) if self._is_mailbox(there) else ()

    def _mailbox(self, candidates: Iterable[str], stands_for: AliasDomain | None) -> str | None:
        for key in candidates:
            if self._is_mailbox(key):
                return key
            if stands_for and stands_for.covers_aliases:
                there = move(key, stands_for.target)
                if self._is_mailbox(there):
                    return there
        return None

    def _is_mailbox(self, key: str) -> bool:
        mailbox = self._inventory.mailboxes.get(key)
        return mailbox is not None and mailbox.active


def without_extension(key: str, delimiter: str) -> tuple[str, ...]:
    """The key, and the one without its extension where it has one."""
    local_part, _, domain = key.rpartition("@")
    base = local_part.partition(delimiter)[0] if delimiter else ""
    return (key, f"{base}@{domain}") if base and base != local_part else (key,)


def move(key: str, domain: str) -> str:
    """The same local part on another domain."""
    return f"{key.rpartition('@')[0]}@{domain}"


def answers(recipients: Collection[str], system: OldSystem) -> dict[str, OldAnswer]:
    """What the old system does with each recipient, by address key.

    It is asked once for each round of targets. Raises OldSystemFailed.
    """
    looks: dict[str, Look] = {}
    wanted = set(recipients)
    for _ in range(MAX_NESTING):
        new = system.look(wanted)
        looks.update(new)
        named = {goal for key, look in new.items() for goal in _goals(key, look)}
        wanted = named - looks.keys() - {DISCARD}
        if not wanted:
            break
    return {key: _answer(key, looks) for key in recipients}


def _goals(key: str, look: Look) -> tuple[str, ...]:
    targets = [move(key, each[1:]) if each.startswith("@") else each for each in look.targets]
    return (*targets, *look.copies)


def _answer(key: str, looks: Mapping[str, Look]) -> OldAnswer:
    look = looks[key]
    if look.domain is None:
        return OldAnswer(accepted=False, steps=("the domain is not served",))
    if not look.rule and look.mailbox is None and look.domain is not DomainKind.RELAYED_WHOLE:
        return OldAnswer(accepted=False, steps=("no such address",))
    walk = _Walk(looks)
    for each in (key, *look.copies):
        walk.follow(each)
    return OldAnswer(
        accepted=True,
        steps=tuple(walk.steps),
        destinations=frozenset(walk.destinations),
        lost=frozenset(walk.lost),
    )


class _Walk:
    """One recipient's way through the aliases; each address is followed once."""

    def __init__(self, looks: Mapping[str, Look]) -> None:
        self._looks = looks
        self._seen: set[str] = set()
        self.steps: list[str] = []
        self.destinations: set[str] = set()
        self.lost: set[str] = set()

    def follow(self, key: str) -> None:
        if key in self._seen:
            return None
        self._seen.add(key)
        look = self._looks.get(key) or Look()
        if not look.rule:
            return self._end(key, look)
        targets = _goals(key, Look(targets=look.targets))
        self.steps.append(f"{look.rule} → {', '.join(targets)}")
        for target in targets:
            if target == DISCARD:
                self.destinations.add(DISCARD)
            elif target == key:
                self._end(key, look)
            else:
                self.follow(target)
        return None

    def _end(self, key: str, look: Look) -> None:
        if look.domain is DomainKind.HOSTED and look.mailbox is None:
            self.lost.add(key)
            self.steps.append(f"{key} bounces: no such mailbox")
        elif look.mailbox is not None:
            self.destinations.add(look.mailbox)
            self.steps.append(f"mailbox {look.mailbox}")
        else:
            self.destinations.add(key)
            self.steps.append(f"{'relayed' if look.domain else 'forwarded'} to {key}")
