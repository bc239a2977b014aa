"""Scheduled jobs: what is due is done once, and one slow zone delays no other."""

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from tenants import lock, services, tasks
from tenants.models import Domain, DomainCheck
from tests.tenants.memory_resolver import MemoryResolver
from tests.tenants.test_changes import at_once, last_context
from tests.world import ACTOR, make_alias, make_world


@pytest.fixture
def resolver(monkeypatch) -> MemoryResolver:
    resolver = MemoryResolver()
    monkeypatch.setattr(services, "configured_resolver", lambda: resolver)
    return resolver


@pytest.fixture
def rung(monkeypatch) -> list[int]:
    """The domains that a job was rung for."""
    rung: list[int] = []
    monkeypatch.setattr(tasks.check_domain_dns, "delay", rung.append)
    return rung


def test_the_schedule_names_tasks_that_exist(settings):
    ours = {
        entry["task"]
        for entry in settings.CELERY_BEAT_SCHEDULE.values()
        if entry["task"].startswith("tenants.")
    }

    assert ours == {
        tasks.expire_addresses.name,
        tasks.forget_jobs.name,
        tasks.forget_sessions.name,
        tasks.reconcile_dns.name,
        tasks.sweep_jobs.name,
    }
    assert all(task.ignore_result for task in (tasks.expire_addresses, tasks.check_domain_dns))


def test_overdue_addresses_are_switched_off_by_a_named_job(world):
    alias = make_alias(world.domain, "x", expires_at=timezone.now())

    tasks.expire_addresses()

    about = last_context(alias)
    assert (about["actor"], about["surface"]) == ("expire addresses", "task")
    assert about["reason"] == "expired"


def test_reconciling_rings_once_for_each_domain_that_is_due(world, resolver, rung):
    services.release_domain(world.other_domain, actor=ACTOR)

    tasks.reconcile_dns()

    assert rung == [world.domain.pk]
    assert resolver.questions == 0, "no zone is asked here, so none can delay another"


def test_a_job_that_was_lost_is_rung_for_again(world, rung):
    tasks.reconcile_dns()
    tasks.reconcile_dns()

    assert sorted(rung) == sorted([world.domain.pk, world.other_domain.pk] * 2)


def test_a_check_is_made_once_however_often_it_is_rung_for(world, resolver):
    tasks.check_domain_dns(world.domain.pk)
    asked = resolver.questions
    tasks.check_domain_dns(world.domain.pk)

    assert asked > 0
    assert resolver.questions == asked
    assert DomainCheck.objects.filter(domain=world.domain).count() == len(
        services.expected_of(world.domain)
    )


def test_a_domain_that_is_gone_is_passed_over(db, resolver):
    tasks.check_domain_dns(999_999)

    assert resolver.questions == 0


def test_a_failing_zone_is_noted_and_the_lock_let_go(world, resolver):
    resolver.is_down = True

    tasks.check_domain_dns(world.domain.pk)

    assert {check.state for check in world.domain.checks.all()} == {"unknown"}
    assert locks() == 0


def test_a_check_that_breaks_off_is_noted_and_the_lock_let_go(world, monkeypatch):
    def break_off(*arguments, **keywords):
        raise OSError("the network is gone")

    monkeypatch.setattr(services, "check_domain", break_off)

    tasks.check_domain_dns(world.domain.pk)

    assert {check.state for check in world.domain.checks.all()} == {"unknown"}
    assert world.domain not in Domain.objects.due_for_check(timezone.now())
    assert locks() == 0


def locks() -> int:
    """Held in this database alone: other tests' stand beside it on the same server."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database "
            "WHERE datname = current_database() AND locktype = 'advisory' AND classid = %s",
            [lock.DNS_CHECK],
        )
        return cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_two_workers_never_check_one_domain_together(monkeypatch):
    domain = make_world().domain
    checked = []

    def check(row, **keywords):
        checked.append(row.pk)
        outcome = at_once(lambda: tasks.check_domain_dns(domain.pk))  # while this one runs
        assert outcome == [None]

    monkeypatch.setattr(services, "check_domain", check)
    tasks.check_domain_dns(domain.pk)

    assert checked == [domain.pk]


def test_settings_name_the_resolver(settings):
    settings.DNS_RESOLVERS, settings.DNS_AUTHORITATIVE_PORT = ["192.0.2.1:5353"], 5300
    assert services.configured_resolver().authoritative_port == 5300


@pytest.mark.parametrize("is_allowed", [False, True])
def test_private_name_servers_are_asked_only_where_settings_say_so(settings, is_allowed):
    settings.DNS_RESOLVERS = ["192.0.2.1"]
    settings.DNS_ALLOW_PRIVATE_ADDRESSES = is_allowed
    assert services.configured_resolver().allow_private_addresses is is_allowed


def test_a_check_leaves_what_was_checked_a_moment_ago(world, resolver):
    now = timezone.now()
    services.check_domain(world.domain, actor=ACTOR, resolver=resolver, now=now)
    later = now + timedelta(minutes=59)

    assert world.domain not in Domain.objects.due_for_check(later)


@pytest.mark.django_db
def test_sessions_that_are_over_are_forgotten():
    now = timezone.now()
    for key, ends_at in (("over", now - timedelta(seconds=1)), ("open", now + timedelta(hours=1))):
        Session.objects.create(session_key=key, session_data="", expire_date=ends_at)

    tasks.forget_sessions()

    assert set(Session.objects.values_list("session_key", flat=True)) == {"open"}
