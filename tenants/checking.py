"""The outer shell of a DNS check, for workers and for whoever asks on a page.

Rule of this file: whatever a zone answers, its check ends in a note, so that no answer keeps a
domain from ever being judged again.
"""

from datetime import datetime

import structlog

from tenants import services
from tenants.changes import Actor
from tenants.dns import PolicyFetcher, Resolver
from tenants.models import Domain

log = structlog.get_logger()


def check(
    domain: Domain,
    *,
    actor: Actor,
    resolver: Resolver,
    policies: PolicyFetcher | None,
    now: datetime,
) -> Domain:
    """As services.check_domain; where that breaks off, all records are noted as unknown."""
    try:
        return services.check_domain(
            domain, actor=actor, resolver=resolver, policies=policies, now=now
        )
    except Exception:  # the outer shell: an error of ours in one domain is in nobody's way
        log.exception("DNS check broke off", domain=domain.name)
        return services.note_broken_check(domain, actor=actor, now=now)
