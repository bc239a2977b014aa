"""The outer shell of DNS checks, for workers and for whoever asks on a page.

Rule of this file: whatever a zone answers, its check ends in a note, and no domain's trouble is
in the way of another. The rows are the queue; a session's lock on a domain is the claim, so that
nothing is open in the database while name servers are waited for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from tenants import lock, services
from tenants.changes import Actor
from tenants.dns import PolicyFetcher, Resolver
from tenants.models import Domain

LISTED_AT_ONCE = 20
"""Then the list is read anew: claims that were made meanwhile come first."""

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


def check_due(clock: Callable[[], datetime], *, actor: Actor, is_wanted: Callable[[], bool]) -> int:
    """Check one after the other what is due, until nothing is or nobody wants more; the count.

    Those that waited longest come first, and others may do the same meanwhile. What becomes due
    while this runs is for the next time. Raises ValueError where the system names no resolver.
    """
    resolver, policies = services.configured_resolver(), services.configured_policies()
    turn = _Turn(clock, actor, resolver, policies, began_at=clock())
    count = 0
    for key in turn.due():
        if not is_wanted():
            break
        count += turn.take(key)
    return count


@dataclass(slots=True)
class _Turn:
    """One way through what is due; `left` are those that others are at, or that nobody can note."""

    clock: Callable[[], datetime]
    actor: Actor
    resolver: Resolver
    policies: PolicyFetcher
    began_at: datetime
    left: set[int] = field(default_factory=set)

    def due(self) -> Iterator[int]:
        """What was due at the beginning and is not done yet."""
        due = Domain.objects.due_for_check(self.began_at).values_list("pk", flat=True)
        while batch := list(due.exclude(pk__in=self.left)[:LISTED_AT_ONCE]):
            yield from batch

    def take(self, key: int) -> bool:
        """Whether the domain was checked here."""
        try:
            is_done = self._check(key)
        except Exception:  # the outer shell, as above
            log.exception("DNS check cannot be noted", domain=key)
            is_done = False
        if not is_done:
            self.left.add(key)
        return is_done

    def _check(self, key: int) -> bool:
        with lock.alone(lock.DNS_CHECK, key) as is_alone:
            domain = Domain.objects.due_for_check(self.began_at).filter(pk=key).first()
            if not is_alone or domain is None:
                return False
            check(
                domain,
                actor=self.actor,
                resolver=self.resolver,
                policies=self.policies,
                now=self.clock(),
            )
            return True
