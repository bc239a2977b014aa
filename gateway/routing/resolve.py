"""resolve(): the one function that decides, for the gateway, Explain, the API and Postfix alike.

Order (docs: README, "An RCPT TO"): return addresses, domain, allow-policy, address, tenant and
policies, targets. Every step appends to the trace, also one that did not match.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from gateway.routing import content_filter, policy, replies, srs
from gateway.routing.address import Address, Subaddress
from gateway.routing.authentication import Ask, Demand, OnFailure
from gateway.routing.content_filter import Filter
from gateway.routing.decision import Branch, Decision, Destination, Step, Take
from gateway.routing.facts import (
    AddressKind,
    Domain,
    Facts,
    HostedAddress,
    RuleAction,
    Session,
    SubaddressRule,
    Target,
)
from gateway.routing.replies import Reply

MAX_DEPTH = 10
MAX_WIDTH = 100  # destinations of one recipient, and forwards followed; more is deferred, not cut
EXEMPT_ROLES = frozenset({"postmaster", "abuse"})
INBOX = Target(id=0, kind="inbox")


class Hit(Struct, frozen=True):
    """What an address was found to be."""

    strategy: str
    rule: str
    domain: Domain
    address: HostedAddress | None
    targets: tuple[Target, ...]
    detail: str = ""
    reply: Reply | None = None  # set where finding it already refuses

    is_exempt: bool = False  # postmaster and abuse: no policy applies

    @property
    def row_id(self) -> int | None:
        return self.address.id if self.address else None

    def accepts_forwards_from(self, origin: Domain) -> bool:
        """Whether the sender was checked before: by the same tenant, or one with consent."""
        if origin.tenant.id == self.domain.tenant.id:
            return True
        return self.address is not None and origin.name in self.address.accepts_forwards_from


class Walk(Struct):
    """What has been gathered on the way through the alias graph."""

    session: Session
    facts: Facts
    is_exempt: bool = False  # on its way to postmaster or abuse: nothing may refuse it
    trace: list[Step] = []
    destinations: dict[Destination, None] = {}
    called_ahead: dict[Destination, None] = {}
    takes: dict[str, Take] = {}
    limits: list[int] = []
    asks: dict[Ask, None] = {}
    filters: dict[Filter, None] = {}
    followed: dict[tuple[str, int], Reply | None] = {}
    branches: list[Branch] = []

    def note(self, name: str, outcome: str, note: str = "") -> None:
        self.trace.append(Step(name, outcome, note))


def resolve(address: Address, session: Session, facts: Facts) -> Decision:
    """Decide one recipient. Never raises; a directory that failed never gets here."""
    walk = Walk(session, facts)
    if reply := policy.check_system_size(session, facts):
        walk.note("system size", "refused", f"limit {facts.platform.max_message_octets} octets")
        return _decision(walk, reply, "size", "system limit")
    if address.domain == facts.platform.bounce_domain:
        if address.folded_local_part in EXEMPT_ROLES:
            return resolve_postmaster(session, facts)
        return _return_path(walk, address)
    found = _find(walk, address)
    if isinstance(found, Reply):
        domain = facts.domains.get(address.domain)
        strategy = "unknown" if domain else "relay"
        return _decision(walk, found, strategy, f"domain {address.domain}", domain=domain)
    walk.is_exempt = found.is_exempt
    reply = _enter(walk, found, path=(address.key,), checks_sender=True)
    return _decision(walk, reply or replies.ACCEPTED, found.strategy, found.rule, hit=found)


def resolve_postmaster(session: Session, facts: Facts) -> Decision:
    """The platform's own postmaster, always accepted (RFC 5321 §4.5.1).

    It is `<postmaster>` without a domain, and postmaster and abuse of the bounce domain.
    """
    walk = Walk(session, facts)
    walk.note("address", "hit", "the platform's postmaster")
    walk.destinations[Destination("inbox")] = None
    return _decision(walk, replies.ACCEPTED, "platform", "postmaster")


def _return_path(walk: Walk, address: Address) -> Decision:
    """SRS return paths, and the opaque ones we issue where SRS would be too long."""
    facts = walk.facts
    sender = facts.return_paths.get(address.key)
    if sender is None and srs.is_return_path(address.local_part):
        day = facts.now.toordinal()
        try:
            sender = srs.reverse(address.local_part, secrets=facts.platform.srs_secrets, day=day)
        except srs.SrsError as error:
            walk.note("return path", "refused", str(error))
    if sender is None:
        walk.note("return path", "no match", address.key)
        return _decision(walk, replies.UNKNOWN_ADDRESS, "return path", "bounce domain")
    if walk.session.sender is not None:
        walk.note("return path", "refused", "only the null sender writes here")
        return _decision(walk, replies.RETURN_PATH_ONLY, "return path", "bounce domain")
    walk.note("return path", "hit", f"goes back to {sender}")
    back = Destination("forward", recipient=sender, hop=facts.platform.smarthost, null_sender=True)
    walk.destinations[back] = None
    return _decision(walk, replies.ACCEPTED, "return path", "bounce domain")


def _find(walk: Walk, address: Address) -> Hit | Reply:
    """Domain, allow-policy and address; first hit wins."""
    facts = walk.facts
    domain = facts.domains.get(address.domain)
    if domain is None or not domain.is_receiving:
        walk.note("domain", "no match", f"{address.domain} is not served here")
        return replies.RELAY_DENIED
    walk.note("domain", "hit", f"{domain.name}, {domain.state}, tenant {domain.tenant.name}")
    split = address.subaddress(domain.delimiters)
    local_part = address.folded_local_part
    if local_part not in EXEMPT_ROLES and (reply := policy.check_allowed(address, domain, facts)):
        walk.note("allow-policy", "refused", f"local part {local_part}")
        return reply
    walk.note("allow-policy", "passed")
    if hit := _exact(walk, address, domain) or _subaddress(walk, split, domain):
        return hit
    walk.note("unknown", "refused", address.key)
    return replies.UNKNOWN_ADDRESS


def _exact(walk: Walk, address: Address, domain: Domain) -> Hit | None:
    """An exact alias, else a role address: its own row, else the domain's holder."""
    local_part = address.folded_local_part
    row = walk.facts.addresses.get(address.key)
    is_exempt = local_part in EXEMPT_ROLES
    if row is not None and row.kind is AddressKind.ALIAS:
        if not (is_exempt and policy.check_alive(row, domain, walk.facts)):
            walk.note("alias", "hit", row.key)
            rule = f"alias {row.key}"
            return Hit("alias", rule, domain, row, row.targets, is_exempt=is_exempt)
        walk.note("alias", "passed over", f"{row.key} is not in use, the role address answers")
        row = None
    else:
        walk.note("alias", "no match", address.key)
    if row is not None or is_exempt:
        return _role(walk, local_part, domain, row)
    walk.note("role address", "no match", local_part)
    return None


