"""What a domain has to publish.

Rule of this file: one value per record kind, made of the domain and the platform's
own names alone. No look-up, no clock; whoever shows or judges a record starts here.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

TXT_STRING_OCTETS = 255
"""Longest single string of a TXT record (RFC 1035 §3.3)."""

POLICY_SECONDS = 604_800
"""A week: how long senders keep to an MTA-STS policy without fetching it anew."""

OWNERSHIP_PREFIX = "mailrouting-verification="
"""What an ownership value begins with, whoever's token follows."""


class Kind(StrEnum):
    """Kinds of records that are checked for a domain."""

    OWNERSHIP = "ownership"
    MX = "mx"
    SPF = "spf"
    DKIM = "dkim"
    DMARC = "dmarc"
    MTA_STS = "mta-sts"
    TLS_RPT = "tls-rpt"


OPTIONAL_KINDS = (Kind.MTA_STS, Kind.TLS_RPT)
"""Kinds that a domain does well without; what is said about them is advice."""


RULES = {
    Kind.OWNERSHIP: "One TXT record is exactly this; others beside it do not matter.",
    Kind.MX: "The MX records name these hosts and no others; preferences are free.",
    Kind.SPF: "Exactly one TXT record begins with v=spf1, and it is valid.",
    Kind.DKIM: "Exactly one TXT record holds this public key.",
    Kind.DMARC: "Exactly one TXT record begins with v=DMARC1, and it has a valid p=.",
    Kind.MTA_STS: "One TXT record with an id, and the policy file below at its address.",
    Kind.TLS_RPT: "One TXT record says where senders report TLS that failed.",
}
"""How each kind is judged, in an operator's words."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One record set to publish, and what it is judged by.

    `name` is absolute, lower case, A-labels, without the final dot. `values` holds one
    text per record: a TXT value without quotes, an MX as "10 mx1.example.net.".
    `wanted` is what has to be found in an answer: the ownership value, the MX hosts (for
    MTA-STS in its policy), the domain to include (none: any valid policy will do), the public key.
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
        _mta_sts(name, mx_hosts),
        _tls_rpt(name),
    ]


def policy_url(domain: str) -> str:
    """Where a domain's MTA-STS policy is fetched (RFC 8461 §3.2)."""
    return f"https://mta-sts.{normalise_name(domain)}/.well-known/mta-sts.txt"


def policy_file(mx_hosts: Sequence[str]) -> str:
    """The MTA-STS policy that names these hosts; testing, until reports show that all is well."""
    hosts = [f"mx: {normalise_name(host)}" for host in mx_hosts]
    lines = ["version: STSv1", "mode: testing", *hosts, f"max_age: {POLICY_SECONDS}"]
    return "\n".join(lines) + "\n"


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
    policy = f"v=DMARC1; p=none; rua=mailto:postmaster@{domain}"
    return Expected(Kind.DMARC, f"_dmarc.{domain}", "TXT", (policy,))


def _mta_sts(domain: str, hosts: Sequence[str]) -> Expected:
    # Senders fetch the file anew when the id is another one, so it is made of the file.
    identifier = hashlib.sha256(policy_file(hosts).encode()).hexdigest()[:16]
    wanted = tuple(normalise_name(host) for host in hosts)
    value = f"v=STSv1; id={identifier}"
    return Expected(Kind.MTA_STS, f"_mta-sts.{domain}", "TXT", (value,), wanted)


def _tls_rpt(domain: str) -> Expected:
    value = f"v=TLSRPTv1; rua=mailto:postmaster@{domain}"
    return Expected(Kind.TLS_RPT, f"_smtp._tls.{domain}", "TXT", (value,))
