"""What is there, as rows: one way to read it for comparisons and for exports.

Reads alone. Whose rows they are is the caller's choice: an export hands over what its user may
see, an import its one tenant's.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Model, Prefetch, Q, QuerySet

from tenants.imports.rows import FIELDS, NAMED_BY, Kind, Row, key_of, ref_to
from tenants.imports.values import Value, print_moment, print_rule
from tenants.models import (
    Address,
    Alias,
    Domain,
    Mailbox,
    NextHop,
    RoleAddress,
    SubaddressRule,
    Target,
    Tenant,
)

AT_ONCE = 1_000
MODELS: dict[Kind, type[Model]] = {
    Kind.TENANT: Tenant,
    Kind.HOP: NextHop,
    Kind.MAILBOX: Mailbox,
    Kind.DOMAIN: Domain,
    Kind.ALIAS: Alias,
    Kind.ROLE: RoleAddress,
}
# By what rows of a kind are told apart, and put in order: an indexed column.
KEYS = {
    Kind.TENANT: "external_id",
    Kind.HOP: "name",
    Kind.MAILBOX: "key",
    Kind.DOMAIN: "name",
    Kind.ALIAS: "key",
    Kind.ROLE: "key",
}
_TO_ADDRESSES = ("domain__tenant", "holder", "owner")
_RELATED: dict[Kind, tuple[str, ...]] = {
    Kind.TENANT: ("plan",),
    Kind.HOP: ("tenant",),
    Kind.MAILBOX: ("tenant", "next_hop"),
    Kind.DOMAIN: ("tenant", "default_role_holder", "smarthost"),
    Kind.ALIAS: _TO_ADDRESSES,
    Kind.ROLE: _TO_ADDRESSES,
}
_TARGETS = Prefetch("targets", Target.objects.select_related("mailbox"))
_RULES = Prefetch("rules", SubaddressRule.objects.prefetch_related(_TARGETS))


def kind_of(model: type[Model]) -> Kind | None:
    """The kind of row that a model's rows are; None for what is not exchanged."""
    return next((kind for kind, each in MODELS.items() if each is model), None)


def stream(rows: "QuerySet[Any]", kind: Kind) -> Iterator[Row]:
    """All of these as rows, by name and id; AT_ONCE of them are read, and held, at a time."""
    key = KEYS[kind]
    ordered = _whole(rows.order_by(key, "pk"), kind)
    after: tuple[Any, int] | None = None
    while True:
        page = ordered
        if after is not None:
            beyond = Q(**{f"{key}__gt": after[0]}) | Q(pk__gt=after[1])
            page = ordered.filter(beyond, **{f"{key}__gte": after[0]})
        batch = list(page[:AT_ONCE])
        yield from (row_of(each, kind) for each in batch)
        if len(batch) < AT_ONCE:
            return
        after = getattr(batch[-1], key), batch[-1].pk


def find(rows: Iterable[Row], tenants: Mapping[str, Tenant]) -> dict[str, Any]:
    """What is there of these rows, by their refs. A few queries for each tenant and kind.

    `tenants` are those that rows may name, by external id; the empty one holds what belongs to
    everyone.
    """
    wanted: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        wanted.setdefault((row.tenant, row.kind.group), []).append(row)
    found: dict[str, Any] = {}
    for (tenant, group), alike in wanted.items():
        for each in _lookup(group, tenants.get(tenant), [row.key for row in alike]):
            kind = _kind_within(group)
            found[ref_to(group, tenant, key_of(kind, getattr(each, KEYS[kind])))] = each
    return found


def row_of(stored: Any, kind: Kind) -> Row:
    """One stored row with all its fields."""
    values = {each.name: _value(stored, each.name) for each in FIELDS[kind]}
    name = stored.external_id if kind == Kind.TENANT else str(values.pop(NAMED_BY[kind]))
    return Row(0, kind, name, values, _tenant_of(stored, kind))


def values_of(stored: Any, kind: Kind) -> dict[str, Value]:
    """What it holds now, read anew."""
    fresh = _whole(MODELS[kind]._base_manager.filter(pk=stored.pk), kind).get()
    return dict(row_of(fresh, kind).values)


def _lookup(group: str, tenant: Tenant | None, keys: Sequence[str]) -> Iterable[Any]:
    if group == Kind.TENANT:
        return _whole(Tenant.objects.filter(external_id__in=keys), Kind.TENANT)
    if group == Kind.HOP:
        return _whole(NextHop.objects.filter(tenant=tenant, name__in=keys), Kind.HOP)
    if group == Kind.MAILBOX:
        return _whole(Mailbox.objects.filter(tenant=tenant, key__in=keys), Kind.MAILBOX)
    if group == Kind.DOMAIN:
        domains = Domain.objects.claimed().filter(tenant=tenant, name__in=keys)
        return _whole(domains, Kind.DOMAIN)
    kinds = [_addresses(tenant, keys, kind) for kind in (Kind.ALIAS, Kind.ROLE)]
    return [address for addresses in kinds for address in addresses]


def _addresses(tenant: Tenant | None, keys: Sequence[str], kind: Kind) -> "QuerySet[Any]":
    """As what they are: rules and permissions are those of aliases and of role addresses."""
    rows = MODELS[kind]._default_manager.filter(domain__tenant=tenant, key__in=keys)
    return _whole(rows.exclude(domain__state=Domain.State.RELEASED), kind)


def _kind_within(group: str) -> Kind:
    return Kind.ALIAS if group == Kind.ALIAS.group else Kind(group)


def _whole(rows: "QuerySet[Any]", kind: Kind) -> "QuerySet[Any]":
    """With all that `row_of` looks at."""
    whole = rows.select_related(None).select_related(*_RELATED[kind]).prefetch_related(None)
    return whole.prefetch_related(_TARGETS, _RULES) if kind.group == "address" else whole


def _tenant_of(stored: Any, kind: Kind) -> str:
    if kind == Kind.TENANT:
        return str(stored.external_id)
    tenant = stored.domain.tenant if kind.group == "address" else stored.tenant
    return str(tenant.external_id) if tenant else ""


def _value(stored: Any, name: str) -> Value:
    read = _READ.get(name)
    value: Any = read(stored) if read else getattr(stored, name)
    if isinstance(value, datetime):
        return print_moment(value)
    return tuple(value) if isinstance(value, list) else value


def _address(stored: Any) -> str:
    if isinstance(stored, Address):
        return f"{stored.local_part}@{stored.domain.name}"
    return str(stored.address)


def _rules(address: Any) -> list[str]:
    return sorted(
        print_rule(rule.detail, rule.action, tuple(_targets(rule))) for rule in address.rules.all()
    )


def _targets(parent: Any) -> list[str]:
    return [_target(target) for target in parent.targets.all()]


def _target(target: Any) -> str:
    if target.kind == "mailbox":
        return f"mailbox {target.mailbox.address}"
    return f"forward {target.forward_to}" if target.kind == "forward" else str(target.kind)


_READ: dict[str, Callable[[Any], Any]] = {
    "address": _address,
    "domain": lambda domain: domain.name,
    "targets": _targets,
    "rules": _rules,
    "owner": lambda address: address.owner.get_username() if address.owner else "",
    "holder": lambda address: address.holder.address if address.holder else "",
    "expires_at": lambda address: address.expires_at or "",
    "plan": lambda tenant: tenant.plan.name,
    "next_hop": lambda mailbox: mailbox.next_hop.name,
    "smarthost": lambda domain: domain.smarthost.name if domain.smarthost else "",
    "default_role_holder": lambda domain: (
        domain.default_role_holder.address if domain.default_role_holder else ""
    ),
}
