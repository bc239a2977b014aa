"""What somebody commits between another's reading and saving is never overwritten.

The order is forced: a row is read first, somebody else's edit comes next, and then it is saved.
"""

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from psycopg.errors import DeadlockDetected

from tenants import changes, jobs, services
from tenants.imports.reading import Format, read
from tenants.jobs import bulk, importing
from tenants.models import Alias, Domain, Job, Target, Tenant
from tests.pages import data_of, form_of, typed
from tests.world import ACTOR, World, as_user, make_alias, make_domain, make_rule

ABUSE = "sends spam"


def anew(row: Any) -> Any:
    """The row as somebody else reads it."""
    return type(row)._base_manager.get(pk=row.pk)


def edit(row: Any, actor: changes.Actor = ACTOR, **values: Any) -> Any:
    """An edit of these fields, by somebody who read the row at this moment."""
    fresh = anew(row)
    for name, value in values.items():
        setattr(fresh, name, value)
    return changes.save(fresh, actor=actor)


def told(error: pytest.ExceptionInfo[ValidationError]) -> dict[str, list[str]]:
    return error.value.message_dict


def test_a_tenant_that_was_suspended_meanwhile_stays_so(world: World) -> None:
    mine = Tenant.objects.get(pk=world.a.pk)
    services.suspend_tenant(anew(mine), actor=ACTOR, reason=ABUSE, for_abuse=True)

    mine.name = "Renamed"
    changes.save(mine, actor=ACTOR)

    stored = anew(mine)
    assert (stored.name, stored.state) == ("Renamed", Tenant.State.SUSPENDED_FOR_ABUSE)
    assert stored.state_since > world.a.state_since
    assert mine.state == Tenant.State.SUSPENDED_FOR_ABUSE


def test_a_domain_that_was_verified_meanwhile_stays_so(world: World) -> None:
    claim = services.claim_domain(world.a, "n.example", actor=ACTOR)
    mine = anew(claim)
    edit(claim, state=Domain.State.ACTIVE)

    mine.delimiters = "-"
    changes.save(mine, actor=ACTOR)

    stored = anew(mine)
    assert (stored.delimiters, stored.state) == ("-", Domain.State.ACTIVE)
    assert stored.verified_at is not None


def test_the_same_field_is_refused_with_who_was_quicker(world: World) -> None:
    mine = make_alias(world.domain, "x", note="old")
    edit(mine, as_user(world.owner), note="hers")
    edit(mine, as_user(world.member), purpose="later")

    mine.note = "mine"
    with pytest.raises(ValidationError) as refused:
        changes.save(mine, actor=ACTOR)

    (sentence,) = told(refused)["note"]
    assert sentence.startswith("It was changed meanwhile, by ann at 20")
    assert list(told(refused)) == ["note"]
    assert anew(mine).note == "hers"


def test_it_is_refused_again_until_it_was_looked_at(world: World) -> None:
    mine = make_alias(world.domain, "x")
    edit(mine, note="hers")
    mine.note = "mine"
    for _ in range(2):
        with pytest.raises(ValidationError):
            changes.save(mine, actor=ACTOR)

    mine.refresh_from_db()
    mine.note = "mine"
    changes.save(mine, actor=ACTOR)

    assert anew(mine).note == "mine"


def test_what_follows_from_a_field_is_not_told_beside_it(world: World) -> None:
    mine = anew(world.a)
    services.close_tenant(world.a, actor=ACTOR, reason="left")

    with pytest.raises(ValidationError) as refused:
        services.suspend_tenant(mine, actor=ACTOR, reason=ABUSE)

    assert list(told(refused)) == ["state"]


def test_the_same_value_twice_is_no_clash(world: World) -> None:
    mine = make_alias(world.domain, "x")
    edit(mine, note="same")

    mine.note = "same"
    changes.save(mine, actor=ACTOR)


