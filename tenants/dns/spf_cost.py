"""How many look-ups an SPF record makes a receiver do, through its includes.

Rule of this file: counts and judges; whoever calls hands in the way to ask. The worst case is
counted: a receiver stops at the first term that matches.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from tenants.dns.answers import Outcome, ServerAnswer
from tenants.dns.expected import normalise_name
from tenants.dns.judge import Finding
from tenants.dns.records import SPF_LOOKUP_LIMIT, State, is_spf

VOID_LIMIT = 2
"""Look-ups that may come back empty (RFC 7208 §4.6.4)."""

MOST_COUNTED = 30
"""Counting ends here: a hostile zone must not keep a check busy."""

TOO_MANY = (
    f"Shorten the SPF record: receivers look up {SPF_LOOKUP_LIMIT} times at most, and then SPF "
    "fails for all mail. Take out includes of services no longer used, or put ip4 and ip6 in "
    "place of a and mx."
)
MOSTLY_VOID = (
    f"Take out what finds nothing in the SPF record: from {VOID_LIMIT + 1} such look-ups on, "
    "receivers may let SPF fail."
)

Ask = Callable[[str, str], ServerAnswer]

_COSTLY = ("include", "a", "mx", "ptr", "exists", "redirect")


@dataclass(slots=True)
class SpfCost:
    """What an SPF record costs: look-ups and, among them, those that come back empty.

    `broken` names a term whose domain has no single SPF record, which makes SPF fail;
    `unknown` is whether something could not be asked.
    """

    lookups: int = 0
    voids: int = 0
    broken: str = ""
    unknown: bool = False
    passed: set[str] = field(default_factory=set)

    @property
    def told(self) -> str:
        """The figures, in an operator's words."""
        count = f"{self.lookups} or more" if self.lookups >= MOST_COUNTED else f"{self.lookups}"
        least = "At least " if self.unknown else ""
        return (
            f"{least}{count} of {SPF_LOOKUP_LIMIT} look-ups, "
            f"{self.voids} of {VOID_LIMIT} that find nothing."
        )


def count_cost(domain: str, record: str, ask: Ask) -> SpfCost:
    """The cost of a domain's SPF record, its includes and redirects followed."""
    cost = SpfCost()
    _count(cost, normalise_name(domain), record, ask)
    return cost


def judge_cost(finding: Finding, cost: SpfCost) -> Finding:
    """The finding with what the look-ups mean for it; too many make a record useless."""
    told = replace(finding, note=cost.told)
    if finding.state is not State.PRESENT:
        return told
    if any(target in cost.broken for target in finding.expected.wanted):
        advice = f"Publish the SPF record that {cost.broken} asks for: it belongs to this platform."
        return replace(told, advice=advice)
    if cost.broken:
        advice = f"Take {cost.broken} out of the SPF record: no SPF record is there, so SPF fails."
        return replace(told, state=State.WRONG, advice=advice)
    if cost.lookups > SPF_LOOKUP_LIMIT:
        return replace(told, state=State.WRONG, advice=TOO_MANY)
    if cost.voids > VOID_LIMIT:
        return replace(told, advice=f"{finding.advice} {MOSTLY_VOID}".strip())
    return told


def _count(cost: SpfCost, domain: str, record: str, ask: Ask) -> None:
    for term, name, target in _costly_terms(record):
        if cost.lookups >= MOST_COUNTED:
            return
        cost.lookups += 1
        place = normalise_name(target or domain)
        if "%" in place or name == "ptr":
            continue  # what is asked depends on the message
        if name in ("include", "redirect"):
            _count_inside(cost, term, place, ask)
        else:
            _count_void(cost, place, "MX" if name == "mx" else "A", ask)


def _count_inside(cost: SpfCost, term: str, place: str, ask: Ask) -> None:
    answer = ask(place, "TXT")
    cost.unknown |= answer.outcome is Outcome.FAILED
    cost.voids += answer.outcome is Outcome.ABSENT
    records = [value for value in answer.records if is_spf(value)]
    if answer.outcome is not Outcome.FAILED and len(records) != 1:
        cost.broken = cost.broken or term
    if len(records) == 1:
        _count(cost, place, records[0], ask)


def _count_void(cost: SpfCost, place: str, rdtype: str, ask: Ask) -> None:
    answer = ask(place, rdtype)
    if rdtype == "A" and answer.outcome is Outcome.ABSENT:
        answer = ask(place, "AAAA")
    cost.voids += answer.outcome is Outcome.ABSENT
    cost.unknown |= answer.outcome is Outcome.FAILED


def _costly_terms(record: str) -> Iterator[tuple[str, str, str]]:
    """The terms that cause a look-up, up to `all`: as written, their name, their domain or ""."""
    terms = [term for term in record.split(" ")[1:] if term]
    names = [_name_of(term) for term in terms]
    has_all = "all" in names
    for term, name in zip(terms, names, strict=True):
        if name == "all":
            return
        if name in _COSTLY and not (name == "redirect" and has_all):
            target = term.lower().partition("=" if name == "redirect" else ":")[2]
            yield term, name, target.partition("/")[0]


def _name_of(term: str) -> str:
    bare = term.lower().lstrip("+-~?")
    for mark in ":/=":
        bare = bare.partition(mark)[0]
    return bare
