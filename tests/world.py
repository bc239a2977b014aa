"""The cast: two tenants and three users, and makers for what tests route mail with.

Ann owns A, Ben may look at A, and Eve owns B: she must see nothing of A. All is written through
tenants.changes, as in production.
"""

from dataclasses import dataclass
from itertools import count
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser

from tenants import changes
from tenants.changes import Actor
from tenants.models import (
    Address,
    Alias,
    Domain,
    Mailbox,
    Membership,
    NextHop,
    Plan,
    RoleAddress,
    SubaddressRule,
    Target,
    Tenant,
)

ACTOR = Actor.system("test")
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class World:
    """Tenants A and B with an active domain each; `owner`, `member` of A, `outsider` of B."""

    a: Tenant
    b: Tenant
    owner: AbstractUser
    member: AbstractUser
    outsider: AbstractUser
    domain: Domain  # a.example, of A
    other_domain: Domain  # b.example, of B


def make_world() -> World:
    a, b = make_tenant("A"), make_tenant("B")
    owner, member, outsider = make_user("ann"), make_user("ben"), make_user("eve")
    make_membership(a, owner, Membership.Role.OWNER)
    make_membership(a, member, Membership.Role.VIEWER)
    make_membership(b, outsider, Membership.Role.OWNER)
    return World(
        a, b, owner, member, outsider, make_domain(a, "a.example"), make_domain(b, "b.example")
    )


def make_user(name: str, **fields: Any) -> AbstractUser:
    """A user; without a `password` among the fields, tests sign in with force_login."""
    users: Any = get_user_model()._default_manager
    user: AbstractUser = users.create_user(name, f"{name}@users.example", **fields)
    return user


def make_plan(name: str = "", **limits: Any) -> Plan:
    return save(Plan(name=name or f"Plan {next(_numbers)}", **limits))


def make_tenant(name: str = "", *, plan: Plan | None = None, **fields: Any) -> Tenant:
    name = name or f"Tenant {next(_numbers)}"
    external_id = fields.pop("external_id", name.lower().replace(" ", "-"))
    plan = plan or make_plan()
    return save(Tenant(name=name, external_id=external_id, plan=plan, **fields))


def make_membership(tenant: Tenant, user: AbstractUser, role: str) -> Membership:
    return save(Membership(tenant=tenant, user=user, role=role))


def make_domain(tenant: Tenant, name: str = "", **fields: Any) -> Domain:
    """An active domain unless `state` says otherwise."""
    fields.setdefault("state", Domain.State.ACTIVE)
    return save(Domain(tenant=tenant, name=name or f"d{next(_numbers)}.example", **fields))


def make_hop(tenant: Tenant | None = None, **fields: Any) -> NextHop:
    """A next hop on the loopback address without TLS; without a tenant it is everyone's."""
    given = {"host": "127.0.0.1", "port": 2525, "tls": NextHop.Tls.NONE} | fields
    return save(NextHop(tenant=tenant, name=given.pop("name", f"hop {next(_numbers)}"), **given))


def make_mailbox(
    tenant: Tenant, address: str = "", *, hop: NextHop | None = None, **fields: Any
) -> Mailbox:
    """A mailbox at a next hop of its own unless one is given."""
    address = address or f"box{next(_numbers)}@store.example.net"
    return save(Mailbox(tenant=tenant, address=address, next_hop=hop or make_hop(tenant), **fields))


def make_alias(domain: Domain, local_part: str, *targets: Target, **fields: Any) -> Alias:
    """An alias with these targets in order; a stored inbox where none is given."""
    alias = Alias(domain=domain, local_part=local_part, **fields)
    targets = targets or (to_inbox(),)
    for position, target in enumerate(targets):
        target.address, target.position = alias, position
    changes.save_all([alias, *targets], actor=ACTOR)
    return alias


def make_role(domain: Domain, local_part: str, **fields: Any) -> RoleAddress:
    return save(RoleAddress(domain=domain, local_part=local_part, **fields))


def make_rule(address: Address, detail: str, action: str, *targets: Target) -> SubaddressRule:
    rule = SubaddressRule(address=address, detail=detail, action=action)
    for target in targets:
        target.rule = rule
    changes.save_all([rule, *targets], actor=ACTOR)
    return rule


def to_inbox() -> Target:
    return Target(kind="inbox")


def to_mailbox(mailbox: Mailbox) -> Target:
    return Target(kind="mailbox", mailbox=mailbox)


def to_forward(address: str) -> Target:
    return Target(kind="forward", forward_to=address)


def as_user(user: AbstractUser, surface: str = "portal") -> Actor:
    """The user as an actor."""
    return Actor(surface=surface, user=user)


def save(row: Any) -> Any:
    return changes.save(row, actor=ACTOR)
