"""Use-cases that touch several rows of the control plane; each ends in tenants.changes.

Time and the network come in as arguments. A sentence that is raised here is one an operator reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.core.exceptions import ValidationError

from gateway.models import RoutingRecord
from gateway.routing.facts import DomainState
from tenants import changes, forewarning
from tenants.changes import Actor
from tenants.dns import (
    DnspythonResolver,
    Expected,
    Finding,
    HttpsPolicyFetcher,
    Kind,
    PolicyFetcher,
    Resolver,
    Standing,
    State,
    expected_records,
    next_state,
    observe,
)
from tenants.dns.keys import parse_keys
from tenants.dns.observe import BROKE_OFF
from tenants.dns.standing import LIFE_LASTS
from tenants.forwards import forwarders
from tenants.models import (
    Address,
    Alias,
    Domain,
    DomainCheck,
    Mailbox,
    NextHop,
    Plan,
    RoleAddress,
    SubaddressRule,
    Target,
    Tenant,
)
from tenants.querysets import AddressQuerySet

STATE = ("state", "state_since")  # what a change of state writes, and nothing else
EXPIRED_AT_ONCE = (
    500  # each with a lock on its tenant, of which PostgreSQL has room for some thousands
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
    return save_address(alias, [target], actor=actor)


def save_address(
    address: Address, targets: Sequence[Target], *, actor: Actor, reason: str = ""
) -> Address:
    """An address with these targets beside those it has, all or none. Raises ValidationError."""
    for target in targets:
        target.address = address
    with changes.attributed(actor, reason=reason):
        changes.save_all([address, *targets], actor=actor, reason=reason)
        address.check_targets()
    return address


def warnings_for(address: Address) -> list[str]:
    """What is allowed about an address but worth a second thought, one sentence each."""
    targets = list(address.targets.select_related("mailbox"))
    warnings = []
    people = {_person(target) for target in targets} - {""}
    if len(people) > 1:
        warnings.append(
            f"{len(people)} people get this mail: replies will not be seen by the others; "
            "a shared mailbox keeps them together."
        )
    if not targets and address.kind == Address.Kind.ALIAS:
        warnings.append("This address has no target: mail to it is refused.")
    return [*warnings, *_warning_of_end(address)]


def _warning_of_end(address: Address) -> list[str]:
    """What the end of an address, now or when it expires, does to those that forward to it."""
    if address.enabled and address.expires_at is None:
        return []
    found = forwarders([address]).get(address.pk)
    if found is None:
        return []
    is_to_come = address.enabled and not address.is_expired
    return [
        found.losing(f"from {address.expires_at:%Y-%m-%d %H:%M %Z} on" if is_to_come else "now")
    ]


def _person(target: Target) -> str:
    """Who reads what is delivered there; empty where it is no single person."""
    if target.mailbox is not None:
        return target.mailbox.key if target.mailbox.kind == Mailbox.Kind.PERSON else ""
    return target.forward_key


def set_enabled(
    addresses: AddressQuerySet, *, enabled: bool, actor: Actor, reason: str = ""
) -> int:
    """Switch many addresses on or off in one statement; the count of those changed comes back.

    Raises ValidationError where one that is to be switched on has expired or has no target.
    """
    rows = addresses.exclude(enabled=enabled)
    if enabled and (expired := rows.exclude(expired_at=None).values_list("key", flat=True)[:3]):
        raise ValidationError(
            {"expires_at": f"Give {', '.join(expired)} a later expiry: the time is over."}
        )
    if enabled and (lost := rows.without_target().values_list("key", flat=True)[:3]):
        raise ValidationError({"enabled": f"Give {', '.join(lost)} a target first."})
    return changes.update(rows, actor=actor, reason=reason, enabled=enabled)


def expire_addresses(*, actor: Actor, now: datetime) -> int:
    """Switch off what is overdue, so that history shows when; RCPT refused it from its moment on.

    The count comes back; at most 10,000 at a time, the rest is due in the next run.
    """
    overdue = Address.objects.overdue(now).order_by("expires_at").values_list("pk", flat=True)
    keys = list(overdue[:10_000])
    return sum(
        _expire(keys[begin : begin + EXPIRED_AT_ONCE], actor, now)
        for begin in range(0, len(keys), EXPIRED_AT_ONCE)
    )


def _expire(keys: list[int], actor: Actor, now: datetime) -> int:
    # Asked again once their tenants are locked: an expiry that was extended meanwhile stands.
    rows = Address.objects.overdue(now).filter(pk__in=keys)
    return changes.update(rows, actor=actor, reason="expired", enabled=False, expired_at=now)


def suspend_tenant(tenant: Tenant, *, actor: Actor, reason: str, for_abuse: bool = False) -> Tenant:
    """Stop a tenant's mail: senders try again for 72 hours; for abuse, refuse it at once."""
    states = Tenant.State
    tenant.state = states.SUSPENDED_FOR_ABUSE if for_abuse else states.SUSPENDED
    return changes.save(tenant, actor=actor, reason=reason, update_fields=STATE)