def test_a_list_that_is_changed_in_place_is_a_change(world: World) -> None:
    mine = make_alias(world.domain, "x", allowed_senders=["a@s.example"])

    mine.allowed_senders.append("b@s.example")
    changes.save(mine, actor=ACTOR)

    assert anew(mine).allowed_senders == ["a@s.example", "b@s.example"]


def test_fields_that_are_not_to_be_written_neither_clash_nor_change(world: World) -> None:
    mine = make_alias(world.domain, "x")
    edit(mine, note="hers")
    mine.note, mine.purpose = "mine", "new"

    changes.save(mine, actor=ACTOR, update_fields=["purpose"])

    assert (anew(mine).note, anew(mine).purpose) == ("hers", "new")


def test_a_row_that_was_deleted_meanwhile_does_not_come_back(world: World) -> None:
    mine = make_alias(world.domain, "x")
    changes.delete(anew(mine), actor=as_user(world.owner))

    mine.note = "mine"
    with pytest.raises(ValidationError) as refused:
        changes.save(mine, actor=ACTOR)

    assert refused.value.messages[0].startswith("It has been deleted meanwhile, by ann at 20")
    assert not Alias.objects.exists()


def test_rules_see_what_others_changed(world: World) -> None:
    """The key of a forward follows from where it goes by then."""
    mine = make_alias(world.domain, "x")
    target = Target.objects.get(address=mine)
    edit(target, kind="forward", forward_to="jo@far.example")

    target.position = 3
    changes.save(target, actor=ACTOR)

    stored = anew(target)
    assert (stored.kind, stored.forward_key, stored.position) == ("forward", "jo@far.example", 3)


def test_an_edit_that_changes_nothing_writes_nothing(world: World) -> None:
    mine = anew(make_alias(world.domain, "x"))

    with CaptureQueriesContext(connection) as seen:
        changes.save(mine, actor=ACTOR)

    assert not [query for query in seen if query["sql"].startswith("UPDATE")]


# --- jobs --------------------------------------------------------------------


JOBS: dict[str, dict[str, Any]] = {
    "addresses.extend": {"days": 7},
    "addresses.disable": {},
    "addresses.move": {"domain": 0, "old": "keep"},
    "import": {},
    "undo": {},
}


def drafted(kind: str, world: World, alias: Alias) -> Job:
    """A job of each way of working, about one alias."""
    if kind == "import":
        rows = read(b"address,note\nx@a.example,new\n", Format.CSV)
        return importing.draft(rows, source="test.csv", actor=ACTOR, tenant=world.a)
    name = "addresses.disable" if kind == "undo" else kind
    parameters = dict(JOBS[kind])
    if "domain" in parameters:
        parameters["domain"] = make_domain(world.a, "new.example").pk
    job = jobs.draft(name, title="?", actor=ACTOR, permission="", parameters=parameters)
    jobs.list_rows(job, Alias.objects.filter(pk=alias.pk), label="key")
    return jobs.undo(jobs.apply(job), actor=ACTOR) if kind == "undo" else job


@pytest.mark.parametrize("kind", JOBS)
def test_a_job_locks_the_tenants_of_a_chunk_before_it_reads_their_rows(
    world: World, kind: str
) -> None:
    """Whatever it decides by, nobody changes until it is written."""
    later = timezone.now() + timedelta(days=1)
    job = drafted(kind, world, make_alias(world.domain, "x", expires_at=later))

    with CaptureQueriesContext(connection) as seen:
        jobs.apply(job)

    statements = [query["sql"] for query in seen]
    locked = next(i for i, sql in enumerate(statements) if "pg_advisory_xact_lock" in sql)
    read_whole = [i for i, sql in enumerate(statements) if '"tenants_address"."note"' in sql]
    assert job.changed == 1
    assert not [i for i in read_whole if i < locked]


