"""What one server's records of a kind are worth.

Rule of this file: values in, verdict out. A verdict is present, absent or wrong, never
unknown, and its sentence names the mend in an operator's words.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tenants.dns.expected import OWNERSHIP_PREFIX, Expected, Kind, normalise_name

SPF_LOOKUP_LIMIT = 10
"""Terms of an SPF record that may cause look-ups (RFC 7208 §4.6.4)."""


class State(StrEnum):
    """How a record that was looked for stands."""

    PRESENT = "present"
    ABSENT = "absent"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The worth of one server's records: state, the values that matter, the mend."""

    state: State
    found: tuple[str, ...] = ()
    advice: str = ""


def assess(expected: Expected, values: Sequence[str]) -> Verdict:
    """Judge the records of one server (text as in `ServerAnswer.records`)."""
    return _ASSESSORS[expected.kind](expected, tuple(values))


def assess_ownership(expected: Expected, values: tuple[str, ...]) -> Verdict:
    """Our token among the TXT values, whatever else a wildcard puts there."""
    claims = _starting_with(OWNERSHIP_PREFIX, values)
    # Some forms keep the quotes that an operator typed as part of the value.
    if set(expected.wanted) & {claim.strip().strip('"').strip() for claim in claims}:
        return Verdict(State.PRESENT, claims)
    if claims:
        advice = f"Replace the value at {expected.name}: it carries another token."
        return Verdict(State.WRONG, claims, advice)
    return Verdict(State.ABSENT, values)


def assess_mx(expected: Expected, values: tuple[str, ...]) -> Verdict:
    """Our hosts and no others (RFC 5321 §5.1, null MX by RFC 7505)."""
    if not values:
        return Verdict(State.ABSENT)
    hosts = [normalise_name(value.split()[-1]) for value in values]
    foreign = [host for host in hosts if host not in expected.wanted]
    if foreign:
        return Verdict(State.WRONG, values, _foreign_mx_advice(expected, hosts, foreign))
    missing = ", ".join(host for host in expected.wanted if host not in hosts)
    return Verdict(State.PRESENT, values, f"Add an MX record for {missing}." if missing else "")


def _foreign_mx_advice(expected: Expected, hosts: list[str], foreign: list[str]) -> str:
    ours = ", ".join(expected.wanted)
    if "" in foreign:
        return f"Take out the null MX (0 .), which says that no mail is taken; publish {ours}."
    if address := next(filter(_is_ip_address, foreign), None):
        return f"Replace {address} by a host name: an MX cannot name an address; publish {ours}."
    for host in foreign:
        if host.startswith(tuple(f"{name}." for name in expected.wanted)):
            return f"End the host name with a dot: the zone's name was added to it ({host})."
    others = ", ".join(foreign)
    if len(foreign) < len(hosts):
        return f"Take out the MX records of {others}: mail sent there never arrives here."
    return f"Point MX to {ours} instead of {others}."


def assess_spf(expected: Expected, values: tuple[str, ...]) -> Verdict:
    """One valid SPF policy that passes the wanted domain (RFC 7208 §4.5, §4.6)."""
    policies = tuple(value for value in values if is_spf(value))
    if not policies:
        return Verdict(State.ABSENT)
    if len(policies) > 1:
        advice = f"Merge the {len(policies)} SPF records into one: several make SPF fail for all."
        return Verdict(State.WRONG, policies, advice)
    terms = policies[0].split(" ")[1:]
    if broken := _first_spf_error(terms):
        return Verdict(State.WRONG, policies, f'Correct "{broken}" in the SPF record.')
    for target in expected.wanted:
        if not _passes_spf(terms, target):
            advice = f"Put include:{target} into the SPF record, before its all term."
            return Verdict(State.WRONG, policies, advice)
    return Verdict(State.PRESENT, policies, _spf_note(terms))


_SPF_DIRECTIVE = re.compile(
    r"[-+?~]?(?:all"
    r"|(?P<lookup>(?:include|exists):\S+"
    r"|(?:a|mx)(?::[^\s/]\S*)?(?:/\d{1,2})?(?://\d{1,3})?"
    r"|ptr(?::\S+)?)"
    r"|ip4:(?P<ip4>[\d./]+)"
    r"|ip6:(?P<ip6>[\da-f:./]+))",
    re.IGNORECASE,
)
_SPF_MODIFIER = re.compile(r"(?P<name>[a-z][a-z0-9_.-]*)=\S*", re.IGNORECASE)


