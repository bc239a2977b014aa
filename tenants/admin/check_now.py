"""“Check now” on a domain's page: asks the name servers, and says each time what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib import messages
from django.db.models import Max

from tenants import checking, lock, services
from tenants.changes import Actor
from tenants.dns import OPTIONAL_KINDS
from tenants.models import Domain, DomainCheck

# Somebody waits before the page, and a web worker with them.
CHECK_SECONDS = 10.0
POLICY_SECONDS = 3.0
AGAIN_AFTER = timedelta(seconds=10)
"""Name servers belong to others: a second press so soon shows what the first one found."""

State = DomainCheck.State
Found = Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Told:
    """What the page says, and how loud (a level of django.contrib.messages)."""

    level: int
    text: str


def check_now(domain: Domain, *, actor: Actor, now: datetime) -> Told:
    """Check a domain at once, unless that has just been done or is being done."""
    wait = _seconds_to_wait(domain, now)
    if wait:
        text = (
            f"{domain} was checked a moment ago; what was found stands below. "
            f"Ask again in {wait} s."
        )
        return Told(messages.INFO, text)
    with lock.alone(lock.DNS_CHECK, domain.pk) as is_alone:
        if not is_alone:
            text = f"A check of {domain} runs at this moment: open its page again in some seconds."
            return Told(messages.INFO, text)
        return _check(domain, actor, now)


def _check(domain: Domain, actor: Actor, now: datetime) -> Told:
    before, was = _found(domain), domain.get_state_display()
    try:
        resolver = services.configured_resolver(lifetime_seconds=CHECK_SECONDS)
    except ValueError as error:
        return Told(messages.ERROR, str(error))
    policies = services.configured_policies(timeout_seconds=POLICY_SECONDS)
    checked = checking.check(domain, actor=actor, resolver=resolver, policies=policies, now=now)
    return tell(checked, was, before, _found(checked))


def tell(domain: Domain, was: str, before: Found, after: Found) -> Told:
    """What a check changed, in words; `was` is the state that the domain had."""
    state = domain.get_state_display()
    first = f"Checked: {domain} stays {state}."
    if state != was:
        first = f"Checked: {domain} was {was} and is {state} now."
    if set(after.values()) <= {State.UNKNOWN}:
        text = f"{first} No name server gave an answer, which changes nothing; why stands below."
        return Told(messages.WARNING, text)
    changed = [_change(key, before.get(key), new) for key, new in after.items()]
    news = "; ".join(filter(None, changed)) if before else ""
    needed = [each for (kind, _), each in after.items() if kind not in OPTIONAL_KINDS]
    missing = sum(each in (State.ABSENT, State.WRONG) for each in needed)
    level = messages.WARNING if missing else messages.SUCCESS
    found = f"{missing} of {len(needed)} needed records are not as they should be"
    text = news or ("Nothing has changed" if before else "What was found stands below")
    return Told(level, f"{first} {text}; {found}." if missing else f"{first} {text}.")


def _change(key: tuple[str, str], old: str | None, new: str) -> str:
    if old == new:
        return ""
    label = dict(DomainCheck.Kind.choices)[key[0]]
    return f"{label} is {new}" + (f", was {old}" if old else "")


def _found(domain: Domain) -> dict[tuple[str, str], str]:
    rows = DomainCheck.objects.filter(domain=domain).exclude(checked_at=None).order_by("pk")
    return {(kind, name): state for kind, name, state in rows.values_list(*_KEYS)}


_KEYS = ("kind", "record_name", "state")


def _seconds_to_wait(domain: Domain, now: datetime) -> int:
    last = domain.checks.aggregate(at=Max("checked_at"))["at"]
    if last is None or now - last >= AGAIN_AFTER:
        return 0
    return max(1, round((AGAIN_AFTER - (now - last)).total_seconds()))
