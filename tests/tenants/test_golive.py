"""The list of what has to be true before the world's mail is switched: facts, lines, page."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gateway.models import Delivery, RoutingRecord
from tenants import services
from tenants.changes import Actor
from tenants.golive import Facts, Progress, Record, checklist, read_facts
from tenants.models import Domain
from tests import world as make
from tests.gateway import outbox
from tests.tenants.memory_resolver import MemoryResolver
from tests.world import World

NOW = timezone.now()
GOOD = {kind: Record("present") for kind in ("mx", "spf", "dkim", "dmarc")}
READY = Facts(True, GOOD, 300, (), "a@a.example", is_accepted=True, is_delivered=True)
ELSEWHERE = GOOD | {"mx": Record("wrong", "Point MX to here.")}
LINES = [
    # what is the matter, the line that is not done, how it stands, its mend
    (replace(READY, is_verified=False), "Ownership", "open", "Publish the ownership record"),
    (replace(READY, first_address=""), "An address", "open", "Add an alias"),
    (replace(READY, unread_roles=("abuse",)), "postmaster and", "open", "mail to abuse@ is stored"),
    (replace(READY, is_accepted=False, is_delivered=False), "A message", "open", "to a@a.example"),
    (replace(READY, is_delivered=False), "A message", "open", "not delivered yet"),
    (replace(READY, records=ELSEWHERE), "The MX points", "open", "Point MX to here."),
    (replace(READY, records=GOOD | {"spf": Record("absent", "x")}), "SPF", "open", "x"),
    (
        replace(READY, records=GOOD | {"dmarc": Record("unknown")}),
        "DMARC",
        "not known",
        "Check now",
    ),
]


@pytest.mark.parametrize(("facts", "title", "progress", "mend"), LINES, ids=[r[1] for r in LINES])
def test_each_line_says_what_is_to_be_done(
    facts: Facts, title: str, progress: str, mend: str
) -> None:
    [line] = [line for line in checklist(facts) if not line.is_done]
    assert line.title.startswith(title)
    assert line.progress.startswith(progress)
    assert mend in line.mend


def test_a_domain_that_is_ready_has_nothing_to_do() -> None:
    assert [line for line in checklist(READY) if not line.is_done] == []
    assert all(not line.mend for line in checklist(READY))


@pytest.mark.parametrize(
    ("mx", "ttl", "progress"),
    [
        ("present", 86400, Progress.DONE),  # the switch is behind it
        ("wrong", 300, Progress.DONE),
        ("wrong", 86400, Progress.OPEN),
        ("absent", None, Progress.DONE),
        ("unknown", None, Progress.UNKNOWN),
    ],
)
def test_the_ttl_matters_until_the_mx_points_here(
    mx: str, ttl: int | None, progress: Progress
) -> None:
    facts = replace(READY, records=GOOD | {"mx": Record(mx)}, mx_ttl_seconds=ttl)
    line = next(line for line in checklist(facts) if "without long waiting" in line.title)
    assert line.progress == progress
    assert ("1 day" in line.mend) is (progress is Progress.OPEN)


def deliver(to: Domain, state: str = Delivery.State.DELIVERED, **about: object) -> None:
    """A message to the domain, in this state of its delivery."""
    [delivery] = outbox.put(tenant_id=to.tenant_id, state=state)
    values = {"tenant": to.tenant_id, "domain": to.pk, "accepted": True} | about
    RoutingRecord.objects.filter(pk=delivery.record_id).update(**values)


def test_facts_are_read_from_what_is_there(world: World) -> None:
    empty = read_facts(world.domain, now=NOW)
    assert empty.unread_roles == ("postmaster", "abuse")
    assert (empty.first_address, empty.is_accepted, empty.mx_ttl_seconds) == ("", False, None)
    make.make_alias(world.domain, "hello")
    make.make_role(world.domain, "abuse", holder=make.make_mailbox(world.a))
    expected = services.expected_of(world.domain)
    resolver = MemoryResolver.publishing(*expected)
    services.check_domain(world.domain, actor=Actor.system("test"), resolver=resolver, now=NOW)
    deliver(world.domain)
    facts = read_facts(world.domain, now=timezone.now())
    assert facts.first_address == "hello@a.example"
    assert facts.unread_roles == ("postmaster",)
    assert {record.state for record in facts.records.values()} == {"present"}
    assert (facts.mx_ttl_seconds, facts.is_accepted, facts.is_delivered) == (300, True, True)


@pytest.mark.parametrize(
    ("state", "about", "is_accepted", "is_delivered"),
    [
        ("delivered", {}, True, True),
        ("deferred", {}, True, False),
        ("delivered", {"accepted": False}, False, False),
        ("delivered", {"at": NOW - timedelta(days=8)}, False, False),
        ("delivered", {"domain": 0}, False, False),
    ],
)
def test_a_test_message_has_to_be_recent_and_delivered(
    world: World, state: str, about: dict, is_accepted: bool, is_delivered: bool
) -> None:
    deliver(world.domain, state, **about)
    facts = read_facts(world.domain, now=timezone.now())
    assert (facts.is_accepted, facts.is_delivered) == (is_accepted, is_delivered)


def test_a_holder_of_the_domain_reads_its_role_addresses(world: World) -> None:
    world.domain.default_role_holder = make.make_mailbox(world.a)
    make.save(world.domain)
    assert read_facts(world.domain, now=NOW).unread_roles == ()


def test_a_disabled_role_address_is_read_by_nobody(world: World) -> None:
    holder = make.make_mailbox(world.a)
    make.make_role(world.domain, "postmaster", holder=holder, enabled=False)
    assert read_facts(world.domain, now=NOW).unread_roles == ("postmaster", "abuse")


def test_a_role_address_of_another_claim_is_read_by_nobody_here(world: World) -> None:
    claim = make.make_domain(world.b, world.domain.name, state=Domain.State.PENDING)
    make.make_role(claim, "postmaster", holder=make.make_mailbox(world.b))
    assert read_facts(world.domain, now=NOW).unread_roles == ("postmaster", "abuse")


def test_the_page_tells_how_much_is_left(client: Client, world: World) -> None:
    page = client.get(world.domain.get_absolute_url()).content.decode()
    assert "Going live: 7 of 8 left" in page
    assert "Choose a default role holder on this page" in page
    Domain.objects.filter(pk=world.domain.pk).update(state=Domain.State.RELEASED)
    assert "Going live" not in client.get(world.domain.get_absolute_url()).content.decode()


def test_the_facts_cost_a_handful_of_queries(world: World) -> None:
    deliver(world.domain)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        read_facts(world.domain, now=timezone.now())
    assert len(queries) <= 6