def is_spf(value: str) -> bool:
    """Whether a TXT value is an SPF record (RFC 7208 §4.5)."""
    return value.lower() == "v=spf1" or value.lower().startswith("v=spf1 ")


def _first_spf_error(terms: Sequence[str]) -> str | None:
    once: set[str] = set()
    for term in filter(None, terms):
        modifier = _SPF_MODIFIER.fullmatch(term)
        name = modifier["name"].lower() if modifier else ""
        if name in once or not (modifier or _is_spf_directive(term)):
            return term
        once |= {name} & {"redirect", "exp"}
    return None


def _is_spf_directive(term: str) -> bool:
    match = _SPF_DIRECTIVE.fullmatch(term)
    if match is None:
        return False
    if match["ip4"]:
        return _is_network(match["ip4"], 4)
    return not match["ip6"] or _is_network(match["ip6"], 6)


def _passes_spf(terms: Sequence[str], target: str) -> bool:
    """Whether `target` is included with a pass, or redirected to, and is ever reached."""
    for term in map(str.lower, terms):
        head, _, domain = term.removeprefix("+").partition(":")
        if head == "include" and normalise_name(domain) == target:
            return True
        if _is_all(term):
            return False
    redirects = [term[9:] for term in map(str.lower, terms) if term.startswith("redirect=")]
    return any(normalise_name(domain) == target for domain in redirects)


def _is_all(term: str) -> bool:
    return term.lower().lstrip("+-~?") == "all"


def _spf_note(terms: Sequence[str]) -> str:
    if any(term.lower() in ("all", "+all") for term in terms):
        return "Replace +all by ~all: as it stands anybody may send in the domain's name."
    matches = (_SPF_DIRECTIVE.fullmatch(term) for term in terms)
    count = sum(bool(match and match["lookup"]) for match in matches)
    count += sum(term.lower().startswith("redirect=") for term in terms)
    if count > SPF_LOOKUP_LIMIT:
        return f"Shorten the SPF record: {count} terms cause look-ups, {SPF_LOOKUP_LIMIT} may."
    return ""


def assess_dkim(expected: Expected, values: tuple[str, ...]) -> Verdict:
    """The one key record with our public key (RFC 6376 §3.6.1)."""
    algorithm, key = expected.wanted
    keys = tuple(value for value in values if _is_dkim_key(value))
    if not keys:
        return Verdict(State.ABSENT)
    if len(keys) > 1:
        return Verdict(State.WRONG, keys, f"Keep one key record at {expected.name}.")
    tags = parse_tags(keys[0])
    published = "".join(tags["p"].split())
    if published == "":
        return Verdict(State.WRONG, keys, "Publish the key again: an empty p= revokes it.")
    if not _is_tag_list(keys[0]) or tags.get("k", "rsa").lower() != algorithm:
        advice = f"Correct the key record: it begins with v=DKIM1; k={algorithm}."
        return Verdict(State.WRONG, keys, advice)
    if published != key:
        return Verdict(State.WRONG, keys, f"Replace the key at {expected.name}: it is another.")
    testing = "y" in tags.get("t", "").split(":")
    note = "Take out t=y: while it stands, receivers ignore the signatures." if testing else ""
    return Verdict(State.PRESENT, keys, note)


_TAG = re.compile(r"\s*[A-Za-z][A-Za-z0-9_]*\s*=[^;]*")


def _is_tag_list(value: str) -> bool:
    parts = (part for part in value.split(";") if part.strip())
    return all(_TAG.fullmatch(part) for part in parts)


def _is_dkim_key(value: str) -> bool:
    tags = parse_tags(value)
    return "p" in tags and tags.get("v", "DKIM1") == "DKIM1"


def assess_dmarc(expected: Expected, values: tuple[str, ...]) -> Verdict:
    """The one valid policy (RFC 9989: one record, v first, p one of three words)."""
    policies = tuple(value for value in values if _DMARC_VERSION.match(value))
    if not policies:
        return Verdict(State.ABSENT)
    if len(policies) > 1:
        advice = f"Keep one DMARC record at {expected.name}: several count as none."
        return Verdict(State.WRONG, policies, advice)
    tags = parse_tags(policies[0])
    if tags.get("p", "").lower() not in _DMARC_POLICIES:
        advice = "Add p=none, p=quarantine or p=reject to the DMARC record."
        return Verdict(State.WRONG, policies, advice)
    return Verdict(State.PRESENT, policies, _dmarc_note(tags))


