"""Each policy alone: where it refuses, with which reply, and where it has no objection."""

from datetime import timedelta

import pytest

from gateway.routing import policy, replies
from gateway.routing.address import Address
from gateway.routing.facts import Facts, Session, TenantState, Usage
from tests.routing.memory import NOW, PLATFORM, alias, domain, tenant

FACTS = Facts(platform=PLATFORM, now=NOW)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("state", "for_hours", "reply"),
    [
        (TenantState.ACTIVE, 0, None),
        (TenantState.SUSPENDED, 71.99, replies.TENANT_SUSPENDED),
        (TenantState.SUSPENDED, 72, replies.TENANT_SUSPENDED_LONG),
        (TenantState.SUSPENDED_FOR_ABUSE, 0, replies.TENANT_SUSPENDED_ABUSE),
        (TenantState.CLOSED, 0, replies.TENANT_CLOSED),
    ],
)
def test_check_tenant(state, for_hours, reply):
    customer = tenant(state=state, state_since=NOW - for_hours * HOUR)

    assert policy.check_tenant(customer, FACTS) == reply


@pytest.mark.parametrize(
    ("fields", "reply"),
    [
        ({}, None),
        ({"expires_at": NOW + SECOND}, None),
        ({"expires_at": NOW}, replies.ADDRESS_EXPIRED),
        ({"enabled": False}, replies.ADDRESS_DISABLED),
        ({"enabled": False, "expires_at": NOW + SECOND}, replies.ADDRESS_DISABLED),
        ({"enabled": False, "expires_at": NOW - SECOND}, replies.ADDRESS_EXPIRED),
    ],
)
def test_check_alive(fields, reply):
    row = alias("x@a.example", **fields)
    hidden = reply and replies.UNKNOWN_ADDRESS

    assert policy.check_alive(row, domain(), FACTS) == reply
    assert policy.check_alive(row, domain(hides_disabled=True), FACTS) == hidden


@pytest.mark.parametrize(
    ("sender", "allowed", "takes_bounces", "is_welcome"),
    [
        ("x@far.example", (), False, True),
        (None, (), False, True),
        ("x@far.example", ("x@far.example",), False, True),
        ("X@FAR.example", ("x@far.example",), False, True),
        ("y@far.example", ("x@far.example",), False, False),
        ("x@far.example", ("@far.example",), False, True),
        ("x@sub.far.example", ("@far.example",), False, False),
        ("x@notfar.example", ("@far.example",), False, False),
        ("x+tag@far.example", ("x@far.example",), False, False),
        ('"A,b"@far.example', ('"a,b"@far.example',), False, True),
        ('"a,c"@far.example', ('"a,b"@far.example',), False, False),
        ('"x"@far.example', ("x@far.example",), False, True),
        (None, ("@far.example",), False, False),
        (None, ("<>", "@far.example"), False, True),
        (None, ("@far.example",), True, True),
        ("x@far.example", ("<>",), False, False),
        ("x@bücher.example", ("@xn--bcher-kva.example",), False, True),
    ],
)
def test_check_sender(sender, allowed, takes_bounces, is_welcome):
    row = alias("x@a.example", allowed_senders=allowed, accepts_bounces=takes_bounces)
    session = Session(Address.parse(sender) if sender else None)
    reply = None if is_welcome else replies.SENDER_NOT_ALLOWED

    assert policy.check_sender(row, session) == reply


@pytest.mark.parametrize(
    ("declared", "of_address", "of_tenant", "is_refused"),
    [
        (None, 1, 1, False),
        (100, None, None, False),
        (100, 100, None, False),
        (101, 100, None, True),
        (101, None, 100, True),
        (101, 200, 100, True),
        (101, 100, 200, True),
    ],
)
def test_check_size_takes_the_smaller_limit(declared, of_address, of_tenant, is_refused):
    row = alias("x@a.example", max_message_octets=of_address)
    session = Session(None, declared_octets=declared)
    reply = policy.check_size(row, tenant(max_message_octets=of_tenant), session)

    assert reply == (replies.ADDRESS_SIZE if is_refused else None)


def used(counter: str, usage: Usage) -> Facts:
    return Facts(platform=PLATFORM, now=NOW, usage={counter: usage})


@pytest.mark.parametrize(("total", "is_refused"), [(0, False), (4, False), (5, True), (6, True)])
def test_check_rate_refuses_at_the_limit(total, is_refused):
    row = alias("x@a.example", id=7, rate_per_hour=5)
    facts = used(policy.rate_counter(7), Usage(total))

    assert policy.check_rate(row, facts) == (replies.RATE_EXCEEDED if is_refused else None)


def test_a_rate_of_nothing_takes_nothing():
    row = alias("x@a.example", rate_per_hour=0)

    assert policy.check_rate(row, FACTS) == replies.RATE_EXCEEDED


@pytest.mark.parametrize(
    ("counter", "usage", "reply"),
    [
        (policy.tenant_rate_counter(1), Usage(9), None),
        (policy.tenant_rate_counter(1), Usage(10), replies.TENANT_RATE_EXCEEDED),
        (policy.storage_counter(1), Usage(999), None),
        (policy.storage_counter(1), Usage(1000), replies.STORAGE_FULL),
        (policy.storage_counter(1), Usage(1000, NOW - 71 * HOUR), replies.STORAGE_FULL),
        (policy.storage_counter(1), Usage(1000, NOW - 72 * HOUR), replies.STORAGE_FULL_LONG),
        (policy.storage_counter(2), Usage(1000), None),
    ],
)
def test_check_quota(counter, usage, reply):
    customer = tenant(messages_per_hour=10, stored_octets_limit=1000)

    assert policy.check_quota(customer, used(counter, usage)) == reply


@pytest.mark.parametrize(
    ("local_part", "fields", "is_allowed"),
    [
        ("anna", {}, True),
        ("anna", {"local_part_pattern": "[a-z]+"}, True),
        ("ANNA", {"local_part_pattern": "[a-z]+"}, True),
        ("anna1", {"local_part_pattern": "[a-z]+"}, False),
        ("anna", {"local_part_max_octets": 4}, True),
        ("üü", {"local_part_max_octets": 3}, False),
        ("anna", {"environment": "staging"}, False),
    ],
)
def test_check_allowed(local_part, fields, is_allowed):
    from msgspec.structs import replace

    facts = replace(FACTS, platform=replace(PLATFORM, environments=frozenset({"production"})))
    address = Address.parse(f"{local_part}@a.example")
    reply = policy.check_allowed(address, domain(**fields), facts)

    assert reply == (None if is_allowed else replies.NOT_ALLOWED_HERE)


def test_a_hostile_pattern_costs_no_time():
    assert not policy.matches("(a+)+b", "a" * 60)
