"""Where mail for addresses ends by what is configured: as resolve() decides, and nothing besides.

Left out is what passes by itself: counts against limits, a suspended tenant, which environments
this process serves, who the sender is.
"""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from gateway.directory import read_facts
from gateway.routing.address import Address
from gateway.routing.decision import Decision
from gateway.routing.facts import Facts, Session, TenantState
from gateway.routing.resolve import resolve

READ_AT_ONCE = 400
NOBODY = Session(None, has_sender=False)


def routes(keys: Iterable[str]) -> Iterator[tuple[str, Decision, Facts]]:
    """Each key with its decision and what that was made from, as this transaction sees the rows.

    Raises LookupFailed. A few queries for every READ_AT_ONCE keys and step of forwards.
    """
    asked = list(dict.fromkeys(keys))
    for begin in range(0, len(asked), READ_AT_ONCE):
        recipients = {key: Address.of_key(key) for key in asked[begin : begin + READ_AT_ONCE]}
        facts = _lasting(read_facts(list(recipients.values())))
        for key, recipient in recipients.items():
            yield key, resolve(recipient, NOBODY, facts), facts


def _lasting(facts: Facts) -> Facts:
    """Without what passes by itself."""
    domains = {
        name: replace(domain, tenant=replace(domain.tenant, state=TenantState.ACTIVE))
        for name, domain in facts.domains.items()
    }
    platform = replace(facts.platform, environments=frozenset())
    return replace(facts, usage={}, domains=domains, platform=platform)
