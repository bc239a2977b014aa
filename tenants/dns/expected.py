"""What a domain has to publish.

Rule of this file: one value per record kind, made of the domain and the platform's
own names alone. No look-up, no clock; whoever shows or judges a record starts here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

TXT_STRING_OCTETS = 255
"""Longest single string of a TXT record (RFC 1035 §3.3)."""

OWNERSHIP_PREFIX = "mailrouting-verification="
"""What an ownership value begins with, whoever's token follows."""


class Kind(StrEnum):
    """Kinds of records that are checked for a domain."""

    OWNERSHIP = "ownership"
    MX = "mx"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"


RULES = {
    Kind.OWNERSHIP: "One TXT record is exactly this; others beside it do not matter.",
    Kind.MX: "The MX records name these hosts and no others; preferences are free.",
    Kind.SPF: "Exactly one TXT record begins with v=spf1, and it is valid.",
    Kind.DKIM: "Exactly one TXT record holds this public key.",
    Kind.DMARC: "Exactly one TXT record begins with v=DMARC1, and it has a valid p=.",
}
"""How each kind is judged, in an operator's words."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One record set to publish, and what it is judged by.

    `name` is absolute, lower case, A-labels, without the final dot. `values` holds one
    text per record: a TXT value without quotes, an MX as "10 mx1.example.net.".
    `wanted` is what has to be found in an answer: the ownership value, the MX hosts, the
    domain to include (none: any valid policy will do), the public key.
    """

    kind: Kind
    name: str
    rdtype: str
    values: tuple[str, ...]
    wanted: tuple[str, ...] = ()

    @property
    def value(self) -> str:
        """The values as typed into a form of a DNS provider, one per line."""
        return "\n".join(self.values)

    @property
    def zone_lines(self) -> tuple[str, ...]:
        """The records as lines of a zone file, long TXT values split (RFC 1035 §5.1)."""
        data = map(quote_txt, self.values) if self.rdtype == "TXT" else self.values
        return tuple(f"{self.name}. IN {self.rdtype} {text}" for text in data)

    @property
    def rule(self) -> str:
        """How the record is judged, in an operator's words."""
        return RULES[self.kind]


def expected_records(
    domain: str,
    *,
    token: str,
    mx_hosts: Sequence[str],
    spf_include: str,
    dkim: Sequence[tuple[str, str]] = (),
) -> list[Expected]:
    """What `domain` (A-labels) has to publish, in the order in which it is set up.

    `dkim` holds pairs of selector and public key (base64, without white space); without
    keys nothing is expected of DKIM. `spf_include` may be empty.
    """
    name = normalise_name(domain)
    return [
        _ownership(name, token),
        _mx(name, mx_hosts),
        _spf(name, spf_include),
        *(_dkim(name, selector, key) for selector, key in dkim),
        _dmarc(name),
    ]


def zone_file(records: Iterable[Expected]) -> str:
    """Every record as a line of a zone file, in order; names are whole, so any origin will do."""
    return "\n".join(line for record in records for line in record.zone_lines)


def normalise_name(name: str) -> str:
    """A domain name in the form in which names are compared: lower case, no final dot."""
    return name.strip().rstrip(".").lower()


def quote_txt(value: str) -> str:
    """A TXT value as it stands in a zone file: quoted strings of at most 255 octets."""
    starts = range(0, len(value) or 1, TXT_STRING_OCTETS)
    parts = (value[start : start + TXT_STRING_OCTETS] for start in starts)
    return " ".join('"' + part.replace("\\", r"\\").replace('"', r"\"") + '"' for part in parts)


def _ownership(domain: str, token: str) -> Expected:
    value = OWNERSHIP_PREFIX + token
    return Expected(Kind.OWNERSHIP, f"_mailrouting.{domain}", "TXT", (value,), (value,))


def _mx(domain: str, hosts: Sequence[str]) -> Expected:
    names = tuple(normalise_name(host) for host in hosts)
    values = tuple(f"{10 * place} {name}." for place, name in enumerate(names, start=1))
    return Expected(Kind.MX, domain, "MX", values, names)


def _spf(domain: str, include: str) -> Expected:
    target = normalise_name(include)
    policy = f"v=spf1 include:{target} ~all" if target else "v=spf1 mx ~all"
    return Expected(Kind.SPF, domain, "TXT", (policy,), (target,) if target else ())


def _dkim(domain: str, selector: str, key: str) -> Expected:
    # A raw Ed25519 key has 32 octets, 44 characters in base64 (RFC 8463 §4).
    algorithm = "ed25519" if len(key) == 44 else "rsa"
    value = f"v=DKIM1; k={algorithm}; p={key}"
    name = f"{normalise_name(selector)}._domainkey.{domain}"
    return Expected(Kind.DKIM, name, "TXT", (value,), (algorithm, key))


def _dmarc(domain: str) -> Expected:
    return Expected(Kind.DMARC, f"_dmarc.{domain}", "TXT", ("v=DMARC1; p=none",))