_DMARC_VERSION = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)")
_DMARC_POLICIES = ("none", "quarantine", "reject")
_DMARC_CHOICES = {
    "sp": _DMARC_POLICIES,
    "np": _DMARC_POLICIES,
    "adkim": ("r", "s"),
    "aspf": ("r", "s"),
    "t": ("y", "n"),
    "psd": ("y", "n", "u"),
}
_DMARC_GONE = ("pct", "rf", "ri")


def _dmarc_note(tags: dict[str, str]) -> str:
    for name, choices in _DMARC_CHOICES.items():
        if tags.get(name, choices[0]).lower() not in choices:
            return f"Correct {name}= in the DMARC record ({', '.join(choices)}): it is ignored."
    if gone := ", ".join(name for name in _DMARC_GONE if name in tags):
        return f"Take {gone} out of the DMARC record: RFC 9989 dropped it (t=y means testing)."
    return " ".join(filter(None, (_reports_note(tags), _policy_note(tags))))


def _reports_note(tags: dict[str, str]) -> str:
    if tags.get("rua"):
        return ""
    return "Add rua=mailto:… to the DMARC record: without reports nobody learns what fails."


def _policy_note(tags: dict[str, str]) -> str:
    """The next step from none over quarantine to reject."""
    policy = tags["p"].lower()
    if tags.get("t", "n").lower() == "y":
        return "Take out t=y once the reports show that your own mail passes: it asks for less."
    if policy == "none":
        return (
            "Go on to p=quarantine once some weeks of reports show that your own mail passes: "
            "p=none stops nothing."
        )
    if policy == "quarantine":
        return "Go on to p=reject once nothing of your own is quarantined any more."
    weaker = _DMARC_POLICIES[: _DMARC_POLICIES.index(policy)]
    weak = next((name for name in ("sp", "np") if tags.get(name, policy).lower() in weaker), "")
    return f"Take out {weak}={tags[weak]}: subdomains are open to forgery." if weak else ""


def assess_mta_sts(expected: Expected, values: tuple[str, ...]) -> Verdict:
    """The one record that says that there is a policy (RFC 8461 §3.1)."""
    records = tuple(value for value in values if _MTA_STS_VERSION.match(value))
    if not records:
        return Verdict(State.ABSENT)
    if len(records) > 1:
        advice = f"Keep one MTA-STS record at {expected.name}: several count as none."
        return Verdict(State.WRONG, records, advice)
    if not _MTA_STS_ID.fullmatch(parse_tags(records[0]).get("id", "")):
        advice = "Add an id of up to 32 letters and digits to the MTA-STS record."
        return Verdict(State.WRONG, records, advice)
    return Verdict(State.PRESENT, records)


def assess_tls_rpt(expected: Expected, values: tuple[str, ...]) -> Verdict:
    """The one record that says where TLS reports go (RFC 8460 §3)."""
    records = tuple(value for value in values if _TLS_RPT_VERSION.match(value))
    if not records:
        return Verdict(State.ABSENT)
    if len(records) > 1:
        advice = f"Keep one TLS-RPT record at {expected.name}: several count as none."
        return Verdict(State.WRONG, records, advice)
    places = [place.strip() for place in parse_tags(records[0]).get("rua", "").split(",")]
    if not all(place.startswith(("mailto:", "https://")) for place in places):
        return Verdict(State.WRONG, records, "Add rua=mailto:… to the TLS-RPT record.")
    return Verdict(State.PRESENT, records)


_MTA_STS_VERSION = re.compile(r"v=STSv1[ \t]*(?:;|$)")
_MTA_STS_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_TLS_RPT_VERSION = re.compile(r"v=TLSRPTv1[ \t]*(?:;|$)")


def parse_tags(value: str) -> dict[str, str]:
    """The tags of a tag=value list (RFC 6376 §3.2), names in lower case, the first of each.

    Parts without an equals sign are passed over, as RFC 9989 wants it of DMARC.
    """
    pairs = [part.partition("=") for part in value.split(";") if "=" in part]
    return {name.strip().lower(): text.strip() for name, _, text in reversed(pairs)}


def _starting_with(prefix: str, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(value for value in values if value.strip().strip('"').startswith(prefix))


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_network(text, strict=False).version == version
    except ValueError:
        return False


_ASSESSORS: dict[Kind, Callable[[Expected, tuple[str, ...]], Verdict]] = {
    Kind.OWNERSHIP: assess_ownership,
    Kind.MX: assess_mx,
    Kind.SPF: assess_spf,
    Kind.DKIM: assess_dkim,
    Kind.DMARC: assess_dmarc,
    Kind.MTA_STS: assess_mta_sts,
    Kind.TLS_RPT: assess_tls_rpt,
}
