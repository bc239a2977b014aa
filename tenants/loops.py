"""Circles that an edit closes without touching a forward, told with their path.

A target is followed when it is saved (tenants/models/graph.py). What a forward arrives at changes
besides with a domain's delimiters, with a claim that becomes active, with a subaddress rule, and
with an address that stood in the place of a subaddress. Who makes such an edit is refused here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models

from gateway.routing.address import Address as ParsedAddress
from gateway.routing.decision import Decision
from gateway.routing.facts import Facts
from tenants.models import Address, Domain, SubaddressRule, Target
from tenants.querysets import RECEIVING
from tenants.routes import routes

CLOSED = "{path}: with this, it would be a loop. Change one of these forwards first."


def require_none_after_save(row: models.Model, was: Mapping[str, Any] | None) -> None:
    """Refuse a saved row that closes a loop; `was` is what was stored before, by column.

    Raises ValidationError. Free for what closes none; else a few queries for each 400 forwards.
    """
    if isinstance(row, Domain) and (field := _changed_field(row, was)):
        _require_none(_forwarding_of(row), field, row.tenant_id)
    elif isinstance(row, SubaddressRule) and was is not None and was["action"] != row.action:
        _require_none([row.address.key], "action", row.address.domain.tenant_id)


def require_none_after_delete(row: models.Model) -> None:
    """Refuse to delete what kept mail from going round. Raises ValidationError."""
    if isinstance(row, SubaddressRule):
        _require_none([row.address.key], NON_FIELD_ERRORS, row.address.domain.tenant_id)
    elif isinstance(row, Address):
        split = ParsedAddress.of_key(row.key).subaddress(row.domain.delimiters)
        if split is not None and Address.objects.filter(key=split.base_key).exists():
            _require_none([split.base_key], NON_FIELD_ERRORS, row.domain.tenant_id)


def _changed_field(domain: Domain, was: Mapping[str, Any] | None) -> str:
    """The field by which forwards arrive elsewhere now; empty where none does."""
    if was is None or not domain.is_receiving:
        return ""
    if was["state"] not in RECEIVING:
        return "state"
    return "delimiters" if was["delimiters"] != domain.delimiters else ""


def _forwarding_of(domain: Domain) -> Sequence[str]:
    """The keys of a domain's addresses that forward, by themselves or by a rule."""
    forwards = Target.objects.with_origin().filter(kind="forward")
    own = forwards.filter(address__domain=domain) | forwards.filter(rule__address__domain=domain)
    return list(
        Address.objects.filter(pk__in=own.values("origin_id")).values_list("key", flat=True)
    )


def _require_none(keys: Iterable[str], field: str, tenant_id: int) -> None:
    for _, decision, facts in routes(_with_details(keys)):
        if path := next(_loops(decision), None):
            shown = " → ".join(_shown(path, facts, tenant_id))
            raise ValidationError({field: CLOSED.format(path=shown)})


def _with_details(keys: Iterable[str]) -> Iterator[str]:
    """Addresses, and those of their subaddresses whose rule has targets of its own."""
    known = list(keys)
    yield from known
    rules = SubaddressRule.objects.filter(
        address__key__in=known, action=SubaddressRule.Action.RETARGET
    )
    columns = ("address__key", "detail", "address__domain__delimiters")
    for key, detail, delimiters in rules.values_list(*columns):
        local, _, domain = key.rpartition("@")
        if delimiters:
            yield f"{local}{delimiters[0]}{detail}@{domain}"


def _loops(decision: Decision) -> Iterator[list[str]]:
    """The ways on which an address comes twice."""
    for step in decision.trace:
        path = step.note.split(" → ")
        if (step.name, step.outcome) == ("target", "cut") and path.count(path[-1]) > 1:
            yield path


def _shown(path: Iterable[str], facts: Facts, tenant_id: int) -> Iterator[str]:
    """Another tenant's addresses are not told."""
    for key in path:
        domain = facts.domains.get(key.rpartition("@")[2])
        yield key if domain is not None and domain.tenant.id == tenant_id else "…"
