"""What a source holds, in words of our own: pure values, whatever tables they came from.

Nothing is dropped in silence: what cannot be taken over stands among `left`, with a sentence.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from gateway.routing.address import Address, AddressError, parse_domain

DISCARD = "/dev/null"  # as a target: the mail is thrown away


class DomainKind(StrEnum):
    """How the old system serves a domain."""

    HOSTED = "hosted"  # its mailboxes and aliases are listed
    RELAYED = "relayed"  # its recipients are listed, another server holds them
    RELAYED_WHOLE = "relayed whole"  # every recipient is taken, another server knows them


class OldHop(Struct, frozen=True):
    """A server that the old system hands a domain's mail to."""

    protocol: str  # "smtp" or "lmtp"
    host: str
    port: int


class OldDomain(Struct, frozen=True):
    name: str
    active: bool = True
    kind: DomainKind = DomainKind.HOSTED
    hop: OldHop | None = None  # None: where the mailboxes of the source are


class OldMailbox(Struct, frozen=True):
    key: str
    name: str = ""
    active: bool = True


class OldAlias(Struct, frozen=True):
    """Targets are address keys, `@domain` (the same local part there) or DISCARD."""

    key: str
    targets: tuple[str, ...]
    active: bool = True
    expires_at: datetime | None = None
    note: str = ""

    def is_alive(self, now: datetime) -> bool:
        return self.active and (self.expires_at is None or self.expires_at > now)


class AliasDomain(Struct, frozen=True):
    """Addresses at `name` stand for those at `target`; some systems mean mailboxes alone."""

    name: str
    target: str
    covers_aliases: bool = True


class SendAs(Struct, frozen=True):
    """That a mailbox may send as an address; both keys."""

    mailbox: str
    address: str


class Left(Struct, frozen=True):
    """Something that is not taken over: what it is in the source, and why."""

    what: str
    why: str


