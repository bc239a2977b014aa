"""Which addresses need somebody to look at them: their mail arrives nowhere, or their holder left.

A job looks at all addresses and keeps what it finds, since a list of a million cannot ask for each
row where its mail would end. Whether a forward still arrives is decided as for an RCPT.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import CharField, Exists, F, Func, OuterRef, Q

from gateway.directory import read_facts
from gateway.models import Concern
from gateway.routing import replies
from gateway.routing.address import Address as Recipient
from gateway.routing.facts import Session
from gateway.routing.resolve import resolve
from tenants import lock
from tenants.models import Address, Domain, Membership, Target

AT_ONCE = 500
# What does not mend itself; a rate or a suspended tenant does.
LASTING = frozenset(
    reply.reason
    for reply in (
        replies.UNKNOWN_ADDRESS,
        replies.RELAY_DENIED,
        replies.NOT_ALLOWED_HERE,
        replies.ADDRESS_DISABLED,
        replies.ADDRESS_EXPIRED,
        replies.TENANT_CLOSED,
        replies.DEAD_END,
        replies.LOOP,
    )
)
NOBODY = Session(None, has_sender=False)
NO_TARGET = "has no target"
DEACTIVATED, NO_MEMBER = "can no longer sign in", "is no longer a member of the tenant"


def look_over(*, now: datetime) -> int:
    """Look at every address; how many concerns stand now. One look at a time, else 0.

    Raises LookupFailed, with what the last look found still in place.
    """
    with lock.alone(lock.CONCERNS) as is_alone:
        if not is_alone:
            return 0
        broken, left = dict(find_broken()), dict(find_left())
        _keep(Concern.Kind.BROKEN, broken, now)
        _keep(Concern.Kind.LEFT, left, now)
        return len(broken) + len(left)


def find_broken() -> Iterator[tuple[int, str]]:
    """Addresses in use of whose targets one does not deliver, and why."""
    lost = Address.objects.alive().without_target()
    yield from ((pk, NO_TARGET) for pk in lost.values_list("pk", flat=True).iterator())
    for chunk in _chunks(_inner_forwards()):
        yield from _refused(chunk)


def find_left() -> Iterator[tuple[int, str]]:
    """Addresses whose owner is deactivated, or no member of their tenant any more."""
    membership = Membership.objects.filter(
        user=OuterRef("owner"), tenant=OuterRef("domain__tenant")
    )
    owned = Address.objects.exclude(owner=None).annotate(is_member=Exists(membership))
    gone = owned.filter(Q(is_member=False) | Q(owner__is_active=False))
    for pk, name, is_active in gone.values_list("pk", "owner__username", "owner__is_active"):
        yield pk, f"{name} {NO_MEMBER if is_active else DEACTIVATED}"


def _inner_forwards() -> Iterator[tuple[int, str]]:
    """Forwards of addresses in use that lead to a domain of this installation."""
    domain = Func(
        F("forward_key"),
        template="substring(%(expressions)s from '[^@]*$')",
        output_field=CharField(),
    )
    forwards = Target.objects.filter(kind="forward", address__in=Address.objects.alive())
    inner = forwards.annotate(to=domain).filter(to__in=Domain.objects.values("name"))
    found: Iterator[tuple[int, str]] = inner.values_list("address_id", "forward_key").iterator()
    return found


def _refused(forwards: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    recipients = {key: Recipient.parse(key) for _, key in forwards}
    facts = read_facts(list(recipients.values()))
    for address_id, key in forwards:
        reply = resolve(recipients[key], NOBODY, facts).reply
        if reply.reason in LASTING:
            yield address_id, f"forward to {key}: {reply}"


def _keep(kind: str, found: Mapping[int, str], now: datetime) -> None:
    """Exactly these concerns of the kind; those that stand already keep their time."""
    with transaction.atomic():
        standing = Concern.objects.filter(kind=kind)
        known = dict(standing.values_list("address_id", "detail"))
        over = [pk for pk, detail in known.items() if found.get(pk) != detail]
        standing.filter(address_id__in=over).delete()
        Concern.objects.bulk_create(
            [
                Concern(address_id=pk, kind=kind, detail=detail[:500], since=now)
                for pk, detail in found.items()
                if known.get(pk) != detail
            ],
            batch_size=AT_ONCE,
        )


def _chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, AT_ONCE)):
        yield chunk
