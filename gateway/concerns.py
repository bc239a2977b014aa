"""Which addresses need somebody to look at them: mail arrives nowhere, owner or holder has left.

A job looks at all addresses and keeps what it finds, since a list of a million cannot ask for each
row where its mail would end. Whether a forward still arrives is decided as for an RCPT. Whose a
mailbox is, is known by the user's email address: nothing else ties it to a person.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import CharField, Count, Exists, F, Func, OuterRef, Q
from django.db.models.functions import Coalesce

from gateway.directory import read_facts
from gateway.models import Concern
from gateway.routing import replies
from gateway.routing.address import Address as Recipient
from gateway.routing.facts import Session
from gateway.routing.resolve import MAX_WIDTH, resolve
from tenants import lock
from tenants.models import Address, Domain, Mailbox, Membership, RoleAddress, Target

AT_ONCE = 500
# What does not mend itself, deferred or not; a rate or a suspended tenant does.
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
        replies.TOO_WIDE,
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
        found = {kind: dict(find()) for kind, find in LOOKS.items()}
        for kind, worries in found.items():
            _keep(kind, worries, now)
        return sum(map(len, found.values()))


def find_broken() -> Iterator[tuple[int, str]]:
    """Addresses in use of whose targets one does not deliver, and why."""
    lost = Address.objects.alive().without_target()
    yield from ((pk, NO_TARGET) for pk in lost.values_list("pk", flat=True).iterator())
    for chunk in _chunks(_inner_forwards()):
        yield from _refused(chunk)
    for chunk in _chunks(_maybe_wide()):
        yield from _too_wide(chunk)


def find_left_owners() -> Iterator[tuple[int, str]]:
    """Addresses whose owner is deactivated, or no member of their tenant any more."""
    membership = Membership.objects.filter(
        user=OuterRef("owner"), tenant=OuterRef("domain__tenant")
    )
    owned = Address.objects.exclude(owner=None).annotate(is_member=Exists(membership))
    gone = owned.filter(Q(is_member=False) | Q(owner__is_active=False))
    for pk, name, is_active in gone.values_list("pk", "owner__username", "owner__is_active"):
        yield pk, f"{name} {NO_MEMBER if is_active else DEACTIVATED}"


def find_left_holders() -> Iterator[tuple[int, str]]:
    """Role addresses held, by themselves or their domain, in the mailbox of somebody who left."""
    boxes = _left_mailboxes()
    held_by = Coalesce("holder_id", "domain__default_role_holder_id")
    roles = RoleAddress.objects.annotate(held_by=held_by).filter(held_by__in=boxes)
    yield from ((pk, boxes[box]) for pk, box in roles.values_list("pk", "held_by"))


def _left_mailboxes() -> dict[int, str]:
    """Personal mailboxes of users who were deactivated or taken off their tenant, and which."""
    closed, taken_off = dict(_closed()), dict(_taken_off())
    keys = {*closed, *(email for _, email in taken_off)}
    boxes = Mailbox.objects.filter(kind=Mailbox.Kind.PERSON, key__in=keys)
    found: dict[int, str] = {}
    for pk, tenant, key in boxes.values_list("pk", "tenant_id", "key"):
        if detail := closed.get(key) or taken_off.get((tenant, key)):
            found[pk] = f"{key}: {detail}"
    return found


def _closed() -> Iterator[tuple[str, str]]:
    """Email addresses of deactivated users."""
    users = get_user_model()._default_manager.filter(is_active=False).exclude(email="")
    for email, name in users.values_list("email", "username"):
        yield email.lower(), f"{name} {DEACTIVATED}"


def _taken_off() -> Iterator[tuple[tuple[int, str], str]]:
    """Tenant and email address of those who were its members once, as the history knows."""
    events: Any = Membership.pgh_event_model  # type: ignore[attr-defined]
    current = Membership.objects.filter(user=OuterRef("user_id"), tenant=OuterRef("tenant_id"))
    removed = events.objects.filter(~Exists(current), pgh_label="delete", user__is_active=True)
    for tenant, email, name in removed.values_list("tenant_id", "user__email", "user__username"):
        yield (tenant, email.lower()), f"{name} {NO_MEMBER}"


def _inner_forwards() -> Iterator[tuple[int, str]]:
    """Forwards of addresses in use that lead to a domain of this installation.

    One that is claimed and not verified, or given up, is not: mail for it goes on to the relay.
    """
    domain = Func(
        F("forward_key"),
        template="substring(%(expressions)s from '[^@]*$')",
        output_field=CharField(),
    )
    forwards = Target.objects.filter(kind="forward", address__in=Address.objects.alive())
    inner = forwards.annotate(to=domain).filter(to__in=Domain.objects.receiving().values("name"))
    found: Iterator[tuple[int, str]] = inner.values_list("address_id", "forward_key").iterator()
    return found


def _refused(forwards: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    recipients = {key: Recipient.of_key(key) for _, key in forwards}
    facts = read_facts(list(recipients.values()))
    for address_id, key in forwards:
        reply = resolve(recipients[key], NOBODY, facts).reply
        if reply.reason in LASTING:
            yield address_id, f"forward to {key}: {reply}"


def _maybe_wide() -> Iterator[tuple[int, str]]:
    """Addresses in use with several targets: with too many, or with forwards that may add up."""
    forwards = Target.objects.filter(kind="forward", address=OuterRef("pk"))
    several = Address.objects.alive().annotate(many=Count("targets")).filter(many__gt=1)
    wide = several.filter(Q(many__gt=MAX_WIDTH) | Exists(forwards))
    found: Iterator[tuple[int, str]] = wide.values_list("pk", "key").iterator()
    return found


def _too_wide(addresses: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    recipients = {key: Recipient.of_key(key) for _, key in addresses}
    facts = read_facts(list(recipients.values()))
    for address_id, key in addresses:
        reply = resolve(recipients[key], NOBODY, facts).reply
        if reply.reason == replies.TOO_WIDE.reason:
            yield address_id, f"more than {MAX_WIDTH} destinations: {reply}"


LOOKS: Mapping[str, Callable[[], Iterator[tuple[int, str]]]] = {
    Concern.Kind.BROKEN: find_broken,
    Concern.Kind.OWNER: find_left_owners,
    Concern.Kind.HOLDER: find_left_holders,
}


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