def _role(walk: Walk, name: str, domain: Domain, row: HostedAddress | None) -> Hit:
    """The role's own targets or holder, else the domain's holder, else a stored inbox."""
    targets = row.targets if row and row.targets else (_holder(row, domain),)
    whose = "own row" if row else "every domain's"
    walk.note("role address", "hit", f"{name}, {whose}")
    return Hit("role", f"role {name}", domain, row, targets, is_exempt=name in EXEMPT_ROLES)


def _holder(row: HostedAddress | None, domain: Domain) -> Target:
    """The role's own holder, else the domain's, else a stored inbox."""
    holder = (row.holder if row else None) or domain.role_holder
    return Target(id=0, kind="mailbox", mailbox=holder) if holder else INBOX


def _subaddress(walk: Walk, split: Subaddress | None, domain: Domain) -> Hit | None:
    """Base and detail at the first of the domain's delimiters (RFC 5233)."""
    base = walk.facts.addresses.get(split.base_key) if split else None
    if split is None or base is None:
        walk.note("subaddress", "no match", split.base_key if split else "no delimiter")
        return None
    rule = base.rules.get(split.detail)
    walk.note("subaddress", "hit", f"{base.key}, detail {split.detail!r}")
    if base.kind is AddressKind.ALIAS:
        hit = Hit("subaddress", f"alias {base.key}", domain, base, base.targets, split.detail)
    else:
        role = _role(walk, split.base_key.rpartition("@")[0], domain, base)
        hit = replace(role, strategy="subaddress", detail=split.detail, is_exempt=False)
    return _with_rule(walk, hit, rule)


