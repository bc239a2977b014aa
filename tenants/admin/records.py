"""The records a domain has to publish, beside what was found: rows of one table on its page."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings

from tenants import services
from tenants.dns import OPTIONAL_KINDS, Expected, Kind, policy_file, policy_url
from tenants.models import Domain, DomainCheck

ABSENT = DomainCheck.State.ABSENT
COLOURS: dict[str, str] = {
    DomainCheck.State.PRESENT: "success",
    DomainCheck.State.ABSENT: "danger",
    DomainCheck.State.WRONG: "danger",
    DomainCheck.State.UNKNOWN: "warning",
}


@dataclass(frozen=True, slots=True)
class ServerLine:
    """What one name server said: its worth, its values, and how long others keep them."""

    server: str
    address: str
    state: str
    colour: str
    values: list[str]
    kept: str
    told: str


@dataclass(frozen=True, slots=True)
class Row:
    """One record: what to publish, and the check of it; `check` is None before the first."""

    kind: str
    expected: Expected
    check: DomainCheck | None

    @property
    def is_optional(self) -> bool:
        return self.expected.kind in OPTIONAL_KINDS

    @property
    def colour(self) -> str:
        if self.check is None or (self.is_optional and self.check.state == ABSENT):
            return "default"
        return COLOURS.get(self.check.state, "default")

    @property
    def state(self) -> str:
        return self.check.get_state_display() if self.check else "not checked yet"

    @property
    def url(self) -> str:
        """Where the file has to be that the record announces; empty where there is none."""
        if self.expected.kind is not Kind.MTA_STS:
            return ""
        return policy_url(self.expected.name.removeprefix("_mta-sts."))

    @property
    def file(self) -> str:
        return policy_file(settings.MX_HOSTS) if self.url else ""

    @property
    def servers(self) -> list[ServerLine]:
        return [_server_line(line) for line in self.check.evidence] if self.check else []


def _server_line(line: dict[str, Any]) -> ServerLine:
    """One line of a check's evidence; checks from before had no state in it."""
    state = line.get("state", "") or line["outcome"]
    told = ", ".join(
        part
        for part in (line.get("reason"), line.get("alias") and f"alias of {line['alias']}")
        if part
    )
    return ServerLine(
        server=line["server"],
        address=line["address"],
        state=state,
        colour=COLOURS.get(state, "default"),
        values=line["values"],
        kept=print_ttl(line.get("ttl")),
        told=told,
    )


def print_ttl(seconds: int | None) -> str:
    """A TTL as an operator reads it: 300 s, 1 h, 2 d; a dash where none was told."""
    if seconds is None:
        return "—"
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h")):
        count, rest = divmod(seconds, int(unit.total_seconds()))
        if count and not rest:
            return f"{count} {name}"
    return f"{seconds} s"


def records_of(domain: Domain) -> list[Row]:
    """In the order in which they are set up. One query."""
    checks = {(check.kind, check.record_name): check for check in domain.checks.all()}
    labels = dict(DomainCheck.Kind.choices)
    return [
        Row(labels[record.kind], record, checks.get((record.kind, record.name)))
        for record in services.expected_of(domain)
    ]
