"""DMARC by RFC 9989: the tree walk, the organisational domain, the policy that applies.

A walk asks at most eight names. Records are judged by their tags alone; a look-up that fails ends
the walk with DnsTrouble.
"""

import re
from functools import lru_cache

from msgspec import Struct

from gateway.inspection.resolver import Resolver
from gateway.routing.authentication import Policy

MOST_LABELS = 8
LONGEST_OCTETS = 4096
_RUA = re.compile(r"mailto:[^\s,!@]+@[^\s,!@]+", re.IGNORECASE)
_RELAXED, _STRICT = "r", "s"


class Record(Struct, frozen=True):
    """A DMARC policy record; `subdomains` and `absent` are sp and np, where they are set."""

    domain: str
    policy: Policy | None  # None: the record counts for the walk, but no policy can be read
    subdomains: Policy | None = None
    absent: Policy | None = None
    is_suffix: bool = False  # psd=y
    is_organisation: bool = False  # psd=n
    is_test: bool = False
    is_dkim_strict: bool = False
    is_spf_strict: bool = False


class Walk(Struct, frozen=True):
    """What one tree walk found, from the longest name to the shortest (§4.10)."""

    start: str
    records: tuple[Record, ...]

    @property
    def organisation(self) -> str:
        """The organisational domain (§4.10.2); the start itself where no record tells."""
        for record in self.records:
            if record.is_organisation:
                return record.domain
            if record.is_suffix and record.domain != self.start:
                labels = self.start.split(".")
                return ".".join(labels[-(record.domain.count(".") + 2) :])
        return self.records[-1].domain if self.records else self.start

    @property
    def record(self) -> Record | None:
        """The record that applies to mail of the start (§4.10.1), of three places the nearest."""
        by_domain = {record.domain: record for record in self.records}
        own = by_domain.get(self.start) or by_domain.get(self.organisation)
        return own or next((record for record in self.records if record.is_suffix), None)


def walk_names(domain: str) -> list[str]:
    """The names a walk asks about: the domain, then up from at most seven labels (§4.10)."""
    labels = domain.split(".")
    above = labels[1:] if len(labels) < MOST_LABELS else labels[-(MOST_LABELS - 1) :]
    return [domain, *(".".join(above[start:]) for start in range(len(above)))]


async def walk(domain: str, resolver: Resolver) -> Walk:
    """Ask up the tree until a record says that it stands at the top. Raises DnsTrouble."""
    records: list[Record] = []
    for name in walk_names(domain):
        answer = await resolver.ask(f"_dmarc.{name}", "TXT")
        found = [record for text in answer.records if (record := parse(name, text))]
        if len(found) != 1:
            continue
        records += found
        if found[0].is_organisation or (found[0].is_suffix and name != domain):
            break
    return Walk(domain, tuple(records))


@lru_cache(maxsize=4096)
def parse(domain: str, text: str) -> Record | None:
    """The record at a domain; None for a text that is no DMARC record (§4.7, §4.8), or endless."""
    tags = _tags(text) if len(text) <= LONGEST_OCTETS else None
    if tags is None:
        return None
    return Record(
        domain,
        policy=_requested(tags),
        subdomains=_policy(tags.get("sp")),
        absent=_policy(tags.get("np")),
        is_suffix=tags.get("psd", "").lower() == "y",
        is_organisation=tags.get("psd", "").lower() == "n",
        is_test=tags.get("t", "").lower() == "y",
        is_dkim_strict=tags.get("adkim", _RELAXED).lower() == _STRICT,
        is_spf_strict=tags.get("aspf", _RELAXED).lower() == _STRICT,
    )


def applied_policy(record: Record, author_domain: str, *, exists: bool) -> Policy:
    """What the record wants for the author's domain: p, sp or np, one step milder in a test."""
    policy = record.policy or Policy.NONE
    if record.domain != author_domain:
        policy = record.subdomains or policy
        if not exists:
            policy = record.absent or policy
    if record.is_test:
        return Policy.QUARANTINE if policy is Policy.REJECT else Policy.NONE
    return policy


def _tags(text: str) -> dict[str, str] | None:
    first, *rest = text.split(";")
    name, _, version = first.partition("=")
    if name.strip() != "v" or version.strip() != "DMARC1":
        return None
    tags: dict[str, str] = {}
    for item in rest:
        name, equals, value = item.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    return tags


def _requested(tags: dict[str, str]) -> Policy | None:
    """p, or none where it is not set; None where p, sp or np is broken and no report is wanted."""
    given = [tags[name] for name in ("p", "sp", "np") if name in tags]
    if all(map(_policy, given)):
        return _policy(tags.get("p")) or Policy.NONE
    return Policy.NONE if _RUA.match(tags.get("rua", "")) else None


def _policy(text: str | None) -> Policy | None:
    try:
        return Policy((text or "").lower())
    except ValueError:
        return None
