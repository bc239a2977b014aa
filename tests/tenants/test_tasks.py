"""Scheduled jobs: what is due is done once, and no zone keeps others from being checked."""

from datetime import timedelta

import pytest
from celery import current_app
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone
from django_celery_beat.schedulers import ModelEntry

from gateway import headroom
from tenants import checking, lock, services, tasks
from tenants.models import Domain
from tests.tenants.memory_resolver import MemoryResolver
from tests.tenants.test_changes import at_once, last_context
from tests.world import ACTOR, make_alias, make_world


@pytest.fixture
def resolver(monkeypatch) -> MemoryResolver:
    resolver = MemoryResolver()
    monkeypatch.setattr(services, "configured_resolver", lambda: resolver)
    return resolver


@pytest.fixture
def rung(monkeypatch) -> list[dict]:
    """How each task was rung for that checks domains."""
    rung: list[dict] = []
    monkeypatch.setattr(tasks.check_due_domains, "apply_async", lambda **how: rung.append(how))
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
    assert all(task.ignore_result for task in (tasks.expire_addresses, tasks.check_due_domains))


@pytest.mark.django_db
def test_beat_s_strokes_are_worth_nothing_once_it_strikes_again(settings):
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        seconds = entry["schedule"].total_seconds()
        sent = ModelEntry.from_entry(name, app=current_app, **entry)
        assert sent.options["expires"] == max(seconds, 60), name


def test_overdue_addresses_are_switched_off_by_a_named_job(world):
    alias = make_alias(world.domain, "x", expires_at=timezone.now())

    tasks.expire_addresses()

    about = last_context(alias)
    assert (about["actor"], about["surface"]) == ("expire addresses", "task")
    assert about["reason"] == "expired"


def test_reconciling_rings_for_as_many_as_have_something_to_do(world, resolver, rung):
    services.release_domain(world.other_domain, actor=ACTOR)

    tasks.reconcile_dns()

    assert [how["expires"] for how in rung] == [tasks.EXPIRES_SECONDS]
    assert resolver.questions == 0, "no zone is asked here, so none can delay another"


def test_reconciling_rings_for_a_few_however_much_is_due(world, rung, monkeypatch):
    monkeypatch.setattr(tasks, "CHECKERS", 1)

    tasks.reconcile_dns()

    assert len(rung) == 1


def test_all_that_is_due_is_checked_once_however_often_it_is_rung_for(world, resolver, monkeypatch):
    monkeypatch.setattr(checking, "LISTED_AT_ONCE", 1)
    tasks.check_due_domains()
    asked = resolver.questions
    tasks.check_due_domains()

    assert resolver.questions == asked
    for domain in (world.domain, world.other_domain):
        assert domain.checks.count() == len(services.expected_of(domain))


def test_nothing_is_asked_where_nothing_is_due(db, resolver):
    tasks.check_due_domains()

    assert resolver.questions == 0


def test_who_is_to_end_checks_no_further_domain(world, resolver):
    ends = iter([True, False])

    count = checking.check_due(timezone.now, actor=ACTOR, is_wanted=lambda: next(ends))

    assert count == 1


def test_a_failing_zone_is_noted_and_the_lock_let_go(world, resolver):
    resolver.is_down = True

    tasks.check_due_domains()

    assert {check.state for check in world.domain.checks.all()} == {"unknown"}
    assert locks() == 0


def test_a_check_that_breaks_off_is_noted_and_the_lock_let_go(world, resolver, monkeypatch):
    def break_off(*arguments, **keywords):
        raise OSError("the network is gone")

    monkeypatch.setattr(services, "check_domain", break_off)

    tasks.check_due_domains()

    assert {check.state for check in world.domain.checks.all()} == {"unknown"}
    assert not Domain.objects.due_for_check(timezone.now()).exists()
    assert locks() == 0


def test_a_domain_that_cannot_even_be_noted_delays_no_other(world, resolver, monkeypatch):
    settle = services._settle

    def break_off(domain, findings, **about):
        if domain == world.domain:
            raise ValidationError("a rule that we broke")
        return settle(domain, findings, **about)

    monkeypatch.setattr(services, "_settle", break_off)

    tasks.check_due_domains()

    assert list(Domain.objects.due_for_check(timezone.now())) == [world.domain]
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
def test_two_workers_never_check_one_domain_together(monkeypatch, resolver):
    world = make_world()
    begun, settle = [], services.check_domain

    def check(domain, **about):
        begun.append(domain.pk)
        if len(begun) == 1:  # while this one runs
            assert at_once(tasks.check_due_domains) == [None]
        return settle(domain, **about)

    monkeypatch.setattr(services, "check_domain", check)
    tasks.check_due_domains()

    assert sorted(begun) == sorted([world.domain.pk, world.other_domain.pk])


def test_jobs_and_checks_hold_no_more_threads_than_their_share(monkeypatch):
    begun = []

    def begin(again):
        begun.append(again)
        again()  # as a further task of the same process

    monkeypatch.setattr(tasks.jobs, "work_off", lambda _: begin(tasks.run_jobs))
    monkeypatch.setattr(
        tasks.checking, "check_due", lambda *_, **__: begin(tasks.check_due_domains)
    )
    tasks.run_jobs()
    tasks.check_due_domains()
    tasks.run_jobs()  # all threads were given back

    held = [begun.count(each) for each in (tasks.run_jobs, tasks.check_due_domains)]
    assert held == [2 * headroom.JOBS, headroom.DNS_CHECKS]


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
