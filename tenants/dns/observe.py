"""From a list of expected records to findings.

Rule of this file: all input and output of a check, and no judging. Every record is asked
for first; what only words the advice is looked up with the time that is left. It is the outer
shell of a record's check: a zone whose answers trip us up leaves that record unknown, and no other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import structlog

from tenants.dns.answers import (
    Delegation,
    Lookup,
    LookupFailedError,
    NameServer,
    Outcome,
    PolicyFetcher,
    Resolver,
    ServerAnswer,
)
from tenants.dns.expected import Expected, Kind, normalise_name
from tenants.dns.judge import Finding, Hints, judge
from tenants.dns.mta_sts import judge_policy
from tenants.dns.records import State
from tenants.dns.spf_cost import count_cost, judge_cost

MOST_HINTED_HOSTS = 5
"""MX hosts that are looked up to tell aliases from hosts."""

BROKE_OFF = "The check of this record broke off, which changes nothing; our log says where."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Asked:
    expected: Expected
    delegation: Delegation
    answers: tuple[ServerAnswer, ...]
    trouble: str = ""


def observe(
    expected: Sequence[Expected], resolver: Resolver, policies: PolicyFetcher | None = None
) -> list[Finding]:
    """One finding per expected record of one domain, in their order. Raises nothing.

    Each name has its own zone cut: `_dmarc` or `_domainkey` may be delegated elsewhere. Without
    `policies` the file behind an MTA-STS record is not looked at.
    """
    lookup = resolver.begin()
    asked = [_ask(item, lookup) for item in expected]
    return [_judge(item, lookup, policies) for item in asked]


def _ask(expected: Expected, lookup: Lookup) -> _Asked:
    try:
        return _ask_servers(expected, lookup)
    except LookupFailedError as failure:
        trouble = f"The name servers of {expected.name} cannot be found out: {failure}."
    except Exception as error:  # noqa: BLE001 - the outer shell
        trouble = _report(expected, error)
    return _Asked(expected, Delegation("", ()), (), trouble)


def _ask_servers(expected: Expected, lookup: Lookup) -> _Asked:
    delegation = lookup.delegation(expected.name)
    answers = tuple(
        lookup.query(server, expected.name, expected.rdtype) for server in delegation.servers
    )
    return _Asked(expected, delegation, answers)


def _judge(asked: _Asked, lookup: Lookup, policies: PolicyFetcher | None) -> Finding:
    try:
        return _follow(_find(asked, lookup), lookup, policies)
    except Exception as error:  # noqa: BLE001 - the outer shell
        return Finding(asked.expected, State.UNKNOWN, advice=_report(asked.expected, error))


def _report(expected: Expected, error: Exception) -> str:
    """Log an error of ours; what the domain's page says of it."""
    record = f"{expected.name} {expected.rdtype}"
    log.error("check of a record broke off", record=record, exc_info=error)
    return BROKE_OFF


def _find(asked: _Asked, lookup: Lookup) -> Finding:
    plain = judge(asked.expected, asked.answers, Hints(trouble=asked.trouble))
    hints = _hints(asked, plain, lookup)
    return judge(asked.expected, asked.answers, hints) if hints else plain


def _follow(finding: Finding, lookup: Lookup, policies: PolicyFetcher | None) -> Finding:
    """The finding with what lies behind the record: includes of SPF, the file of MTA-STS."""
    if finding.kind is Kind.SPF and len(finding.found) == 1:
        cost = count_cost(finding.expected.name, finding.found[0], lookup.resolve)
        return judge_cost(finding, cost)
    if finding.kind is Kind.MTA_STS and finding.state is State.PRESENT and policies is not None:
        domain = finding.expected.name.removeprefix("_mta-sts.")
        return judge_policy(finding, policies.fetch(domain, lookup))
    return finding


def _hints(asked: _Asked, finding: Finding, lookup: Lookup) -> Hints | None:
    if finding.state is State.ABSENT:
        return _misplaced(asked, lookup)
    if finding.state is State.WRONG and finding.kind is Kind.MX:
        return _aliased(finding, lookup)
    return None


def _misplaced(asked: _Asked, lookup: Lookup) -> Hints | None:
    """The record at its name with the zone's name appended once more."""
    if not asked.delegation.zone:
        return None
    name = f"{asked.expected.name}.{asked.delegation.zone}"
    answer = _first_answer(asked.delegation.servers, name, asked.expected.rdtype, lookup)
    found = judge(replace(asked.expected, name=name), [answer] if answer else [])
    return Hints(misplaced_at=name) if found.state is State.PRESENT else None


def _aliased(finding: Finding, lookup: Lookup) -> Hints | None:
    hosts = [normalise_name(value.split()[-1]) for value in finding.found]
    foreign = [host for host in hosts if host and host not in finding.expected.wanted]
    pairs = ((host, _alias_of(host, lookup)) for host in foreign[:MOST_HINTED_HOSTS])
    aliases = tuple((host, target) for host, target in pairs if target)
    return Hints(aliases=aliases) if aliases else None


def _alias_of(host: str, lookup: Lookup) -> str:
    try:
        servers = lookup.delegation(host).servers
    except LookupFailedError:
        return ""
    answer = _first_answer(servers, host, "CNAME", lookup)
    return normalise_name(answer.records[0]) if answer and answer.records else ""


def _first_answer(
    servers: Sequence[NameServer], name: str, rdtype: str, lookup: Lookup
) -> ServerAnswer | None:
    answers = (lookup.query(server, name, rdtype) for server in servers)
    return next((answer for answer in answers if answer.outcome is not Outcome.FAILED), None)
