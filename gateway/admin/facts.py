"""The facts of a decision, as an operator reads them: one line for each thing that was read."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.utils import timezone

from gateway.admin import counted
from gateway.models import Counter
from gateway.routing.facts import Domain, Facts, HostedAddress, Platform
from gateway.search.sight import PAGES
from tenants import models as rows
from tenants.octets import print_octets
from tenants.querysets import may_view

MOST = 50  # lines of addresses: a wide graph has more, and its picture shows them


def used_facts(facts: Facts, user: Any) -> list[tuple[str, str]]:
    """Name and value of each that is of a row whose page the user may open."""
    addresses = [each for each in facts.addresses.values() if may_view(user, PAGES[each.kind])]
    domains = facts.domains.values() if may_view(user, rows.Domain) else ()
    usage = sorted(facts.usage.items()) if may_view(user, Counter) else ()
    names = counted.names([name for name, _ in usage], user)
    lines = [
        ("time of the database", _time(facts.now)),
        ("installation", _joined(_of_platform(facts.platform))),
        *((f"domain {each.name}", _joined(_of_domain(each, user))) for each in domains),
        *((f"{each.kind} {each.key}", _joined(_of_address(each))) for each in addresses[:MOST]),
        *((names[name], counted.total(name, each.total)) for name, each in usage),
    ]
    return lines if len(addresses) <= MOST else [*lines, ("more addresses", _rest(addresses))]


def _of_platform(platform: Platform) -> Iterator[str]:
    yield f"messages up to {print_octets(platform.max_message_octets)}"
    hop = platform.smarthost
    yield f"forwards go to {hop.host}:{hop.port}" if hop else "no relay for forwards"
    if platform.environments:
        yield f"serves {', '.join(sorted(platform.environments))}"


def _of_domain(domain: Domain, user: Any) -> Iterator[str]:
    sees_tenant = may_view(user, rows.Tenant)
    yield f"{domain.state}, {domain.environment}"
    if sees_tenant:
        yield f"tenant {domain.tenant.name} is {domain.tenant.state}"
    yield f"delimiters {domain.delimiters}" if domain.delimiters else "no subaddresses"
    if domain.local_part_pattern:
        yield f"local parts like {domain.local_part_pattern}"
    if sees_tenant and domain.tenant.messages_per_hour is not None:
        yield f"{domain.tenant.messages_per_hour} messages an hour"
    if domain.role_holder is not None and may_view(user, rows.Mailbox):
        yield f"roles go to {domain.role_holder.address}"


def _of_address(address: HostedAddress) -> Iterator[str]:
    yield "enabled" if address.enabled else "disabled"
    if address.expires_at is not None:
        yield f"expires {_time(address.expires_at)}"
    yield f"{len(address.targets)} target{'' if len(address.targets) == 1 else 's'}"
    if address.allowed_senders:
        yield f"senders {', '.join(address.allowed_senders)}"
    if address.max_message_octets is not None:
        yield f"up to {print_octets(address.max_message_octets)}"
    if address.rate_per_hour is not None:
        yield f"{address.rate_per_hour} messages an hour"
    if address.rules:
        yield f"rules for {', '.join(sorted(address.rules))}"


def _joined(parts: Iterator[str]) -> str:
    return "; ".join(parts)


def _rest(addresses: list[HostedAddress]) -> str:
    return f"{len(addresses) - MOST}"


def _time(moment: datetime) -> str:
    return timezone.localtime(moment).strftime("%Y-%m-%d %H:%M:%S %Z")
