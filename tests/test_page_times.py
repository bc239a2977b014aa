"""The pages that are measured: every list of the panel, and what belongs to no list."""

import pytest
from django.contrib import admin
from django.test import Client

from gateway.models import Quarantined
from mailrouting import page_times
from tenants.models import Job
from tests import world as make
from tests.staff import client_of, make_staff
from tests.world import make_world

OURS = ("tenants", "gateway", "watch")
SEARCHED = ("an address", "its first letters", "a domain", "a tenant", "a queue id")


def test_every_list_of_the_panel_is_measured() -> None:
    shown = {model for model in admin.site._registry if model._meta.app_label in OURS}
    assert shown == set(page_times.LISTS)


@pytest.fixture
def client(db: None) -> Client:
    world = make_world()
    make.make_alias(world.domain, "anna")
    return client_of(make_staff())


def test_pages_that_are_measured_are_there(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_times, "LISTS", (Quarantined, Job))
    job = Job.objects.create(kind="disable", title="Disable aliases")
    pages = list(page_times.pages(client))
    for page in (page for page in pages if page.kind not in ("filters", "orders")):
        assert client.get(page.url).status_code == 200, page.url
    assert job.get_absolute_url() in {page.url for page in pages}
    assert set(SEARCHED) < {page.detail for page in pages if page.group == "Search"}
    assert {"Queue", "Quarantine", "Jobs"} < {page.group for page in pages}
