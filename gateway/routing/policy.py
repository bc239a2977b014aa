"""Each policy is a small function of facts: a Reply where it refuses, None where it does not.

Order and exemptions are resolve()'s business. Limits counted here are peeked at; DATA takes them.
"""

from datetime import datetime, timedelta

import re2

from gateway.routing import replies
from gateway.routing.address import Address
from gateway.routing.facts import Domain, Facts, HostedAddress, Session, Tenant, TenantState
from gateway.routing.replies import Reply

SUSPENSION_GRACE = timedelta(hours=72)
STORAGE_GRACE = timedelta(days=3)


def rate_counter(address_id: int) -> str:
    """The key under which an address's recipients in an hour are counted."""
    return f"rate:address:{address_id}"


def tenant_rate_counter(tenant_id: int) -> str:
    """The key under which a tenant's recipients in an hour are counted."""
    return f"rate:tenant:{tenant_id}"


def storage_counter(tenant_id: int) -> str:
    """The key under which a tenant's stored octets are counted."""
    return f"stored:tenant:{tenant_id}"


def check_allowed(address: Address, domain: Domain, facts: Facts) -> Reply | None:
    """The domain's allow-policy: environment, local-part length and pattern."""
    served = facts.platform.environments
    if served and domain.environment not in served:
        return replies.NOT_ALLOWED_HERE
    local_part = address.folded_local_part
    limit = domain.local_part_max_octets
    if limit is not None and len(local_part.encode()) > limit:
        return replies.NOT_ALLOWED_HERE
    if domain.local_part_pattern and not matches(domain.local_part_pattern, local_part):
        return replies.NOT_ALLOWED_HERE
    return None


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches a tenant's RE2 pattern (linear time, compiled once)."""
    return re2.fullmatch(pattern, text) is not None


def check_tenant(tenant: Tenant, facts: Facts) -> Reply | None:
    """Suspended mail waits at its sender for SUSPENSION_GRACE; the rest is refused at once."""
    if tenant.state is TenantState.SUSPENDED:
        long = facts.now - tenant.state_since >= SUSPENSION_GRACE
        return replies.TENANT_SUSPENDED_LONG if long else replies.TENANT_SUSPENDED
    if tenant.state is TenantState.SUSPENDED_FOR_ABUSE:
        return replies.TENANT_SUSPENDED_ABUSE
    if tenant.state is TenantState.CLOSED:
        return replies.TENANT_CLOSED
    return None


def check_alive(address: HostedAddress, domain: Domain, facts: Facts) -> Reply | None:
    """Not expired and enabled; a domain may choose to look as if the address never existed.

    Expiry is told first: an expired address is switched off a little later, and says the same.
    """
    if address.expires_at is not None and address.expires_at <= facts.now:
        reply = replies.ADDRESS_EXPIRED
    elif not address.enabled:
        reply = replies.ADDRESS_DISABLED
    else:
        return None
    return replies.UNKNOWN_ADDRESS if domain.hides_disabled else reply


def check_sender(address: HostedAddress, session: Session) -> Reply | None:
    """The envelope sender against the address's list: whole addresses, or domains as `@domain`.

    An address that wants the author on its list has that checked at DATA.

    The null sender is refused where a list stands, unless `<>` is listed or the address is a
    send-as identity, which gets bounces.
    """
    allowed = address.allowed_senders
    if not allowed or not session.has_sender:
        return None
    if session.sender is None:
        welcome = "<>" in allowed or address.accepts_bounces
    elif address.ask is not None and address.ask.authors:
        welcome = True
    else:
        welcome = session.sender.matches(allowed)
    return None if welcome else replies.SENDER_NOT_ALLOWED


def check_size(address: HostedAddress, tenant: Tenant, session: Session) -> Reply | None:
    """The declared size (RFC 1870) against the smaller of the address's and the tenant's limit."""
    limits = [x for x in (address.max_message_octets, tenant.max_message_octets) if x is not None]
    if session.declared_octets is None or not limits:
        return None
    return replies.ADDRESS_SIZE if session.declared_octets > min(limits) else None


def check_system_size(session: Session, facts: Facts) -> Reply | None:
    limit = facts.platform.max_message_octets
    declared = session.declared_octets
    return replies.SYSTEM_SIZE if declared is not None and declared > limit else None


def check_rate(address: HostedAddress, facts: Facts) -> Reply | None:
    limit = address.rate_per_hour
    if limit is None or facts.usage_of(rate_counter(address.id)).total < limit:
        return None
    return replies.RATE_EXCEEDED


def check_quota(tenant: Tenant, facts: Facts) -> Reply | None:
    """The tenant's messages in the rolling hour and its stored octets."""
    limit = tenant.messages_per_hour
    if limit is not None and facts.usage_of(tenant_rate_counter(tenant.id)).total >= limit:
        return replies.TENANT_RATE_EXCEEDED
    stored = facts.usage_of(storage_counter(tenant.id))
    ceiling = tenant.stored_octets_limit
    if ceiling is not None and stored.total >= ceiling:
        return storage_reply(stored.full_since, now=facts.now)
    return None


def storage_reply(full_since: datetime | None, *, now: datetime) -> Reply:
    """Temporary at first, permanent once the storage has been full for days."""
    full_for_days = full_since is not None and now - full_since >= STORAGE_GRACE
    return replies.STORAGE_FULL_LONG if full_for_days else replies.STORAGE_FULL
