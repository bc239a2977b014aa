"""Jobs: each item is done once, whatever becomes of the worker; progress is committed with it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now

from tenants import jobs
from tenants.jobs import CHUNK_ROWS, Outcome, RefusedError, RowByRow, Work, ledger
from tenants.jobs import kind as kinds
from tenants.jobs.ledger import claim
from tenants.models import Alias, Job, JobItem
from tenants.roles import Role
from tests.staff import make_member_of_staff
from tests.tenants.events import last_context
from tests.world import ACTOR, World, as_user, make_alias, make_user

State = Job.State


@dataclass(frozen=True)
class Noting(RowByRow):
    """Writes the parameter `text` into the note of each alias, once more each time."""

    def apply_one(self, item: JobItem, work: Work) -> Outcome:
        alias = Alias.objects.get(pk=item.row_pk)
        if alias.local_part == "poison":
            raise RuntimeError("a defect of this kind")
        if alias.local_part.startswith("no"):
            raise RefusedError("It says no.")
        if work.parameters["text"] == "":
            return Outcome(JobItem.Outcome.UNCHANGED)
        alias.note += work.parameters["text"]
        jobs_save(alias, work)
        return Outcome(JobItem.Outcome.CHANGED)


def jobs_save(alias: Alias, work: Work) -> None:
    from tenants import changes

    changes.save(alias, actor=work.actor)


@pytest.fixture(autouse=True)
def noting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(kinds._register.kinds, "noting", Noting("noting", chunk_rows=2))


def make_job(world: World, names: str, *, text: str = "x", **more: Any) -> Job:
    for name in names.split():
        make_alias(world.domain, name)
    job = jobs.draft(
        "noting",
        title="Note",
        actor=more.pop("actor", ACTOR),
        permission="tenants.change_alias",
        parameters={"text": text},
        **more,
    )
    jobs.list_rows(job, Alias.objects.order_by("key"), label="key")
    return job


def notes() -> list[str]:
    return list(Alias.objects.order_by("key").values_list("note", flat=True))


def outcomes(job: Job) -> list[tuple[str, str]]:
    return [(item.label.partition("@")[0], item.outcome) for item in job.items.all()]


def end_lease(job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(lease_until=Now() - timedelta(seconds=1))


def queued(job: Job) -> Job:
    Job.objects.filter(pk=job.pk).update(state=State.QUEUED, phase=Job.Phase.APPLY)
    return job


def test_a_small_job_is_done_at_once_with_an_outcome_for_each_row(world: World) -> None:
    job = jobs.apply(make_job(world, "a b no c"))

    assert job.state == State.DONE
    assert (job.total, job.handled, job.changed, job.refused) == (4, 4, 3, 1)
    assert notes() == ["x", "x", "x", ""]
    refused = job.items.get(outcome="refused")
    assert (refused.label, refused.note) == ("no@a.example", "It says no.")
    assert job.started_at
    assert job.finished_at


def test_a_check_foretells_each_row_and_changes_none(world: World) -> None:
    job = jobs.check(make_job(world, "a no"))

    assert (job.state, job.result["forecast"]["refused"]) == (State.READY, 1)
    assert notes() == ["", ""]
    assert [item.forecast for item in job.items.all()] == ["changed", "refused"]
    assert list(job.items.values_list("note", flat=True)) == ["", "It says no."]

    assert jobs.apply(job).changed == 1
    assert notes() == ["x", ""]


def test_a_change_is_attributed_to_whoever_asked_with_the_job(world: World) -> None:
    staff = make_user("sam", is_staff=True, is_superuser=True)
    actor = as_user(staff, "admin")
    job = jobs.apply(make_job(world, "a", actor=actor, reason="ticket 7"))

    assert list(job.items.values_list("outcome", "note")) == [("changed", "")]
    about = last_context(Alias.objects.get())
    assert (about["actor"], about["surface"], about["reason"]) == ("sam", "admin", "ticket 7")
    assert about["job"] == job.pk


def test_a_row_that_its_asker_may_not_see_any_more_is_refused(world: World) -> None:
    job = make_job(world, "a", actor=as_user(world.outsider))

    assert jobs.apply(job).refused == 1
    assert notes() == [""]


@pytest.mark.parametrize("fate", ["deleted", "demoted", "closed"])
def test_a_job_ends_with_the_account_or_the_right_of_who_asked_for_it(
    world: World, fate: str
) -> None:
    """The panel asks for the right when it starts; hours may lie between that and the work."""
    user = make_member_of_staff(Role.OPERATOR)
    job = queued(make_job(world, "a b c", actor=as_user(user, "admin")))
    mine = claim(job.pk)
    assert mine is not None
    asked = iter([True])

    def is_wanted() -> bool:
        if not next(asked, False):
            _lose(user, fate)
        return True

    jobs.run(mine, is_wanted=is_wanted)

    job.refresh_from_db()
    assert (job.state, notes()) == (State.FAILED, ["x", "x", ""])
    assert "operators, who asked for it, " in job.result["error"]


def _lose(user: User, fate: str) -> None:
    if fate == "deleted":
        user.delete()
    elif fate == "demoted":
        user.groups.clear()
    else:
        User.objects.filter(pk=user.pk).update(is_active=False)


def test_a_worker_that_takes_over_goes_on_where_the_last_one_stopped(world: World) -> None:
    job = queued(make_job(world, "a b c d e"))
    first = claim(job.pk)
    assert first is not None
    chunks = iter([True, False])
    jobs.run(first, is_wanted=lambda: next(chunks))
    assert (first.state, first.handled) == (State.QUEUED, 2)

    assert jobs.work_off(lambda: True) == 1

    job.refresh_from_db()
    assert (job.state, job.handled, notes()) == (State.DONE, 5, ["x"] * 5)


def test_a_job_is_one_worker_s_until_its_lease_is_over(world: World) -> None:
    job = queued(make_job(world, "a b c"))
    late = claim(job.pk)
    assert late is not None
    assert claim(job.pk) is None
    assert not jobs.is_any_due()

    end_lease(job)
    assert jobs.is_any_due()
    fresh = claim()
    assert fresh is not None

    jobs.run(late)  # it woke up again: it holds nothing any more
    assert notes() == [""] * 3
    jobs.run(fresh)
    assert notes() == ["x"] * 3


def test_what_breaks_off_three_times_at_one_place_is_failed_and_can_go_on(world: World) -> None:
    job = queued(make_job(world, "a b poison"))
    for _ in range(3):
        mine = claim(job.pk)
        assert mine is not None
        with pytest.raises(RuntimeError):
            jobs.run(mine)
        end_lease(job)

    assert claim(job.pk) is None
    job.refresh_from_db()
    assert (job.state, job.handled) == (State.FAILED, 2)
    assert "broke off three times" in job.result["error"]
    assert notes() == ["x", "x", ""]

    Alias.objects.filter(local_part="poison").update(local_part="mended")
    assert jobs.go_on(job, actor=ACTOR).state == State.DONE
    assert notes() == ["x", "x", "x"]


def test_a_cancelled_job_stops_and_keeps_what_it_did(world: World) -> None:
    job = queued(make_job(world, "a b c"))
    mine = claim(job.pk)
    assert mine is not None
    asked = iter([True, False])

    def is_wanted() -> bool:
        if not next(asked, True):
            jobs.cancel(job)
        return True

    jobs.run(mine, is_wanted=is_wanted)

    job.refresh_from_db()
    assert (job.state, job.handled) == (State.CANCELLED, 2)
    assert notes() == ["x", "x", ""]
    assert not jobs.cancel(job)
    assert jobs.apply(job).state == State.CANCELLED


def test_a_long_job_waits_for_a_worker(
    world: World, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    rung: list[bool] = []
    monkeypatch.setattr("tenants.jobs.runner.AT_ONCE", 2)
    monkeypatch.setattr("tenants.jobs.runner.ring", lambda: rung.append(True))
    with django_capture_on_commit_callbacks(execute=True):
        job = jobs.apply(make_job(world, "a b c"))

    assert (job.state, rung, notes()) == (State.QUEUED, [True], [""] * 3)


def test_a_kind_that_nobody_knows_fails_the_job(world: World) -> None:
    job = jobs.draft("of another version", title="?", actor=ACTOR, permission="")

    assert jobs.apply(job).state == State.FAILED
    assert "of another version" in job.result["error"]


def test_items_need_not_be_rows(world: World) -> None:
    job = jobs.draft("noting", title="Lines", actor=ACTOR, permission="")

    assert jobs.list_items(job, (JobItem(label=f"line {n}", payload={"n": n}) for n in (1, 2))) == 2
    assert [item.payload["n"] for item in job.items.all()] == [1, 2]
    assert job.total == 2


def test_old_jobs_and_abandoned_drafts_are_forgotten(world: World) -> None:
    done = jobs.apply(make_job(world, "a"))
    draft = make_job(world, "b")
    assert jobs.forget(timedelta(days=1)) == 0

    Job.objects.filter(pk=done.pk).update(finished_at=Now() - timedelta(days=2))
    Job.objects.filter(pk=draft.pk).update(created_at=Now() - timedelta(days=2))
    assert jobs.forget(timedelta(days=3)) == 1
    assert jobs.forget(timedelta(days=1)) == 1
    assert not JobItem.objects.exists()


def test_a_check_that_took_days_can_still_be_started(world: World) -> None:
    job = jobs.check(make_job(world, "a"))
    Job.objects.filter(pk=job.pk).update(created_at=Now() - timedelta(days=2))
    kinds = ("noting", timedelta(hours=1))

    assert (jobs.forget(timedelta(days=30)), ledger.forget_drafts(*kinds)) == (0, 0)

    Job.objects.filter(pk=job.pk).update(finished_at=Now() - timedelta(days=2))
    assert jobs.forget(timedelta(days=30)) == 1


def test_a_chunk_is_some_hundred_rows_at_most() -> None:
    assert Noting("x").chunk_rows == CHUNK_ROWS <= 500


def test_two_kinds_never_share_a_name() -> None:
    with pytest.raises(ValueError, match="already"):
        jobs.register(Noting("noting"))
