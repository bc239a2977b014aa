"""The page that begins an erasure: counted first, nothing kept of the address afterwards."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from tenants.models import Job
from tests import world as make
from tests.staff import client_of
from tests.world import World

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
