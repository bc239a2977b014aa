"""Owners are told before DNS trouble degrades their domain, and have a day at least to mend it.

Here it is decided and written down; gateway.watch mails it. A domain waits until one of its owners
was told, unless there is nobody to tell: no owner with a mail address, or no server for the panel's
own mail.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.conf import settings

from tenants import changes
from tenants.changes import Actor
from tenants.dns import Finding, Kind, Standing, State
from tenants.dns.standing import DEGRADING_HOLD, ESSENTIAL_KINDS
from tenants.models import Domain, Forewarning, Membership, Tenant

LEAST = timedelta(hours=24)
"""How long before it is degraded a domain's owners are told, at least."""


def owners_to_tell(tenant: Tenant) -> list[str]:
    """The mail addresses of a tenant's owners; none where the panel sends no mail. One query."""
    if not settings.PANEL_MAIL_URL:
        return []
    owners = Membership.objects.of_tenant(tenant).filter(role=Membership.Role.OWNER)
    active = owners.filter(user__is_active=True).exclude(user__email="")
    return sorted(set(active.values_list("user__email", flat=True)))


def told_kinds(domain: Domain, standings: Mapping[Kind, Standing], now: datetime) -> set[Kind]:
    """The records that the domain may be degraded for, as far as its owners are concerned."""
    if not owners_to_tell(domain.tenant):
        return set(ESSENTIAL_KINDS)
    told = domain.forewarnings.exclude(told_at=None).filter(degrades_at__lte=now)
    episodes = set(told.values_list("kind", "missing_since"))
    return {kind for kind, each in standings.items() if (kind.value, each.since) in episodes}


def warn(
    domain: Domain,
    kind: Kind,
    since: datetime,
    findings: Sequence[Finding],
    *,
    now: datetime,
    actor: Actor,
) -> None:
    """Write down what the owners are to be told, unless that was done when it went missing."""
    if domain.forewarnings.filter(kind=kind, missing_since=since).exists():
        return
    missing = [each for each in findings if each.kind == kind and each.state != State.PRESENT]
    warning = Forewarning(
        domain=domain,
        kind=kind,
        missing_since=since,
        expected="\n".join(line for each in missing for line in _expected(each)),
        found="\n".join(dict.fromkeys(text for each in missing for text in each.found)),
        degrades_at=max(since + DEGRADING_HOLD, now + LEAST),
        created_at=now,
    )
    changes.save(warning, actor=actor)


def note_told(warning: Forewarning, *, now: datetime, actor: Actor) -> None:
    """One of the owners was told; the time they were given counts from here at least."""
    rows = Forewarning.objects.filter(pk=warning.pk, told_at=None)
    by = max(warning.degrades_at, now + LEAST)
    changes.update(rows, actor=actor, reason="told by mail", told_at=now, degrades_at=by)


def _expected(finding: Finding) -> list[str]:
    """The records as lines."""
    expected = finding.expected
    return [f"{expected.name} {expected.rdtype} {value}" for value in expected.values]