def close_tenant(tenant: Tenant, *, actor: Actor, reason: str) -> Tenant:
    """End a tenant's service: its mail is refused at once; its rows stay."""
    tenant.state = Tenant.State.CLOSED
    return changes.save(tenant, actor=actor, reason=reason, update_fields=STATE)


def resume_tenant(tenant: Tenant, *, actor: Actor, reason: str) -> Tenant:
    """Let a tenant's mail through again."""
    tenant.state = Tenant.State.ACTIVE
    return changes.save(tenant, actor=actor, reason=reason, update_fields=STATE)


def claim_domain(
    tenant: Tenant,
    name: str,
    *,
    actor: Actor,
    environment: str = "production",
    may_look_alike: bool = False,
    reason: str = "claimed",
) -> Domain:
    """A claim that waits for DNS to prove it; others may claim the same name meanwhile."""
    domain = Domain(tenant=tenant, name=name, environment=environment)
    domain.may_look_alike = may_look_alike
    return changes.save(domain, actor=actor, reason=reason)


def release_domain(domain: Domain, *, actor: Actor, reason: str = "released") -> Domain:
    """Give a domain up for good: its mail is refused, and nobody inherits its addresses."""
    domain.state = Domain.State.RELEASED
    return changes.save(domain, actor=actor, reason=reason, update_fields=STATE)


def expected_of(domain: Domain) -> list[Expected]:
    """What the domain has to publish, by this installation's settings."""
    return expected_records(
        domain.name,
        token=domain.token,
        mx_hosts=settings.MX_HOSTS,
        spf_include=settings.SPF_INCLUDE,
        dkim=parse_keys(settings.DKIM_PUBLIC_KEYS),
    )


def configured_resolver(*, lifetime_seconds: float = 30.0) -> Resolver:
    """Asks authoritative servers, found through the resolvers that the settings name.

    A check ends within `lifetime_seconds`. Raises ValueError where the system names no resolver.
    """
    return DnspythonResolver(
        settings.DNS_RESOLVERS,
        authoritative_port=settings.DNS_AUTHORITATIVE_PORT,
        lifetime_seconds=lifetime_seconds,
        allow_private_addresses=settings.DNS_ALLOW_PRIVATE_ADDRESSES,
    )


def configured_policies(*, timeout_seconds: float = 5.0) -> PolicyFetcher:
    """Fetches MTA-STS policy files, within so many seconds each."""
    return HttpsPolicyFetcher(
        timeout_seconds=timeout_seconds,
        allow_private_addresses=settings.DNS_ALLOW_PRIVATE_ADDRESSES,
    )


def check_domain(
    domain: Domain,
    *,
    actor: Actor,
    resolver: Resolver,
    now: datetime,
    policies: PolicyFetcher | None = None,
) -> Domain:
    """Ask DNS for every record, note what was found, and let it move the domain's state.

    Without `policies` the file behind an MTA-STS record is not fetched.

    The row as it stands afterwards comes back. Where the state may not change (another claim is
    verified, or the name is in quarantine) the ownership record's advice says why. The network is
    asked before anything is locked.
    """
    findings = observe(expected_of(domain), resolver, policies)
    return _settle(domain, findings, actor=actor, now=now)