def test_an_address_that_was_disabled_meanwhile_stays_off_though_it_is_extended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where a row was read before the lock."""
    alias = make_alias(world.domain, "x", expires_at=timezone.now() + timedelta(days=1))
    stale = anew(alias)
    edit(alias, enabled=False)
    monkeypatch.setattr(bulk, "fetch", lambda model, item: stale)

    jobs.apply(drafted("addresses.extend", world, alias))

    assert anew(alias).enabled is False
    assert anew(alias).expires_at > alias.expires_at


def test_the_chunk_of_a_deadlock_is_done_once_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = make_alias(world.domain, "x")
    lock_tenants, broken = changes.lock_tenants, iter([True])

    def lock(tenants: Any) -> None:
        if next(broken, False):
            raise OperationalError("deadlock detected") from DeadlockDetected()
        lock_tenants(tenants)

    monkeypatch.setattr(changes, "lock_tenants", lock)
    job = jobs.apply(drafted("addresses.disable", world, alias))

    assert (job.state, job.changed, job.handled) == (Job.State.DONE, 1, 1)


def test_what_the_database_breaks_off_in_a_request_is_left_to_a_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    alias = make_alias(world.domain, "x")

    def fail(tenants: Any) -> None:
        raise OperationalError("canceling statement due to lock timeout")

    with monkeypatch.context() as broken:
        broken.setattr(changes, "lock_tenants", fail)
        job = jobs.apply(drafted("addresses.disable", world, alias))
    assert job.state == Job.State.QUEUED

    jobs.work_off(lambda: True)
    job.refresh_from_db()
    assert (job.state, job.changed) == (Job.State.DONE, 1)


# --- pages that were open for long --------------------------------------------


def test_a_page_gives_back_nothing_that_others_changed_since_it_was_opened(
    client: Client, world: World
) -> None:
    alias = make_alias(
        world.domain, "x", expires_at=timezone.now() + timedelta(days=1), note="a\nb"
    )
    rules = [make_rule(alias, detail, "deliver") for detail in ("a", "b")]
    page = client.get(alias.get_absolute_url())
    assert b'name="initial-enabled" value="True"' in page.content
    edit(alias, enabled=False)
    edit(alias.targets.get(), kind="discard")
    edit(rules[0], action="refuse")

    response = client.post(alias.get_absolute_url(), data_of(page) | {"note": "mine"})

    assert response.status_code == 302
    stored = anew(alias)
    assert (stored.note, stored.enabled, stored.targets.get().kind) == ("mine", False, "discard")
    assert stored.expires_at == alias.expires_at
    assert anew(rules[0]).action == "refuse"
    assert [event.note for event in Alias.pgh_event_model.objects.order_by("pgh_id")][1:] == [
        "a\nb",
        "mine",
    ]


@pytest.mark.parametrize(
    ("field", "hers", "mine"),
    [
        ("note", "hers", "mine"),
        ("expires_at", timezone.now(), None),
        ("max_message_octets", 5_000_000, 7_000_000),
        ("allowed_senders", ["a@s.example"], ["b@s.example"]),
    ],
)
def test_a_page_says_who_changed_the_same_field_since_it_was_opened(
    client: Client, world: World, field: str, hers: Any, mine: Any
) -> None:
    alias = make_alias(world.domain, "x", expires_at=timezone.now() + timedelta(days=1))
    page = client.get(alias.get_absolute_url())
    edit(alias, as_user(world.owner), **{field: hers})
    places = [f"{field}_0", f"{field}_1"] if field == "expires_at" else [field]

    typed_in = typed(dict.fromkeys(places, mine))
    response = client.post(alias.get_absolute_url(), data_of(page) | typed_in)

    (sentence,) = form_of(response).errors[field]
    assert sentence.startswith("It was changed meanwhile, by ann at 20")
    assert getattr(anew(alias), field) == hers


def test_what_is_emptied_on_a_page_is_emptied(client: Client, world: World) -> None:
    alias = make_alias(world.domain, "x", note="old", rate_per_hour=3)
    page = client.get(alias.get_absolute_url())

    client.post(alias.get_absolute_url(), data_of(page) | {"note": "", "rate_per_hour": ""})

    assert (anew(alias).note, anew(alias).rate_per_hour) == ("", None)
