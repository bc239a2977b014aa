"""A tenant with a domain of its own for tests whose rows must be committed.

The gateway's threads read on connections of their own; names are unique instead of tables being
emptied, which keeps the tests quick and parallel.
"""

from itertools import count
from typing import Any

from tenants import changes
from tenants.changes import Actor
from tenants.models import Alias, Domain, Mailbox, NextHop, Plan, RoleAddress, Target, Tenant

ACTOR = Actor.system("test")
_numbers = count(1)


class Stage:
    """A tenant with an active domain of its own, and makers for what stands on it."""

    def __init__(self, **limits: Any) -> None:
        number = next(_numbers)
        self.plan = Plan(name=f"stage {number}")
        self.tenant = Tenant(
            external_id=f"stage-{number}", name=f"Stage {number}", plan=self.plan, **limits
        )
        name, state = f"stage-{number}.example", Domain.State.ACTIVE
        self.domain = Domain(tenant=self.tenant, name=name, state=state)
        changes.save_all([self.plan, self.tenant, self.domain], actor=ACTOR)

    def add_domain(self, name: str, **fields: Any) -> Domain:
        fields = {"state": Domain.State.ACTIVE} | fields
        return changes.save(Domain(tenant=self.tenant, name=name, **fields), actor=ACTOR)

    def address(self, local_part: str) -> str:
        return f"{local_part}@{self.domain.name}"

    def alias(self, local_part: str, *targets: Target, **fields: Any) -> Alias:
        """An alias; without targets it delivers to a stored inbox."""
        alias = Alias(domain=self.domain, local_part=local_part, **fields)
        rows = list(targets) or [Target(kind="inbox")]
        for target in rows:
            target.address = alias
        changes.save_all([alias, *rows], actor=ACTOR)
        return alias

    def role(self, name: str, **fields: Any) -> RoleAddress:
        return changes.save(RoleAddress(domain=self.domain, local_part=name, **fields), actor=ACTOR)

    def mailbox(
        self, address: str, *, port: int, protocol: str = "smtp", **options: Any
    ) -> Mailbox:
        """A mailbox at a hop of its own, which `options` are about."""
        options = {"host": "127.0.0.1", "protocol": protocol, "tls": NextHop.Tls.NONE} | options
        hop = NextHop(tenant=self.tenant, name=f"hop {address}", port=port, **options)
        box = Mailbox(tenant=self.tenant, address=address, next_hop=hop)
        changes.save_all([hop, box], actor=ACTOR)
        return box
