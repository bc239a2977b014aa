"""The records a domain has to publish, beside what was found: rows of one table on its page."""

from dataclasses import dataclass

from tenants import services
from tenants.dns import Expected
from tenants.models import Domain, DomainCheck

COLOURS: dict[str, str] = {
    DomainCheck.State.PRESENT: "success",
    DomainCheck.State.ABSENT: "danger",
    DomainCheck.State.WRONG: "danger",
    DomainCheck.State.UNKNOWN: "warning",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One record: what to publish, and the check of it; `check` is None before the first."""

    kind: str
    expected: Expected
    check: DomainCheck | None

    @property
    def colour(self) -> str:
        return COLOURS.get(self.check.state, "default") if self.check else "default"

    @property
    def state(self) -> str:
        return self.check.get_state_display() if self.check else "not checked yet"


def records_of(domain: Domain) -> list[Row]:
    """In the order in which they are set up. One query."""
    checks = {(check.kind, check.record_name): check for check in domain.checks.all()}
    labels = dict(DomainCheck.Kind.choices)
    return [
        Row(labels[record.kind], record, checks.get((record.kind, record.name)))
        for record in services.expected_of(domain)
    ]