def _with_rule(walk: Walk, hit: Hit, rule: SubaddressRule | None) -> Hit:
    if rule is None:
        walk.note("subaddress rule", "no match", hit.detail)
        return hit
    walk.note("subaddress rule", str(rule.action), hit.detail)
    named = replace(hit, rule=f"{hit.rule}, subaddress rule {hit.detail}")
    if rule.action is RuleAction.REFUSE:
        return replace(named, reply=replies.UNKNOWN_ADDRESS)
    if rule.action is RuleAction.RETARGET:
        return replace(named, targets=rule.targets)
    return named


def _enter(walk: Walk, hit: Hit, *, path: tuple[str, ...], checks_sender: bool) -> Reply | None:
    """Policies, then targets; only what lets the message through is charged for it."""
    reply = hit.reply or _apply_policies(walk, hit, checks_sender=checks_sender)
    if reply is None:
        reply = _follow(walk, hit, path=path)
    if reply is not None and hit.is_exempt:
        reply = _fall_back(walk, hit, path=path)
    if reply is None:
        _charge(walk, hit, is_inner=len(path) > 1)
    return reply


def _apply_policies(walk: Walk, hit: Hit, *, checks_sender: bool) -> Reply | None:
    """Tenant, enabled, expiry, sender, size, rate, quota; none for postmaster and abuse."""
    tenant, facts, session, row = hit.domain.tenant, walk.facts, walk.session, hit.address
    if hit.is_exempt:
        walk.note("policies", "exempt", f"{hit.rule} is always reachable")
        return None
    checks: list[tuple[str, Reply | None]] = [("tenant", policy.check_tenant(tenant, facts))]
    if row is not None:
        sender = policy.check_sender(row, session) if checks_sender else None
        checks += [
            ("enabled, not expired", policy.check_alive(row, hit.domain, facts)),
            ("sender", sender),
            ("size", policy.check_size(row, tenant, session)),
            ("rate", policy.check_rate(row, facts)),
        ]
    checks.append(("quota", policy.check_quota(tenant, facts)))
    for name, reply in checks:
        if reply is not None:
            walk.note(name, "refused", str(reply))
            return reply
        walk.note(name, "passed")
    if walk.is_exempt:
        return None
    if row is not None and row.ask is not None and checks_sender:
        _ask_sender(walk, row.ask)
    if facts.platform.on_unfiltered is not None:
        _filter_content(walk, hit, facts.platform.on_unfiltered)
    return None


def _ask_sender(walk: Walk, ask: Ask) -> None:
    """What only the whole message can answer is asked at DATA, also for an inner address.

    A null sender that the list takes has no author to be on it.
    """
    if walk.session.sender is None and ask.authors:
        ask = replace(ask, authors=())
    if ask.demand is not Demand.NOTHING or ask.authors:
        walk.note("sender authentication", "checked at DATA", str(ask))
        walk.asks[ask] = None


def _filter_content(walk: Walk, hit: Hit, on_unknown: OnFailure) -> None:
    own = hit.address.filter if hit.address else None
    wanted = content_filter.in_force(hit.domain.tenant.filter, own, on_unknown=on_unknown)
    if wanted is not None and wanted not in walk.filters:
        walk.note("content filter", "checked at DATA", str(wanted))
        walk.filters[wanted] = None