class Inventory(Struct):
    """Everything a source says about routing. Keys are address keys and A-labels."""

    domains: dict[str, OldDomain] = {}
    mailboxes: dict[str, OldMailbox] = {}
    aliases: dict[str, OldAlias] = {}
    alias_domains: dict[str, AliasDomain] = {}
    catch_alls: dict[str, OldAlias] = {}  # by domain
    copies: dict[str, tuple[str, ...]] = {}  # further recipients of what is sent to an address
    send_as: list[SendAs] = []
    left: list[Left] = []

    def addresses(self) -> set[str]:
        """The key of every address that the source names, without those of alias domains."""
        return self.mailboxes.keys() | self.aliases.keys()

    def leave(self, what: str, why: str) -> None:
        self.left.append(Left(what, why))

    def take_domain(
        self,
        name: str | None,
        *,
        active: bool = True,
        kind: DomainKind = DomainKind.HOSTED,
        hop: OldHop | None = None,
    ) -> None:
        domain = self._domain(f"domain {name}", name)
        if domain is not None:
            self.domains[domain] = OldDomain(domain, active, kind, hop)

    def take_mailbox(self, address: str | None, *, name: str | None, active: bool) -> None:
        key = self._key(f"mailbox {address}", address)
        if key is not None:
            self.mailboxes[key] = OldMailbox(key, (name or "")[:200], active)

    def take_alias(
        self,
        address: str | None,
        goto: Iterable[str],
        *,
        active: bool = True,
        expires_at: datetime | None = None,
        note: str = "",
    ) -> None:
        """An alias, or a catch-all where the address is `@domain`; targets as Postfix reads them.

        What is no target of ours is left, each with its reason; the alias keeps the others.
        """
        what = f"alias {address}"
        targets = self._targets(what, goto)
        if (address or "").startswith("@"):
            domain = self._domain(what, (address or "")[1:])
            if domain is not None and targets:
                self.catch_alls[domain] = OldAlias(f"@{domain}", targets, active, expires_at)
            return
        key = self._key(what, address)
        if key is not None and not targets:
            self.leave(what, "It has no target that could be taken over.")
        elif key is not None:
            self.aliases[key] = OldAlias(key, targets, active, expires_at, note)

    def take_alias_domain(
        self, name: str | None, target: str | None, *, covers_aliases: bool = True
    ) -> None:
        what = f"alias domain {name}"
        domain, other = self._domain(what, name), self._domain(what, target)
        if domain is not None and other is not None:
            self.alias_domains[domain] = AliasDomain(domain, other, covers_aliases)

    def take_copy(self, address: str | None, copy: str | None) -> None:
        what = f"copy of mail for {address} to {copy}"
        if (address or "").startswith("@"):
            return self.leave(what, "Copies are made for single addresses, not for a whole domain.")
        key, to = self._key(what, address), self._key(what, copy)
        if key is not None and to is not None:
            self.copies[key] = (*self.copies.get(key, ()), to)
        return None

    def take_send_as(self, mailbox: str | None, address: str | None) -> None:
        what = f"permission of {mailbox} to send as {address}"
        if (address or "").startswith("@") or address == "*":
            why = "Send-as is granted for single addresses, not for a whole domain or for all."
            return self.leave(what, why)
        key, other = self._key(what, mailbox), self._key(what, address)
        if key is not None and other is not None:
            self.send_as.append(SendAs(key, other))
        return None

    def _key(self, what: str, address: str | None) -> str | None:
        try:
            return Address.parse((address or "").strip()).key
        except AddressError as error:
            self.leave(what, str(error))
            return None

    def _domain(self, what: str, name: str | None) -> str | None:
        try:
            return parse_domain((name or "").strip())
        except AddressError as error:
            self.leave(what, str(error))
            return None

    def _targets(self, what: str, goto: Iterable[str]) -> tuple[str, ...]:
        targets: dict[str, None] = {}
        for text in filter(None, map(str.strip, goto)):
            target = self._target(f"{what}, target {text}", text)
            if target is not None:
                targets[target] = None
        return tuple(targets)

    def _target(self, what: str, text: str) -> str | None:
        if text == DISCARD:
            return DISCARD
        if text.startswith("@"):
            domain = self._domain(what, text[1:])
            return f"@{domain}" if domain else None
        if why := _no_address(text):
            self.leave(what, why)
            return None
        return self._key(what, text)


_PROGRAM = "Programs are not run here: let a mailbox's server do that."
_NO_TARGETS = {
    "|": _PROGRAM,
    '"|': _PROGRAM,
    "/": "Files are not written here: let a mailbox's server do that.",
    ":include:": "Lists in files are not read here: make an alias with the addresses as targets.",
}


def _no_address(text: str) -> str:
    """Why something that aliases(5) allows as a target is none here; empty for an address."""
    for sign, why in _NO_TARGETS.items():
        if text.startswith(sign):
            return why
    return "" if "@" in text else "A target needs its domain: write name@example.com."


def only_domains(inventory: Inventory, names: Sequence[str]) -> Inventory:
    """The part of an inventory that is about these domains; all of it where none is named."""
    if not names:
        return inventory
    wanted = frozenset(names)

    def is_wanted(key: str) -> bool:
        return key.rpartition("@")[2] in wanted

    return Inventory(
        domains={name: each for name, each in inventory.domains.items() if name in wanted},
        mailboxes={key: each for key, each in inventory.mailboxes.items() if is_wanted(key)},
        aliases={key: each for key, each in inventory.aliases.items() if is_wanted(key)},
        alias_domains={n: each for n, each in inventory.alias_domains.items() if n in wanted},
        catch_alls={name: each for name, each in inventory.catch_alls.items() if name in wanted},
        copies={key: each for key, each in inventory.copies.items() if is_wanted(key)},
        send_as=[each for each in inventory.send_as if is_wanted(each.mailbox)],
        left=[each for each in inventory.left if any(name in each.what for name in wanted)],
    )
