"""What an MTA-STS policy file is worth (RFC 8461 §3.2).

Rule of this file: pure. The TXT record is judged as any other; this adds what its file says.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tenants.dns.answers import Outcome, PolicyAnswer
from tenants.dns.expected import normalise_name, policy_url
from tenants.dns.judge import Finding
from tenants.dns.records import State

LONGEST_SECONDS = 31_557_600
SHORT_SECONDS = 86_400
"""A policy that is kept for less than a day protects little (RFC 8461 §3.2 asks for weeks)."""

_LINE = re.compile(r"(?P<key>[A-Za-z0-9][A-Za-z0-9_.-]{0,31}):[ \t]*(?P<value>.*?)[ \t]*")
MODES = ("enforce", "testing", "none")


class PolicyError(ValueError):
    """A policy file that senders cannot use; the text says how to mend it."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What senders are asked to do, for how long, and for which MX hosts."""

    mode: str
    max_age_seconds: int
    hosts: tuple[str, ...] = ()

    def covers(self, host: str) -> bool:
        """Whether a host is named; a leading *. stands for exactly one label (RFC 8461 §4.1)."""
        above = host.partition(".")[2]
        return host in self.hosts or f"*.{above}" in self.hosts


def parse_policy(text: str) -> Policy:
    """A policy out of its file. Raises PolicyError."""
    fields: dict[str, list[str]] = {}
    for line in filter(None, map(_printable, re.split(r"\r?\n", text))):
        match = _LINE.fullmatch(line)
        if match is None:
            raise PolicyError(f"Correct the line “{line[:60]}” of the policy file.")
        fields.setdefault(match["key"], []).append(match["value"])
    first = {key: values[0] for key, values in fields.items()}
    if first.get("version") != "STSv1":
        raise PolicyError("Let the policy file say version: STSv1.")
    if first.get("mode") not in MODES:
        raise PolicyError("Let the policy file say mode: testing, enforce or none.")
    hosts = tuple(normalise_name(host) for host in fields.get("mx", ()))
    if not hosts and first["mode"] != "none":
        raise PolicyError("Name the MX hosts in the policy file, an mx: line each.")
    return Policy(first["mode"], _parse_age(first.get("max_age", "")), hosts)


def _printable(line: str) -> str:
    """A line whose words may be shown and stored: a sign stands for each control character."""
    return "".join(each if each.isprintable() or each == "\t" else "\ufffd" for each in line)


def _parse_age(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or int(text) > LONGEST_SECONDS:
        raise PolicyError("Let the policy file say max_age: 604800 (a week, in seconds).")
    return int(text)


def judge_policy(finding: Finding, answer: PolicyAnswer) -> Finding:
    """The finding about the TXT record, with what the file behind it is worth.

    A file that could not be asked for leaves the state unknown.
    """
    url = policy_url(finding.expected.name.removeprefix("_mta-sts."))
    if answer.outcome is Outcome.FAILED:
        advice = f"The policy file could not be fetched: {answer.reason}."
        return replace(finding, state=State.UNKNOWN, advice=advice)
    if answer.outcome is Outcome.ABSENT:
        advice = f"Serve the policy file at {url}: {answer.reason}."
        return replace(finding, state=State.WRONG, advice=advice)
    try:
        policy = parse_policy(answer.text)
    except PolicyError as error:
        return replace(finding, state=State.WRONG, advice=str(error))
    return _judge(finding, policy)


def _judge(finding: Finding, policy: Policy) -> Finding:
    told = replace(finding, note=_told(policy))
    lacking = [host for host in finding.expected.wanted if not policy.covers(host)]
    if policy.mode != "none" and lacking:
        refused = "refuse" if policy.mode == "enforce" else "would refuse"
        advice = (
            f"Add {_lines(lacking)} to the policy file and change the id of the record: senders "
            f"that keep to it {refused} to deliver there."
        )
        return replace(told, state=State.WRONG, advice=advice)
    return replace(told, advice=_next_step(policy, finding.expected.wanted))


def _next_step(policy: Policy, ours: Sequence[str]) -> str:
    if policy.mode == "none":
        return "Go on to mode: testing: as it stands the policy asks for nothing."
    if foreign := [host for host in policy.hosts if not _is_ours(host, ours)]:
        return f"Take {_lines(foreign)} out of the policy file when no MX names it any more."
    if policy.mode == "testing":
        return "Go on to mode: enforce once the TLS reports show no failures, and change the id."
    if policy.max_age_seconds < SHORT_SECONDS:
        return "Raise max_age to a week (604800) or more: a short one protects little."
    return ""


def _is_ours(pattern: str, ours: Iterable[str]) -> bool:
    return any(Policy("", 0, (pattern,)).covers(host) for host in ours)


def _lines(hosts: Sequence[str]) -> str:
    return ", ".join(f"mx: {host}" for host in hosts)


def _told(policy: Policy) -> str:
    hosts = ", ".join(policy.hosts) or "no hosts"
    days = policy.max_age_seconds / 86_400
    return f"Policy file: mode {policy.mode}, {hosts}, kept for {days:.3g} days."
