"""The list of domains tells what is wrong and what comes of it, and finds those in trouble."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from tenants.admin.trouble import outlook_of, print_days, print_until, trouble_of
from tenants.models import Domain, DomainCheck
from tests import world as make
from tests.pages import url_of
from tests.world import World

NOW = timezone.now()
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def check(kind: str, standing: str, since: timedelta = DAY) -> DomainCheck:
    return DomainCheck(kind=kind, standing=standing, state=standing, since=NOW - since)


@pytest.mark.parametrize(
    ("checks", "text"),
    [
        ([], ""),
        ([check("mx", "present"), check("spf", "unknown")], ""),
        ([check("mx", "wrong"), check("spf", "absent")], "MX wrong, SPF absent"),
        ([check("dkim", "absent"), check("dkim", "absent")], "DKIM absent"),
        ([check("mta-sts", "wrong"), check("tls-rpt", "absent")], ""),
    ],
)
def test_trouble_names_the_records(checks: list[DomainCheck], text: str) -> None:
    assert trouble_of(checks) == text


@pytest.mark.parametrize(
    ("state", "since", "checks", "text"),
    [
        ("active", DAY, [], ""),
        ("active", DAY, [check("spf", "absent", 9 * DAY)], ""),
        ("active", DAY, [check("mx", "wrong", DAY)], "degraded in 2 days"),
        ("active", DAY, [check("mx", "wrong", 71 * HOUR)], "degraded in 1 hour"),
        ("active", DAY, [check("mx", "absent", 4 * DAY)], "degraded by the next check"),
        ("pending", 3 * DAY, [check("mx", "absent", 9 * DAY)], "pending for 3 days"),
        ("degraded", 5 * DAY, [], "degraded for 5 days"),
        ("released", 10 * DAY, [], "free for others in 20 days"),
        ("released", 40 * DAY, [], ""),
    ],
)
def test_the_outlook_counts_the_days(
    state: str, since: timedelta, checks: list[DomainCheck], text: str
) -> None:
    moment = NOW - since
    domain = Domain(state=state, state_since=moment, created_at=moment, verified_at=moment)
    assert outlook_of(domain, checks, NOW) == text


@pytest.mark.parametrize(
    ("span", "text"), [(HOUR, "1 hour"), (47 * HOUR, "47 hours"), (2 * DAY, "2 days")]
)
def test_spans_are_days_or_hours(span: timedelta, text: str) -> None:
    assert print_days(span) == text
    assert print_until(span) == f"in {text}"


def note(domain: Domain, kind: str, standing: str) -> None:
    about = {"record_name": domain.name, "record_type": "TXT", "standing": standing}
    make.save(DomainCheck(domain=domain, kind=kind, **about))


@pytest.mark.parametrize(
    ("state", "kind", "standing", "is_found"),
    [
        ("active", "mx", "wrong", True),
        ("active", "ownership", "absent", True),
        ("active", "spf", "absent", False),
        ("active", "mx", "present", False),
        ("pending", "mx", "absent", False),
        ("degraded", "mx", "present", True),
    ],
)
def test_domains_in_trouble_are_found(
    client: Client, world: World, state: str, kind: str, standing: str, is_found: bool
) -> None:
    domain = make.make_domain(world.a, "x.example", state=state)
    note(domain, kind, standing)
    page = client.get(url_of(Domain, "changelist"), {"trouble": "now"})
    assert [row.name for row in page.context_data["cl"].result_list] == ["x.example"] * is_found
    page = client.get(url_of(Domain, "changelist"), {"trouble": "inactive"})
    assert (domain in page.context_data["cl"].result_list) is (state != "active")


def test_the_list_costs_the_same_however_long_it_is(
    client: Client, world: World, django_assert_max_num_queries
) -> None:
    url = url_of(Domain, "changelist")
    client.get(url)
    for number in range(8):
        note(make.make_domain(world.a, f"x{number}.example"), "mx", "wrong")
    with django_assert_max_num_queries(16):
        page = client.get(url).content.decode()
    assert page.count("MX wrong") >= 8
    assert "degraded in" in page