def note_broken_check(domain: Domain, *, actor: Actor, now: datetime) -> Domain:
    """Note that nothing could be told, so that the domain is due again when it would have been."""
    unknown = [Finding(each, State.UNKNOWN, advice=BROKE_OFF) for each in expected_of(domain)]
    return _settle(domain, unknown, actor=actor, now=now)


def _settle(domain: Domain, findings: Sequence[Finding], *, actor: Actor, now: datetime) -> Domain:
    with changes.attributed(actor, reason="DNS check"):
        changes.lock(domain)
        fresh = Domain.objects.get(pk=domain.pk)
        if fresh.state != Domain.State.RELEASED:
            _apply_findings(fresh, findings, actor=actor, now=now)
    return fresh


def _apply_findings(
    domain: Domain, findings: Sequence[Finding], *, actor: Actor, now: datetime
) -> None:
    checks = _checks_of(domain, findings, actor)
    found = _states_by_kind(findings)
    standings = {Kind(check.kind): _standing(check) for check in checks.values()}
    step = next_state(
        DomainState(domain.state),
        standings=standings,
        found=found,
        now=now,
        evidence_of_life_at=_last_mail(domain, now) if found[Kind.MX] != State.PRESENT else None,
        told=forewarning.told_kinds(domain, standings, now),
    )
    for kind in step.lasting:
        since = step.standings[kind].since
        forewarning.warn(domain, kind, since, findings, now=now, actor=actor)
    refusal = _move(domain, step.state, step.reason, actor)
    for finding in findings:
        key = (finding.kind, finding.expected.name)
        check = checks.get(key) or DomainCheck(domain=domain, kind=key[0], record_name=key[1])
        _note(check, finding, step.standings[finding.kind], now)
        if refusal and finding.kind == Kind.OWNERSHIP:
            check.advice = refusal
        changes.save(check, actor=actor)


def _checks_of(
    domain: Domain, findings: Sequence[Finding], actor: Actor
) -> dict[tuple[str, str], DomainCheck]:
    """The checks there are of these records; those of records no longer expected are deleted."""
    wanted = {(finding.kind, finding.expected.name) for finding in findings}
    checks = {(check.kind, check.record_name): check for check in domain.checks.all()}
    for key in checks.keys() - wanted:
        changes.delete(checks.pop(key), actor=actor)
    return checks


def _states_by_kind(findings: Sequence[Finding]) -> dict[Kind, State]:
    """Of several records of a kind the worst counts, and unknown is not the worst."""
    order = (State.PRESENT, State.UNKNOWN, State.ABSENT, State.WRONG)
    found: dict[Kind, State] = {}
    for finding in findings:
        states = (found.get(finding.kind, State.PRESENT), finding.state)
        found[finding.kind] = max(states, key=order.index)
    return found


def _standing(check: DomainCheck) -> Standing:
    return Standing(State(check.standing), check.since, check.times_in_row, check.unknown_times)


def _note(check: DomainCheck, finding: Finding, standing: Standing, now: datetime) -> None:
    check.record_type, check.expected = finding.expected.rdtype, finding.expected.value
    check.state, check.found = finding.state, list(finding.found)
    if finding.state is not State.UNKNOWN:
        check.last_known = finding.state
    check.evidence = list(finding.evidence)
    check.advice, check.note = finding.advice, finding.note
    check.standing, check.since = standing.state, standing.since
    check.times_in_row, check.unknown_times = standing.times_in_row, standing.unknown_times
    check.checked_at = now


def _last_mail(domain: Domain, now: datetime) -> datetime | None:
    """When the domain last received mail, as far as that is evidence that its MX works."""
    records = RoutingRecord.objects.filter(
        tenant=domain.tenant_id, domain=domain.pk, accepted=True, at__gt=now - LIFE_LASTS
    )
    moment: datetime | None = records.values_list("at", flat=True).first()
    return moment


def _move(domain: Domain, state: str, reason: str, actor: Actor) -> str:
    """Change the state; the sentence of the rule that forbids it comes back, else nothing."""
    before = domain.state
    if state == before:
        return ""
    domain.state = str(state)
    try:
        fields = (*STATE, "verified_at", "skeleton")
        changes.save(domain, actor=actor, reason=reason, update_fields=fields)
    except ValidationError as error:
        domain.state = before
        return " ".join(error.messages)
    return ""