def _charge(walk: Walk, hit: Hit, *, is_inner: bool) -> None:
    """Remember what storing this recipient takes from which counter.

    Octets are the tenant's that was written to: its routing record gives them back in the end.
    """
    takes = [] if is_inner else [_storage_take(hit)]
    if not hit.is_exempt:
        takes += _rate_takes(hit)
    if walk.is_exempt:
        takes = [replace(take, limit=None) for take in takes]
    elif not hit.is_exempt:
        row, tenant = hit.address, hit.domain.tenant
        sizes = (row.max_message_octets if row else None, tenant.max_message_octets)
        walk.limits.extend(size for size in sizes if size is not None)
    walk.takes.update((take.counter, take) for take in takes)


def _storage_take(hit: Hit) -> Take:
    """Counted without a limit too, so that one set later starts from what is there."""
    tenant = hit.domain.tenant
    limit = None if hit.is_exempt else tenant.stored_octets_limit
    return Take(policy.storage_counter(tenant.id), limit, replies.STORAGE_FULL, is_storage=True)


def _rate_takes(hit: Hit) -> list[Take]:
    tenant, row = hit.domain.tenant, hit.address
    takes = []
    if row is not None and row.rate_per_hour is not None:
        counter = policy.rate_counter(row.id)
        takes.append(Take(counter, row.rate_per_hour, replies.RATE_EXCEEDED))
    if tenant.messages_per_hour is not None:
        counter = policy.tenant_rate_counter(tenant.id)
        takes.append(Take(counter, tenant.messages_per_hour, replies.TENANT_RATE_EXCEEDED))
    return takes


def _follow(walk: Walk, hit: Hit, *, path: tuple[str, ...]) -> Reply | None:
    """Turn targets into destinations; a Reply only where none is left or one must wait.

    One of postmaster and abuse that must wait keeps no other from its mail.
    """
    answers: list[Reply | None] = []
    waits: Reply | None = None
    for target in hit.targets:
        reply = _follow_target(walk, hit, target, path)
        if reply is not None and reply.is_temporary:
            waits = reply
            if not hit.is_exempt:
                return reply
        answers.append(reply)
    if not answers:
        walk.note("targets", "refused", "none is set")
        return replies.DEAD_END
    return waits or (None if None in answers else answers[0])


def _fall_back(walk: Walk, hit: Hit, *, path: tuple[str, ...]) -> Reply | None:
    """Who keeps the role gets what a target refused or kept waiting (RFC 5321 §4.5.1)."""
    walk.note("targets", "passed over", f"{hit.rule} is always reachable")
    destination = _destination(_holder(hit.address, hit.domain), hit.domain, walk.facts)
    walk.note("target", destination.kind, _describe(destination))
    walk.destinations[destination] = None
    walk.branches.append(Branch(path[-1], hit.rule, hit.row_id, destination.kind, destination))
    return None


def _follow_target(walk: Walk, hit: Hit, target: Target, path: tuple[str, ...]) -> Reply | None:
    origin = (path[-1], hit.rule, hit.row_id)
    if target.forward_to is not None and target.forward_to.key in walk.facts.unread:
        onward = target.forward_to.key
        walk.note("target", "cut", f"{onward} is one of too many forwards")
        walk.branches.append(Branch(*origin, "cut", onward=onward, reply=replies.TOO_WIDE))
        return replies.TOO_WIDE
    if target.forward_to is not None and _is_hosted(target.forward_to, walk.facts):
        onward = target.forward_to.key
        outcome, reply = _follow_hosted(walk, hit, target.forward_to, path)
        walk.branches.append(Branch(*origin, outcome, onward=onward, reply=reply))
        return reply
    destination = _destination(target, hit.domain, walk.facts)
    if len(walk.destinations) >= MAX_WIDTH:
        walk.note("target", "cut", f"more than {MAX_WIDTH} destinations")
        walk.branches.append(Branch(*origin, "cut", destination, reply=replies.TOO_WIDE))
        return replies.TOO_WIDE
    walk.note("target", target.kind, _describe(destination))
    walk.destinations[destination] = None
    walk.branches.append(Branch(*origin, target.kind, destination))
    is_exempt = hit.is_exempt or walk.is_exempt
    if target.mailbox is not None and target.mailbox.hop.calls_ahead and not is_exempt:
        walk.called_ahead[destination] = None
    return None


