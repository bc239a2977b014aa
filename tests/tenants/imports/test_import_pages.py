"""The way of a file through the panel: upload, row by row, take the good ones, take them back."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tenants import jobs, tasks
from tenants.admin import imports
from tenants.jobs import reading
from tenants.models import Alias, Job, JobItem
from tenants.roles import Role
from tests import world as make
from tests.staff import client_of, make_member_of_staff
from tests.tenants.events import last_context
from tests.world import ACTOR, World

URL = "/admin/import/"
TEXT = (
    "address,targets,note\nx@a.example,inbox,=1+1\nold@a.example,,new note\n"
    "same@a.example,inbox,\nbad@a.example,fax,\n"
)


def send(client: Client, body: str = TEXT, **more: Any) -> Any:
    file = SimpleUploadedFile("list.csv", body.encode())
    return client.post(URL, {"file": file, "tenant": "a"} | more)


def start(client: Client, job: Job, **data: Any) -> None:
    """What the page of a job that was checked sends."""
    job.refresh_from_db()
    assert job.finished_at is not None
    checked = job.finished_at.isoformat()
    client.post(f"/admin/tenants/job/{job.pk}/start/", {"checked": checked} | data)


def test_a_file_is_shown_row_by_row_and_its_good_rows_are_taken(
    client: Client, world: World
) -> None:
    make.make_alias(world.domain, "old", make.to_inbox(), note="old note")
    make.make_alias(world.domain, "same")
    text = TEXT.replace("old@a.example,,", "old@a.example,inbox,")

    response = send(client, text)
    page = client.get(response["Location"]).content.decode()

    for told in ("1 new", "1 changed", "1 unchanged", "1 refused", "“fax” is no target"):
        assert told in page
    assert "old note" in page
    assert "new note" in page
    assert "Take the 2 good ones" in page
    assert Alias.objects.get(key="old@a.example").note == "old note"
    refused = client.get(response["Location"], {"verdict": "refused"}).content.decode()
    assert "bad@a.example" in refused
    assert "old note" not in refused

    job = Job.objects.get()
    start(client, job, change_reason="ticket 7")

    alias = Alias.objects.get(key="x@a.example")
    assert alias.note == "=1+1"
    assert last_context(alias)["reason"] == "ticket 7"
    page = client.get(job.get_absolute_url()).content.decode()
    assert "1 new" in page
    assert "Undo" in page
    client.post(f"/admin/tenants/job/{job.pk}/undo/")
    start(client, Job.objects.latest("pk"))
    assert set(Alias.objects.values_list("note", flat=True)) == {"old note", ""}


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing": ({"file": ""}, "file", "Choose a file, or paste its text below."),
    "both": ({"text": "x"}, "__all__", "Choose a file or paste its text, not both."),
    "tenant": ({"tenant": "z"}, "tenant", "There is no tenant with this external id."),
    "column": ({"file": "colour,address\n"}, "file", "“colour” is no name of a column"),
    "no rows": ({"file": "address,targets\n"}, "__all__", "There is no row in it."),
    "format": ({"file": "x y z"}, "written", "Say how this is written: it cannot be told."),
    "regexp": ({"file": "/^x/ y", "written": "virtual"}, "file", "Patterns are not imported"),
}


@pytest.mark.parametrize(("more", "field", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_the_file_is_told_at_its_field(
    client: Client, world: World, more: dict[str, Any], field: str, sentence: str
) -> None:
    if text := more.get("file"):
        more = more | {"file": SimpleUploadedFile("list.txt", text.encode())}
    response = send(client, **more)

    assert sentence in str(response.context_data["form"].errors[field])
    assert not Job.objects.exists()


def test_text_may_be_pasted(client: Client, world: World) -> None:
    response = client.post(
        URL, {"text": "x@a.example y@b.test", "written": "virtual", "tenant": "a"}
    )

    assert "forward y@b.test" in client.get(response["Location"]).content.decode()


def test_who_may_only_look_imports_nothing(world: World) -> None:
    client = client_of(make_member_of_staff(Role.AUDITOR))

    assert client.get(URL).status_code == 403
    assert send(client).status_code == 403
    assert "/admin/import/" not in client.get("/admin/").content.decode()


def test_an_operator_imports(world: World) -> None:
    client = client_of(make_member_of_staff(Role.OPERATOR))
    page = client.get(send(client)["Location"]).content.decode()

    assert "Take the 2 good ones" in page


def test_what_a_file_says_is_shown_as_text(client: Client, world: World) -> None:
    text = "address,targets,note\nx@a.example,inbox,<script>alert(1)</script>\n<b>,inbox,\n"

    page = client.get(send(client, text)["Location"]).content.decode()

    assert "<script>alert" not in page
    assert "<b>," not in page
    assert "&lt;script&gt;alert" in page


# --- files that are too long to be read while somebody waits


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "READ_AT_ONCE", 10)


@pytest.mark.usefixtures("short")
def test_a_long_file_is_read_by_a_worker_and_leads_to_its_import(
    client: Client, world: World
) -> None:
    url = send(client)["Location"]
    assert "Read list.csv" in client.get(url).content.decode()
    [job] = Job.objects.all()
    assert (job.kind, job.state) == (reading.FILE, Job.State.QUEUED)
    jobs.work_off(lambda: True)

    made = Job.objects.get(kind="import")
    assert (made.state, made.total, made.changed) == (Job.State.READY, 4, 2)
    assert made.user == job.user
    assert client.get(url)["Location"] == made.get_absolute_url()
    assert "Take the 2 good ones" in client.get(made.get_absolute_url()).content.decode()
    assert job.items.get().payload == {"octets": ""}


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize(
    ("body", "told"),
    [("address,colour\nx@a.example,red\n", "colour"), ("address,targets\n", "There is no row")],
)
def test_a_long_file_that_cannot_be_read_is_told_on_its_job(
    client: Client, world: World, body: str, told: str
) -> None:
    url = send(client, body)["Location"]
    jobs.work_off(lambda: True)
    assert told in client.get(url).content.decode()
    assert not Job.objects.filter(kind="import").exists()


@pytest.mark.usefixtures("short")
def test_a_file_for_a_tenant_that_was_deleted_is_not_read_for_all_tenants(
    client: Client, world: World
) -> None:
    gone = make.make_tenant("Gone")
    send(client, "tenant,address,targets\na,x@a.example,inbox\n", tenant="gone")
    gone.delete()

    jobs.work_off(lambda: True)

    assert JobItem.objects.get().note == reading.NO_TENANT
    assert not Job.objects.filter(kind="import").exists()


@pytest.mark.usefixtures("short")
def test_a_file_that_nobody_reads_any_more_is_not_kept(client: Client, world: World) -> None:
    send(client)
    tasks.forget_jobs()
    [job] = Job.objects.all()
    assert JobItem.objects.get().payload["octets"]
    jobs.cancel(job)
    tasks.forget_jobs()
    assert JobItem.objects.get().payload == {}
    Job.objects.update(state=Job.State.FAILED)
    job.refresh_from_db()
    jobs.go_on(job, actor=ACTOR)
    jobs.work_off(lambda: True)
    assert JobItem.objects.get().note == reading.FORGOTTEN


def test_a_file_over_the_limit_is_refused_at_its_field_with_the_mend(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "LIMITS", imports.Limits(octets=20))
    told = " ".join(send(client).context_data["form"].errors["file"])
    assert "more than 20" in told
    assert "manage.py import_addresses --max-rows" in told
    assert not Job.objects.exists()
