"""The page that begins an erasure: counted first, nothing kept of the address afterwards."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.urls import reverse

from tenants import jobs, tasks
from tenants.jobs.erasing import FORGOTTEN
from tenants.models import Job
from tests import world as make
from tests.staff import client_of
from tests.world import ACTOR, World

REASON = "by letter of 1 June"


def ask(ops: User, **fields: str) -> Any:
    return client_of(ops).post(reverse("admin:erasure"), {"reason": REASON} | fields)


def test_erasure_is_counted_and_waits_to_be_started(world: World, ops: User) -> None:
    response = ask(ops, address="gone@person.example")

    job = Job.objects.get()
    assert (response.status_code, response["Location"]) == (302, job.get_absolute_url())
    assert (job.state, job.reason, job.permission) == (
        Job.State.READY,
        REASON,
        "tenants.erase_person",
    )
    assert "gone@person.example" not in job.title


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"address": "gone"}, "This is no mail address"),
        ({"address": ""}, "This field is required"),
        ({"address": "x@y.example", "reason": "X@y.example asked"}, "Leave the address out"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    world: World, ops: User, fields: dict[str, str], said: str
) -> None:
    response = ask(ops, **fields)

    assert said in response.content.decode()
    assert not Job.objects.exists()


def test_address_in_use_is_named(world: World, ops: User) -> None:
    alias = make.make_alias(world.domain, "sales")

    response = ask(ops, address=alias.key)

    assert f"address {alias.key}" in response.content.decode()
    assert not Job.objects.exists()


def age(job: Job, **more: Any) -> None:
    past = Now() - timedelta(minutes=61)
    Job.objects.filter(pk=job.pk).update(created_at=past, finished_at=past, **more)


def test_an_erasure_that_nobody_starts_is_forgotten_within_hours(world: World, ops: User) -> None:
    ask(ops, address="gone@person.example")
    tasks.forget_jobs()
    job = Job.objects.get()
    age(job)
    tasks.forget_jobs()
    assert not Job.objects.exists()


@pytest.mark.parametrize("state", [Job.State.CANCELLED, Job.State.FAILED])
def test_an_erasure_that_was_stopped_keeps_no_address(world: World, ops: User, state: str) -> None:
    ask(ops, address="gone@person.example")
    job = Job.objects.get()
    age(job, state=state, phase=Job.Phase.APPLY, cursor=0)
    tasks.forget_jobs()
    job.refresh_from_db()
    assert list(job.parameters) == ["pseudonym"]
    if state == Job.State.FAILED:
        assert jobs.go_on(job, actor=ACTOR).result["error"] == FORGOTTEN
