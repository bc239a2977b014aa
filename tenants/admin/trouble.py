"""What is wrong with a domain and what comes of it when, in the words of one line of a list."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from tenants.dns import OPTIONAL_KINDS
from tenants.dns.standing import DEGRADING_HOLD, ESSENTIAL_KINDS
from tenants.models import Domain, DomainCheck
from tenants.models.domain import QUARANTINE

MISSING = (DomainCheck.State.ABSENT, DomainCheck.State.WRONG)


def trouble_of(checks: Iterable[DomainCheck]) -> str:
    """The needed records that are not as they should be; empty where all are."""
    missing = [
        f"{check.get_kind_display()} {check.get_standing_display()}"
        for check in checks
        if check.standing in MISSING and check.kind not in OPTIONAL_KINDS
    ]
    return ", ".join(dict.fromkeys(missing))


def outlook_of(domain: Domain, checks: Iterable[DomainCheck], now: datetime) -> str:
    """What happens to the domain next and in how many days, or for how long it has waited."""
    if domain.state == Domain.State.PENDING:
        return f"pending for {print_days(now - domain.created_at)}"
    if domain.state == Domain.State.DEGRADED:
        return f"degraded for {print_days(now - domain.state_since)}"
    if domain.state == Domain.State.RELEASED:
        return _release_outlook(domain, now)
    due = [check.since + DEGRADING_HOLD for check in checks if _is_degrading(check)]
    return f"degraded {print_until(min(due) - now)}" if due else ""


def _release_outlook(domain: Domain, now: datetime) -> str:
    left = domain.state_since + QUARANTINE - now
    if domain.verified_at is None or left <= timedelta(0):
        return ""
    return f"free for others {print_until(left)}"


def _is_degrading(check: DomainCheck) -> bool:
    return check.kind in ESSENTIAL_KINDS and check.standing in MISSING


def print_until(left: timedelta) -> str:
    """A time to come; one that is over waits for the next check."""
    return f"in {print_days(left)}" if left > timedelta(0) else "by the next check"


def print_days(span: timedelta) -> str:
    """Whole days, or hours below two days."""
    hours = int(span.total_seconds() // 3600)
    if hours < 1:
        return "less than an hour"
    count, unit = (hours // 24, "day") if hours >= 48 else (hours, "hour")
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
