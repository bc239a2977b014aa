"""The running Postfix as the old system: its own postmap(1) asked for the maps in its main.cf.

postmap knows every kind of map (files, SQL, LDAP, socketmap, …), so what is compared is what mail
meets. One process for each map and round, however many addresses; nothing is written.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Self

from tenants.moving_in.inventory import DomainKind
from tenants.moving_in.postfix import Look, OldSystemFailed, without_extension
from tenants.moving_in.sources.values import split_targets

PARAMETERS = (
    "virtual_alias_maps",
    "virtual_alias_domains",
    "virtual_mailbox_domains",
    "virtual_mailbox_maps",
    "relay_domains",
    "relay_recipient_maps",
    "recipient_canonical_maps",
    "recipient_bcc_maps",
    "recipient_delimiter",
)
_BY_PATTERN = ("pcre:", "regexp:", "cidr:")  # these are asked for whole addresses alone
SECONDS = 60
SBIN = "/usr/sbin:/usr/local/sbin"

Run = Callable[[Sequence[str], str], "subprocess.CompletedProcess[str]"]


def parse_place(text: str) -> tuple[str, str]:
    """A name and a configuration directory, from `name=/directory`. Raises ValueError."""
    name, _, directory = (part.strip() for part in text.partition("="))
    if not name or not PurePosixPath(directory).is_absolute():
        raise ValueError(f"{text!r} has to have the form name=/etc/postfix")
    return name, directory


def run_program(command: Sequence[str], text: str) -> "subprocess.CompletedProcess[str]":
    """The program with this input. Raises OldSystemFailed where it cannot be run."""
    # Postfix's programs lie where an ordinary user's PATH does not look.
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', os.defpath)}:{SBIN}")
    try:
        return subprocess.run(
            [program or command[0], *command[1:]],
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OldSystemFailed(f"{command[0]}: {error}") from error


@dataclass
class LivePostfix:
    """An OldSystem that asks the maps of a Postfix on this machine."""

    maps: Mapping[str, tuple[str, ...]]  # by parameter: maps with their type, or plain domains
    config: tuple[str, ...] = ()
    run: Run = run_program
    _known: dict[str, dict[str, str | None]] = field(default_factory=dict)

    @classmethod
    def of(cls, config_directory: str = "", *, run: Run = run_program) -> Self:
        """The Postfix with this configuration directory, by postconf(1). Raises OldSystemFailed."""
        config = ("-c", config_directory) if config_directory else ()
        told = run(["postconf", *config, "-x", *PARAMETERS], "")
        if told.returncode:
            raise OldSystemFailed(told.stderr.strip() or "postconf failed")
        pairs = (line.partition("=") for line in told.stdout.splitlines())
        maps = {name.strip(): tuple(_items(value)) for name, _, value in pairs}
        return cls(maps, config, run)

    @classmethod
    def named(cls, name: str, places: Mapping[str, str], *, run: Run = run_program) -> Self:
        """The Postfix of this name among configured places. Raises OldSystemFailed."""
        if name not in places:
            raise OldSystemFailed(f"No Postfix is named {name} in the worker's SHADOW_POSTFIX.")
        return cls.of(places[name], run=run)

    @property
    def delimiter(self) -> str:
        return "".join(self.maps.get("recipient_delimiter", ()))[:1]

    def look(self, keys: Collection[str]) -> Mapping[str, Look]:
        """See OldSystem. Cost: one postmap for each map that is asked."""
        domains = {key.rpartition("@")[2] for key in keys}
        kinds = self._kinds(domains)
        self._ask_all(("virtual_alias_maps", "recipient_canonical_maps"), keys, partial=True)
        for name in ("virtual_mailbox_maps", "relay_recipient_maps", "recipient_bcc_maps"):
            self._ask_all((name,), keys, partial=True)
        return {key: self._look(key, kinds) for key in keys}

    def _look(self, key: str, kinds: Mapping[str, DomainKind]) -> Look:
        domain = key.rpartition("@")[2]
        rule, targets = self._targets(key)
        kind = kinds.get(domain)
        copies = self._find("recipient_bcc_maps", key)
        return Look(
            domain=self._served(kind),
            mailbox=self._mailbox(key, kind),
            rule=rule or self._listed(key, kind),
            targets=targets or ((key,) if self._listed(key, kind) else ()),
            copies=tuple(_items(copies[1])) if copies else (),
        )

    def _served(self, kind: DomainKind | None) -> DomainKind | None:
        """Without a list of recipients every one of the class is taken."""
        if kind is DomainKind.RELAYED and not self.maps.get("relay_recipient_maps"):
            return DomainKind.RELAYED_WHOLE
        if kind is DomainKind.HOSTED and not self.maps.get("virtual_mailbox_maps"):
            return DomainKind.RELAYED_WHOLE
        return kind

    def _targets(self, key: str) -> tuple[str, tuple[str, ...]]:
        for name in ("recipient_canonical_maps", "virtual_alias_maps"):
            if found := self._find(name, key):
                return f"{name} {found[0]}", tuple(split_keys(found[1]))
        return "", ()

    def _mailbox(self, key: str, kind: DomainKind | None) -> str | None:
        if kind is not DomainKind.HOSTED:
            return None
        found = self._find("virtual_mailbox_maps", key)
        return (key if found[0].startswith("@") else found[0]) if found else None

    def _listed(self, key: str, kind: DomainKind | None) -> str:
        found = self._find("relay_recipient_maps", key) if kind is DomainKind.RELAYED else None
        return f"relay_recipient_maps {found[0]}" if found else ""

    def _find(self, parameter: str, key: str) -> tuple[str, str] | None:
        """The first key that has a value, as Postfix looks them up: whole, base, @domain."""
        for each in _partial(key, self.delimiter):
            for name in self.maps.get(parameter, ()):
                value = self._known.get(name, {}).get(each)
                if value is not None:
                    return each, value
        return None

    def _kinds(self, domains: Iterable[str]) -> dict[str, DomainKind]:
        classes = (
            ("relay_domains", DomainKind.RELAYED),
            ("virtual_alias_domains", DomainKind.HOSTED),
            ("virtual_mailbox_domains", DomainKind.HOSTED),
        )
        kinds = {}
        for parameter, kind in classes:
            self._ask_all((parameter,), domains, partial=False)
            for domain in domains:
                is_plain = domain in self.maps.get(parameter, ())
                if is_plain or self._find_domain(parameter, domain):
                    kinds[domain] = kind
        return kinds

    def _find_domain(self, parameter: str, domain: str) -> bool:
        maps = self.maps.get(parameter, ())
        return any(self._known.get(name, {}).get(domain) is not None for name in maps)

    def _ask_all(self, parameters: Iterable[str], keys: Iterable[str], *, partial: bool) -> None:
        for parameter in parameters:
            for name in self.maps.get(parameter, ()):
                if ":" not in name:
                    continue
                is_whole = not partial or name.removeprefix("proxy:").startswith(_BY_PATTERN)
                self._ask(name, self._expanded(keys, is_whole=is_whole))

    def _expanded(self, keys: Iterable[str], *, is_whole: bool) -> set[str]:
        if is_whole:
            return set(keys)
        return {each for key in keys for each in _partial(key, self.delimiter)}

    def _ask(self, name: str, keys: set[str]) -> None:
        known = self._known.setdefault(name, {})
        wanted = sorted(keys - known.keys())
        if not wanted:
            return
        told = self.run(["postmap", *self.config, "-q", "-", name], "\n".join(wanted) + "\n")
        if told.returncode and told.stderr.strip():
            raise OldSystemFailed(told.stderr.strip().splitlines()[-1])
        known.update(dict.fromkeys(wanted))
        for line in told.stdout.splitlines():
            key, _, value = line.partition("\t")
            known[key] = value


def _partial(key: str, delimiter: str) -> tuple[str, ...]:
    return (*without_extension(key, delimiter), f"@{key.rpartition('@')[2]}")


def _items(value: str) -> list[str]:
    return value.replace(",", " ").split()


def split_keys(value: str) -> list[str]:
    """The targets of an entry, folded as keys are."""
    return [text.strip().lower() for text in split_targets(value) if text.strip()]
