"""One row into the database, through tenants.changes alone; the rules are the models'.

What a rule refuses is told at the field that the row knows: a forward that leads nowhere is the
fault of `targets`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db.models import Model, Q

from gateway.routing.address import fold
from tenants import changes
from tenants.changes import Actor
from tenants.imports.rows import Kind, Refusal, Row, key_of
from tenants.imports.stored import MODELS
from tenants.imports.values import split_rule, split_target
from tenants.models import (
    Address,
    Domain,
    Mailbox,
    NextHop,
    Plan,
    SubaddressRule,
    Target,
    Tenant,
)

# Fields of models that a row calls otherwise.
_CALLED = {
    "local_part": "address",
    "key": "address",
    "forward_to": "targets",
    "mailbox": "targets",
    "detail": "rules",
    "action": "rules",
    "external_id": "tenant",
}
_CALLED_OF_ADDRESSES = {"domain": "address", "kind": "targets"}
_ADD_IT = "add it first, or a row for it"
Values = Mapping[str, Any]


def write(row: Row, stored: Any, *, tenant: Tenant | None, actor: Actor) -> list[Model]:
    """Make the stored row (None where there is none yet) what the row says.

    Every row that was saved comes back, the one that this is about first. Raises ValidationError
    on the row's own fields, or PermissionDenied. Rows that went are not among them.
    """
    try:
        return list(_write(row, stored, tenant, actor))
    except ValidationError as error:
        raise _told(row, error) from error


def refusals_of(error: ValidationError) -> list[Refusal]:
    """Each sentence with its field."""
    return [
        Refusal("" if name == NON_FIELD_ERRORS else name, sentence)
        for name, sentences in error.message_dict.items()
        for sentence in sentences
    ]


def _write(row: Row, stored: Any, tenant: Tenant | None, actor: Actor) -> Iterator[Model]:
    each = stored if stored is not None else _new(row, tenant)
    for name, value in row.values.items():
        if name not in ("targets", "rules"):
            _set(each, name, value, tenant)
    yield changes.save(each, actor=actor)
    if isinstance(each, Address):
        yield from _write_targets(each, row.values.get("targets"), {"address": each}, actor)
        yield from _write_rules(each, row.values.get("rules"), actor)
        each.check_targets()


def _new(row: Row, tenant: Tenant | None) -> Any:
    """A row that is not there yet, named."""
    if row.kind == Kind.TENANT:
        return Tenant(external_id=row.name)
    if row.kind == Kind.HOP:
        return NextHop(tenant=tenant, name=row.name)
    if tenant is None:
        raise ValidationError({"tenant": "Say whose it is: choose a tenant, or add a column."})
    if row.kind == Kind.MAILBOX:
        return Mailbox(tenant=tenant, address=row.name)
    if row.kind == Kind.DOMAIN:
        return Domain(tenant=tenant, name=row.name)
    local_part, _, name = row.name.rpartition("@")
    model: Any = MODELS[row.kind]
    return model(domain=_domain(name, tenant), local_part=local_part)


def _domain(name: str, tenant: Tenant) -> Domain:
    domain: Domain | None = Domain.objects.claimed().filter(tenant=tenant, name=name).first()
    if domain is None:
        raise ValidationError({"address": f"The tenant has no domain {name}: {_ADD_IT}."})
    domain.tenant = tenant
    return domain


def _set(each: Any, name: str, value: Any, tenant: Tenant | None) -> None:
    find = _FOUND.get(name)
    if find is not None:
        setattr(each, name, find(str(value), name, tenant) if value else None)
    elif name == "expires_at":
        each.expires_at = datetime.fromisoformat(value) if value else None
    else:
        setattr(each, name, list(value) if isinstance(value, tuple | list) else value)


def _find_mailbox(address: str, name: str, tenant: Tenant | None) -> Mailbox:
    key = key_of(Kind.MAILBOX, address)
    mailbox = Mailbox.objects.filter(tenant=tenant, key=key).first()
    if mailbox is None:
        raise ValidationError({name: f"The tenant has no mailbox {address}: {_ADD_IT}."})
    return mailbox


def _find_hop(hop_name: str, name: str, tenant: Tenant | None) -> NextHop:
    """The tenant's own next hop of this name, or else everyone's."""
    hops = NextHop.objects.filter(Q(tenant=tenant) | Q(tenant=None), name=hop_name)
    found = sorted(hops, key=lambda hop: hop.tenant_id is None)
    if not found:
        raise ValidationError({name: f"There is no next hop “{hop_name}”: {_ADD_IT}."})
    return found[0]


def _find_plan(plan_name: str, name: str, tenant: Tenant | None) -> Plan:  # noqa: ARG001
    plan = Plan.objects.filter(name=plan_name).first()
    if plan is None:
        raise ValidationError({name: f"There is no plan “{plan_name}”: add it first."})
    return plan


def _find_member(username: str, name: str, tenant: Tenant | None) -> Any:
    members = tenant.memberships.select_related("user") if tenant else None
    member = members.filter(user__username=username).first() if members is not None else None
    if member is None:
        told = f"No member of the tenant is called “{username}”: make one, or leave this empty."
        raise ValidationError({name: told})
    return member.user


_FOUND: dict[str, Callable[[str, str, Tenant | None], Any]] = {
    "holder": _find_mailbox,
    "default_role_holder": _find_mailbox,
    "next_hop": _find_hop,
    "smarthost": _find_hop,
    "plan": _find_plan,
    "owner": _find_member,
}


def _write_targets(
    address: Address, wanted: Any, parent: Mapping[str, Any], actor: Actor
) -> Iterator[Model]:
    """Let the parent (address or rule) deliver to these, in order; None leaves what is there."""
    if wanted is None:
        return
    there = list(Target.objects.filter(**parent).select_related("mailbox"))
    places = [_place(target, there, address) for target in wanted]
    kept = _matched(there, places)
    for target in there:
        if target not in kept:
            changes.delete(target, actor=actor)
    if kept == there and len(kept) == len(places):
        return
    for position, (place, target) in enumerate(zip(places, kept, strict=True)):
        if target is None or target.position != position:
            each = target or Target(**parent, **place)
            each.position = position
            yield changes.save(each, actor=actor)


def _place(target: str, there: Sequence[Target], address: Address) -> dict[str, Any]:
    """The fields of a target; a bare address is what it is here, a mailbox, or a forward."""
    kind, name = split_target(target)
    tenant = address.domain.tenant
    if not kind:
        kind = _kind_of_bare(name, there, tenant)
    if kind == "mailbox":
        return {"kind": kind, "mailbox": _find_mailbox(name, "targets", tenant)}
    return {"kind": kind, "forward_to": name if kind == "forward" else ""}


def _kind_of_bare(name: str, there: Sequence[Target], tenant: Tenant) -> str:
    key = key_of(Kind.MAILBOX, name)
    if any(each.forward_key == key for each in there):
        return "forward"
    boxes = Mailbox.objects.filter(tenant=tenant, key=key)
    return "mailbox" if boxes.exists() else "forward"


def _matched(there: Sequence[Target], places: Sequence[Mapping[str, Any]]) -> list[Target | None]:
    """For each place the target that is it already; none is taken twice."""
    left = list(there)
    matched: list[Target | None] = []
    for place in places:
        found = next((each for each in left if _is_at(each, place)), None)
        if found is not None:
            left.remove(found)
        matched.append(found)
    return matched


def _is_at(target: Target, place: Mapping[str, Any]) -> bool:
    return all(getattr(target, name) == value for name, value in place.items())


def _write_rules(address: Address, wanted: Any, actor: Actor) -> Iterator[Model]:
    """Let these rules be the address's; None leaves what is there."""
    if wanted is None:
        return
    there = {rule.detail: rule for rule in SubaddressRule.objects.filter(address=address)}
    parsed = {fold(detail.strip()): rest for detail, *rest in map(split_rule, wanted)}
    if len(parsed) < len(wanted):
        raise ValidationError({"rules": "Two rules are about one detail: leave one out."})
    for detail in there.keys() - parsed.keys():
        changes.delete(there[detail], actor=actor)
    for detail, said in parsed.items():
        action, targets = str(said[0]), said[1]
        rule = there.get(detail) or SubaddressRule(address=address, detail=detail)
        if rule.pk is None or rule.action != action:
            rule.action = action
            yield changes.save(rule, actor=actor)
        try:
            yield from _write_targets(address, targets, {"rule": rule}, actor)
            rule.check_targets()
        except ValidationError as error:
            raise ValidationError({"rules": f"{detail}: {' '.join(error.messages)}"}) from error


def _told(row: Row, error: ValidationError) -> ValidationError:
    """The same sentences at the fields that the row knows; a choice is told with what there is."""
    if not hasattr(error, "error_dict"):
        return error
    told: dict[str, list[str]] = {}
    for name, errors in error.error_dict.items():
        for each in errors:
            sentences = told.setdefault(_called(row, name), [])
            sentences += _choices(row, name, each) or each.messages
    return ValidationError(told)


def _called(row: Row, name: str) -> str:
    if row.kind == Kind.DOMAIN and name == "name":
        return "domain"
    called = _CALLED | _CALLED_OF_ADDRESSES if row.kind.group == "address" else _CALLED
    return called.get(name, name)


def _choices(row: Row, name: str, error: ValidationError) -> list[str]:
    if error.code != "invalid_choice":
        return []
    model: Any = MODELS[row.kind]
    known = [str(value) for value, _ in model._meta.get_field(name).flatchoices if value]
    value = (error.params or {}).get("value", "")
    return [f"“{value}” is none of: {', '.join(known)}."] if known else []
