"""Use-cases that touch several rows of the control plane; each ends in tenants.changes.

Time and the network come in as arguments. A sentence that is raised here is one an operator reads.
"""

from dataclasses import dataclass

from tenants import changes
from tenants.changes import Actor
from tenants.models import (
    Address,
    Alias,
    Domain,
    Mailbox,
    NextHop,
    Plan,
    RoleAddress,
    SubaddressRule,
    Target,
    Tenant,
)

DEMO_TENANT = "demo"
DEMO_DOMAIN = "demo.example"


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo tenant, its domain, and the address that a first message is sent to."""

    tenant: Tenant
    domain: Domain
    first_address: str


def create_demo_tenant(*, actor: Actor) -> Demo:
    """The demo tenant, made where it is not there yet.

    Its addresses show one rule each: hello (stored inbox; detail `spam` refused), team (mailbox),
    partners (senders of partner.example alone), small (10 kB), busy (two an hour), closed
    (disabled), noreply (discarded), forward (to hello) and the role address support.
    """
    with changes.attributed(actor, reason="demo tenant"):
        domain = Domain.objects.filter(name=DEMO_DOMAIN, tenant__external_id=DEMO_TENANT).first()
        domain = domain or _make_demo(actor)
    return Demo(domain.tenant, domain, f"hello@{DEMO_DOMAIN}")


def _make_demo(actor: Actor) -> Domain:
    plan = Plan.objects.filter(name="Demo").first() or changes.save(
        Plan(name="Demo", max_domains=10, max_addresses=1000, retention_days=7), actor=actor
    )
    tenant = Tenant.objects.filter(external_id=DEMO_TENANT).first() or changes.save(
        Tenant(external_id=DEMO_TENANT, name="Demo", plan=plan), actor=actor
    )
    domain = Domain(tenant=tenant, name=DEMO_DOMAIN, state=Domain.State.ACTIVE)
    changes.save(domain, actor=actor, reason="reserved by RFC 2606: no DNS can verify it")
    hop = NextHop(tenant=tenant, name="Demo mail store", host="127.0.0.1", port=2526)
    hop.tls = NextHop.Tls.NONE
    changes.save(hop, actor=actor)
    mailbox = Mailbox(tenant=tenant, address="team@mail.demo.example", name="Team", next_hop=hop)
    mailbox.kind = Mailbox.Kind.TEAM
    changes.save(mailbox, actor=actor)
    _make_demo_addresses(domain, mailbox, actor)
    return domain


def _make_demo_addresses(domain: Domain, mailbox: Mailbox, actor: Actor) -> None:
    hello = _make_alias(domain, "hello", Target(kind="inbox"), actor)
    refused = SubaddressRule(address=hello, detail="spam", action=SubaddressRule.Action.REFUSE)
    to_mailbox = Target(kind="mailbox", mailbox=mailbox)
    changes.save(refused, actor=actor)
    _make_alias(domain, "team", to_mailbox, actor)
    _make_alias(
        domain, "partners", Target(kind="inbox"), actor, allowed_senders=["@partner.example"]
    )
    _make_alias(domain, "small", Target(kind="inbox"), actor, max_message_octets=10_000)
    _make_alias(domain, "busy", Target(kind="inbox"), actor, rate_per_hour=2)
    _make_alias(domain, "closed", Target(kind="inbox"), actor, enabled=False)
    _make_alias(domain, "noreply", Target(kind="discard"), actor)
    forward = Target(kind="forward", forward_to=f"hello@{domain.name}")
    _make_alias(domain, "forward", forward, actor)
    changes.save(RoleAddress(domain=domain, local_part="support", holder=mailbox), actor=actor)


def _make_alias(
    domain: Domain, local_part: str, target: Target, actor: Actor, **fields: object
) -> Address:
    alias = Alias(domain=domain, local_part=local_part, **fields)
    target.address = alias
    changes.save_all([alias, target], actor=actor)
    return alias
