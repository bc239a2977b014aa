"""The answer about one address: what it is, was or never has been, and what happened lately."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

from django.db.models import Sum
from django.utils import timezone

from gateway.directory import platform
from gateway.explain import Explanation, explain
from gateway.models import RefusalCount, RoutingRecord
from gateway.routing.address import Address as ParsedAddress
from gateway.routing.facts import LookupFailed
from gateway.search import past
from gateway.search.past import Gone
from gateway.search.sight import Sight
from tenants.history import Edit
from tenants.models import Address, Mailbox, Target
from tenants.querysets import reads

RECORDS = 10
EDITS = 3
OTHERS = 10
COUNTED = timedelta(days=1)


class Standing(StrEnum):
    """How an address stands, as the headline of its answer."""

    IN_USE = "enabled"
    DISABLED = "disabled"
    EXPIRED = "expired"
    DELETED = "deleted"
    RENAMED = "renamed"
    ANSWERED = "answered by another address"
    RETURN_PATH = "return path of forwards"
    FOREIGN = "not hosted here"
    NEVER = "never existed"


@dataclass(frozen=True, slots=True)
class AddressAnswer:
    """Everything known about one address.

    `rows` are the addresses of this key, one for each claim of the domain; `edits` are of the first
    of them, or of the one that was deleted last. `explanation` is None where the directory failed
    or the user may not ask; `refused` is how many recipients of the domain were refused for the
    same reason lately, None where it is accepted.
    """

    address: ParsedAddress
    standing: Standing
    rows: list[Address]
    gone: list[Gone]
    renamed: list[Address]
    edits: list[Edit]
    records: list[RoutingRecord]
    explanation: Explanation | None
    decided_by: Address | None
    refused: int | None
    forwards: list[Target]
    mailboxes: list[Mailbox]

    @property
    def is_stranger(self) -> bool:
        """Whether it is elsewhere and nothing here has to do with it."""
        is_known = self.gone or self.records or self.forwards or self.mailboxes
        return self.standing is Standing.FOREIGN and not is_known


def find_address(address: ParsedAddress, sight: Sight) -> AddressAnswer:
    """Look one address up. About twenty queries, each from an index."""
    rows = list(sight.addresses().filter(reads("key", address.key)))
    gone = past.deleted(address.key, sight)
    renamed = past.renamed(address.key, sight)
    records = list(sight.records().filter(key=address.key)[:RECORDS])
    explanation = _explain(address, records, sight)
    about = rows[0].pk if rows else gone[0].pk if gone else None
    return AddressAnswer(
        address=address,
        standing=_standing(address, rows, gone, renamed, explanation),
        rows=rows,
        gone=gone,
        renamed=renamed,
        edits=past.last_edits(about, most=EDITS) if about is not None else [],
        records=records,
        explanation=explanation,
        decided_by=_decided_by(explanation, rows, sight),
        refused=_refused(address, explanation),
        forwards=_forwards(address.key, sight),
        mailboxes=list(sight.rows(Mailbox).filter(reads("key", address.key))[:OTHERS]),
    )


def _explain(
    address: ParsedAddress, records: list[RoutingRecord], sight: Sight
) -> Explanation | None:
    """What would be answered to whoever wrote to it last, else to the null sender."""
    if not sight.may_explain:
        return None
    sender = records[0].sender if records else ""
    try:
        return explain(str(address), sender, None)
    except LookupFailed:
        return None


def _standing(
    address: ParsedAddress,
    rows: list[Address],
    gone: list[Gone],
    renamed: list[Address],
    explanation: Explanation | None,
) -> Standing:
    if rows:
        return _standing_of(rows[0])
    if address.domain == platform().bounce_domain:
        return Standing.RETURN_PATH
    if gone or renamed:
        return Standing.RENAMED if renamed else Standing.DELETED
    decision = explanation.decision if explanation else None
    if decision is not None and decision.strategy == "relay":
        return Standing.FOREIGN
    is_answered = decision is not None and decision.strategy in ("subaddress", "role")
    return Standing.ANSWERED if is_answered else Standing.NEVER


def _standing_of(row: Address) -> Standing:
    if row.is_expired or row.expired_at:
        return Standing.EXPIRED
    return Standing.IN_USE if row.enabled else Standing.DISABLED


def _decided_by(
    explanation: Explanation | None, rows: list[Address], sight: Sight
) -> Address | None:
    """The address that answers in its place: the base of a subaddress."""
    decision = explanation.decision if explanation else None
    if decision is None or decision.address_id in (None, *(row.pk for row in rows)):
        return None
    return sight.addresses().filter(pk=decision.address_id).first()


def _refused(address: ParsedAddress, explanation: Explanation | None) -> int | None:
    """Counted by domain, reason and minute: at most 1,440 rows are added up."""
    if explanation is None or explanation.reply.is_accepted:
        return None
    is_hosted = explanation.decision is not None and explanation.decision.domain_id is not None
    counts: Any = RefusalCount.objects.filter(
        domain_name=address.domain if is_hosted else "",
        reason=explanation.reply.reason,
        minute__gte=timezone.now() - COUNTED,
    )
    total: int | None = counts.aggregate(total=Sum("count"))["total"]
    return total or 0


def _forwards(key: str, sight: Sight) -> list[Target]:
    """Targets of other addresses that forward here."""
    rows = sight.rows(Target).filter(forward_key=key)
    found = rows.select_related("address__domain", "rule__address__domain").order_by("id")
    visible = set(
        sight.addresses()
        .filter(pk__in=[each.origin.pk for each in found[:OTHERS]])
        .values_list("pk", flat=True)
    )
    return [each for each in found[:OTHERS] if each.origin.pk in visible]
