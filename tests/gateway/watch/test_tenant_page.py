"""A tenant's page: usage against plan, all of it with links that agree, nothing of others."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from gateway.models import Concern, Counter
from gateway.routing import replies
from gateway.routing.policy import storage_counter, tenant_rate_counter
from gateway.watch import alarms, holdings, traffic, usage, works
from gateway.watch.facts import Finding, Kind, Severity
from gateway.watch.holdings import HOLDINGS
from gateway.watch.usage import Share, read_shares
from tenants import counting, jobs, timeline
from tenants.changes import Actor
from tenants.models import Address, Alias, Domain, Export, SendAsIdentity, Tenant
from tenants.roles import Role
from tests import world as make
from tests.gateway import outbox
from tests.gateway.watch.mail import record, refusals
from tests.pages import blank, url_of
from tests.staff import client_of, make_member_of_staff, make_staff
from tests.world import World

EVIL = "<script>alert(1)</script>"


def page_of(client: Client, tenant: Tenant) -> Any:
    response = client.get(tenant.get_absolute_url())
    assert response.status_code == 200
    return response


def text_of(response: Any) -> str:
    words = re.sub(r"<[^>]+>", " ", response.content.decode()).split()
    return unescape(" ".join(words))


def figures_of(response: Any) -> dict[str, dict[str, str]]:
    return {
        group.title: {figure.label: figure.value for figure in group.figures}
        for group in response.context_data["groups"]
    }


# --- usage against plan


@pytest.mark.parametrize(
    ("used", "limit", "percent", "severity"),
    [
        (0, 10, 0, None),
        (79, 100, 79, None),
        (80, 100, 80, Severity.WARNING),
        (999, 1000, 99, Severity.WARNING),
        (10, 10, 100, Severity.CRITICAL),
        (25, 10, 250, Severity.CRITICAL),
        (0, 0, 100, Severity.CRITICAL),
        (5, None, None, None),
        (None, 10, None, None),
    ],
)
def test_share_of_a_limit(
    used: int | None, limit: int | None, percent: int | None, severity: Severity | None
) -> None:
    share = Share("max_domains", used, limit, None, limit)
    assert (share.percent, share.severity) == (percent, severity)


def test_usage_is_what_the_gateway_and_the_rules_count(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make.make_plan(max_domains=5, messages_per_hour=100, stored_octets=10_000_000)
    tenant = make.make_tenant(plan=plan, max_domains=10)
    domain = make.make_domain(tenant)
    make.make_domain(tenant, state=Domain.State.RELEASED)
    make.make_alias(domain, "x")
    make.make_alias(domain, "off", enabled=False)
    now = timezone.now()
    minute = int(now.timestamp()) // 60
    Counter.objects.create(key=tenant_rate_counter(tenant.pk), minute=minute - 60, counts=[7, 90])
    Counter.objects.create(key=storage_counter(tenant.pk), total=8_500_000)
    shares = {share.name: share for share in read_shares(tenant, now)}
    assert {name: share.used for name, share in shares.items()} == {
        "max_domains": 1,
        "max_addresses": 2,
        "messages_per_hour": 7,
        "stored_octets": 8_500_000,
        "max_message_octets": None,
        "retention_days": None,
    }
    monkeypatch.setattr(usage, "DOMAINS_NAMED", 0)  # as for a tenant of very many domains
    assert read_shares(tenant, now) == list(shares.values())
    assert (shares["max_domains"].own, shares["max_domains"].plan) == (10, 5)
    assert shares["max_domains"].percent == 10
    assert shares["max_addresses"].percent is None
    assert shares["stored_octets"].severity == Severity.WARNING


def test_the_page_says_each_share_in_words_and_what_happens_at_its_end(client: Client) -> None:
    plan = make.make_plan(max_domains=1, stored_octets=10_000_000, retention_days=14)
    tenant = make.make_tenant(plan=plan, retention_days=60)
    make.make_domain(tenant)
    Counter.objects.create(key=storage_counter(tenant.pk), total=8_123_456)
    page = text_of(page_of(client, tenant))
    assert "Domains 1 1 100 % used up No further domain can be claimed. — 1" in page
    assert "8.1 MB 10 MB 81 % nearly used up Once used up" in page
    assert str(replies.STORAGE_FULL) in page
    assert "Addresses 0 unlimited — — —" in page
    assert "Messages per hour not counted unlimited" in page
    assert "Retention — 60 days — 60 days 14 days" in page


# --- everything of it


@pytest.fixture
def busy(world: World) -> World:
    """A tenant with one of everything, a second one with as much."""
    for tenant, domain in ((world.a, world.domain), (world.b, world.other_domain)):
        fill(tenant, domain)
    traffic.fold(timezone.now())
    return world


def fill(tenant: Tenant, domain: Domain, *, times: int = 1) -> None:
    now = timezone.now()
    hop = make.make_hop(tenant)
    for i in range(times):
        box = make.make_mailbox(tenant, hop=hop)
        alias = make.make_alias(domain, f"live{i}", make.to_mailbox(box))
        make.save(SendAsIdentity(mailbox=box, address=alias.key, state="verified"))
        make.make_alias(domain, f"off{i}", enabled=False)
        make.make_alias(domain, f"soon{i}", expires_at=now + timedelta(days=2))
        late = make.make_alias(domain, f"late{i}", expires_at=now + timedelta(days=1))
        Address.objects.filter(pk=late.pk).update(expires_at=now - timedelta(days=1))
        Concern.objects.create(address=alias, kind="broken", detail="x", since=now)
        make.make_domain(tenant, state=Domain.State.PENDING)
        for state in ("pending", "deferred", "held", "quarantined", "delivered"):
            outbox.put(state=state, tenant_id=tenant.pk)
        record(now - timedelta(minutes=2), tenant=tenant)
        refusals(now - timedelta(minutes=2 + i), "unknown-address", 9, domain=domain.name)
        refusals(now - timedelta(minutes=2 + i), "rate", 4, domain=domain.name)
        finding = Finding(
            Kind.QUOTA, f"{tenant.pk}-{i}", Severity.WARNING, EVIL, "e", tenant_id=tenant.pk
        )
        alarms.settle([finding], now=now)


def test_everything_of_a_tenant_is_counted_and_nothing_of_others(
    client: Client, busy: World
) -> None:
    response = page_of(client, busy.a)
    found = figures_of(response)
    assert found["Domains"] == {"active": "1", "pending": "1"}
    assert found["Aliases"] == {
        "enabled": "2",
        "disabled": "1",
        "expired": "1",
        "expire in 7 days": "1",
        "target broken": "1",
    }
    assert found["Role addresses"] == {}
    assert found["Mailboxes"] == {"person": "1"}
    assert found["Next hops"] == {"its own": "1"}
    assert found["Memberships"] == {"in all": "2"}
    assert found["Send-as identities"] == {"verified": "1"}
    assert found["Deliveries not settled"] == {"waiting": "2", "held": "1", "quarantined": "1"}
    assert found["Recipients, last 24 hours"] == {
        "accepted": "6",
        "deferred: rate": "4",
        "refused: unknown address": "9",
    }
    assert len(response.context_data["alarms"]) == 1
    assert response.context_data["edits"]
    assert EVIL not in response.content.decode()


def test_every_figure_leads_to_a_list_with_as_many_rows(client: Client, busy: World) -> None:
    for group in page_of(client, busy.a).context_data["groups"]:
        assert client.get(group.url).status_code == 200
        for figure in group.figures:
            with blank():
                listed = client.get(figure.url)
            assert listed.status_code == 200, figure.url
            if group.title != "Recipients, last 24 hours":
                assert str(listed.context_data["cl"].result_count) == figure.value, figure.url


def test_jobs_about_a_tenant_are_those_of_its_rows(client: Client, ops: Any, world: World) -> None:
    actor = Actor.system("test")
    for domain in (world.domain, world.other_domain):
        make.make_alias(domain, "x")
        job = jobs.draft("disable", title=f"About {domain}", actor=actor, permission="x")
        jobs.list_rows(job, Alias.objects.filter(domain=domain), label="key")
    assert [job.title for job in works.jobs_about(world.a)] == ["About a.example"]
    assert "About a.example" in text_of(page_of(client, world.a))


def test_exports_about_a_tenant_are_those_that_were_asked_of_it_alone(
    client: Client, world: World
) -> None:
    make.make_alias(world.domain, "x")
    chosen = {"action": "export_csv", "_selected_action": [Alias.objects.get().pk]}
    taken = {"written": "csv"}
    for narrowed in (
        f"domain__tenant__id__exact={world.a.pk}",
        f"domain__tenant__id__exact={world.b.pk}",
        f"domain__id__exact={world.other_domain.pk}",
        f"domain__id__exact={world.domain.pk}&state=enabled",
        "",
    ):
        client.post(f"{url_of(Alias, 'changelist')}export/?{narrowed}", taken)
    client.post(f"{url_of(Alias, 'changelist')}?domain__tenant__id__exact={world.a.pk}", chosen)
    client.post(reverse("admin:tenants_tenant_export_all", args=[world.a.pk]), taken)
    assert [export.what for export in works.exports_about(world.a)] == [
        "everything of tenant a",
        "aliases: chosen rows",
        "aliases: domain: a.example, state: Enabled",
        "aliases: tenant: A",
    ]


def test_the_page_asks_as_often_for_a_large_tenant_as_for_a_small_one(
    client: Client, busy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What edits name is looked up by kind, so they ask as often as they name kinds of rows.
    monkeypatch.setattr(timeline, "latest", lambda *_given, **_more: [])

    def asked(tenant: Tenant) -> int:
        page_of(client, tenant)
        with CaptureQueriesContext(connection) as captured:
            page_of(client, tenant)
        return len(captured)

    small = asked(busy.a)
    fill(busy.a, make.make_domain(busy.a), times=3)
    assert asked(busy.a) == small
    assert small <= 50


def test_the_last_edits_ask_a_query_a_table_and_one_for_each_kind_they_name(busy: World) -> None:
    fill(busy.a, make.make_domain(busy.a), times=4)
    with CaptureQueriesContext(connection) as captured:
        edits = timeline.latest(busy.a.pk, 6)
    assert sum(len(edit.rows) for edit in edits) == 6
    assert len(captured) <= 1 + len(timeline.MODELS) + 6


def test_what_cannot_be_counted_in_time_is_said(
    client: Client, busy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*_given: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(60)")

    monkeypatch.setattr(holdings, "COUNT_MS", 20)
    for name in ("count", "read_unsettled"):
        monkeypatch.setattr(holdings, name, slow)
    monkeypatch.setattr(works, "jobs_about", slow)
    found = figures_of(page_of(client, busy.a))
    assert found["Deliveries not settled"]["waiting"] == "many"
    assert found["Aliases"]["enabled"] == "many"


def test_counts_go_no_further_than_they_are_shown(
    client: Client, busy: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (holdings, counting):
        monkeypatch.setattr(module, "COUNTED", 0)
    assert set(holdings.count(busy.a, HOLDINGS)) == {0, 1}
    assert {each.count for each in holdings.read_unsettled(busy.a).values()} == {1}


def test_a_tenant_with_nothing_is_told_as_one(client: Client) -> None:
    page = text_of(page_of(client, make.make_tenant()))
    for empty in ("No domain yet.", "No alias yet.", "Nothing waits, and nothing is kept back."):
        assert empty in page
    assert "None is about this tenant." in page
    assert "No mail came for it." in page


# --- who may


def test_what_one_may_not_view_is_left_out(busy: World) -> None:
    narrow = make_staff("narrow", is_superuser=False)
    narrow.user_permissions.add(
        *Permission.objects.filter(codename__in=["view_tenant", "view_domain"])
    )
    response = page_of(client_of(narrow), busy.a)
    assert set(figures_of(response)) == {"Domains"}
    shown = response.context_data
    assert (shown["alarms"], shown["jobs"], shown["exports"]) == (None, None, None)
    page = response.content.decode()
    for name in ("admin/explain/", "admin/import/", "export-all", "watch/alarm/?tenant"):
        assert name not in page
    url = url_of(Tenant, "export_all", busy.a.pk)
    again = client_of(narrow, has_second_factor=False)
    assert again.post(url, {"written": "csv"}).status_code == 403


def test_auditors_see_everything_and_can_do_nothing(busy: World) -> None:
    response = page_of(client_of(make_member_of_staff(Role.AUDITOR)), busy.a)
    assert "Deliveries not settled" in figures_of(response)
    assert "/admin/import/?tenant" not in response.content.decode()
    assert "/suspend/" not in response.content.decode()


def test_everything_of_a_tenant_is_taken_out_and_noted(client: Client, busy: World) -> None:
    url = url_of(Tenant, "export_all", busy.a.pk)
    assert client.get(url).status_code == 302
    assert client.post(url, {"written": "nonsense"}).status_code == 400
    response = client.post(url, {"written": "csv"})
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    assert "live0@a.example" in text or "live0" in text
    assert "b.example" not in text
    [note] = Export.objects.all()
    assert (note.what, note.actor_name) == (f"everything of tenant {busy.a.external_id}", "ops")
    assert note.rows == text.count("\n") - 1
    assert client.post(url_of(Tenant, "export_all", 10**9), {"written": "csv"}).status_code == 404