def _is_hosted(address: Address, facts: Facts) -> bool:
    """A claim that is not verified, or given up, takes nobody's mail away."""
    domain = facts.domains.get(address.domain)
    return domain is not None and domain.is_receiving


def _follow_hosted(
    walk: Walk, hit: Hit, address: Address, path: tuple[str, ...]
) -> tuple[str, Reply | None]:
    """A forward whose domain is hosted here resolves on, each address once from a domain.

    What came of it comes back in the trace's word, and what refused it.
    """
    if address.key in path or len(path) > MAX_DEPTH:
        walk.note("target", "cut", " → ".join((*path, address.key)))
        return "cut", replies.LOOP
    edge = (address.key, hit.domain.id)
    if edge in walk.followed:
        walk.note("target", "forward", f"{address} was followed before")
        return "followed before", walk.followed[edge]
    if len(walk.followed) >= MAX_WIDTH:
        walk.note("target", "cut", f"more than {MAX_WIDTH} forwards")
        return "cut", replies.TOO_WIDE
    walk.note("target", "forward", f"{address} is hosted here")
    walk.followed[edge] = None
    walk.followed[edge] = _follow_inner(walk, hit, address, path)
    return "forward", walk.followed[edge]


def _follow_inner(walk: Walk, hit: Hit, address: Address, path: tuple[str, ...]) -> Reply | None:
    """The inner address's policies; its sender list only where another tenant forwards unasked."""
    inner = _find(walk, address)
    if isinstance(inner, Reply):
        return inner
    here, there = hit.domain, inner.domain
    if there.environment != here.environment:
        walk.note("environment", "refused", f"{here.environment} to {there.environment}")
        return replies.NOT_ALLOWED_HERE
    checks_sender = not inner.accepts_forwards_from(here)
    return _enter(walk, inner, path=(*path, address.key), checks_sender=checks_sender)


def _destination(target: Target, domain: Domain, facts: Facts) -> Destination:
    target_id = target.id or None
    if target.mailbox is not None:
        box = target.mailbox
        return Destination("mailbox", target_id, box.address, box.hop, mailbox_id=box.id)
    if target.forward_to is not None:
        hop = domain.smarthost or facts.platform.smarthost
        return Destination("forward", target_id, target.forward_to, hop, rewrites_sender=True)
    return Destination(target.kind, target_id)


def _describe(destination: Destination) -> str:
    hop = destination.hop
    via = f" via {hop.protocol}:{hop.host}:{hop.port}" if hop else ""
    return f"{destination.recipient or ''}{via}".strip()


def _decision(
    walk: Walk,
    reply: Reply,
    strategy: str,
    rule: str,
    *,
    hit: Hit | None = None,
    domain: Domain | None = None,
) -> Decision:
    domain = hit.domain if hit else domain
    accepted = reply.is_accepted
    walk.note("reply", "accepted" if accepted else "refused", str(reply))
    return Decision(
        reply=reply,
        strategy=strategy,
        rule=rule,
        trace=tuple(walk.trace),
        destinations=tuple(walk.destinations) if accepted else (),
        takes=_sorted(walk.takes.values()) if accepted else (),
        tenant_id=domain.tenant.id if domain else None,
        domain_id=domain.id if domain else None,
        address_id=hit.row_id if hit else None,
        detail=hit.detail if hit else "",
        max_octets=min(walk.limits, default=None),
        retention_days=domain.tenant.retention_days if domain else 30,
        asks=tuple(walk.asks) if accepted else (),
        filters=tuple(walk.filters) if accepted else (),
        called_ahead=tuple(walk.called_ahead) if accepted else (),
        branches=tuple(walk.branches),
    )


def _sorted(takes: Iterable[Take]) -> tuple[Take, ...]:
    return tuple(sorted(takes, key=lambda take: take.counter))
