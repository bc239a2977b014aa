"""The way of a file through the panel: upload, row by row, take the good ones, take them back."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tenants.models import Alias, Job
from tenants.roles import Role
from tests import world as make
from tests.staff import client_of, make_member_of_staff
from tests.tenants.events import last_context
from tests.world import World

URL = "/admin/import/"
TEXT = (
    "address,targets,note\nx@a.example,inbox,=1+1\nold@a.example,,new note\n"
    "same@a.example,inbox,\nbad@a.example,fax,\n"
)


def send(client: Client, body: str = TEXT, **more: Any) -> Any:
    file = SimpleUploadedFile("list.csv", body.encode())
    return client.post(URL, {"file": file, "tenant": "a"} | more)


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
    client.post(f"/admin/tenants/job/{job.pk}/start/", {"change_reason": "ticket 7"})

    alias = Alias.objects.get(key="x@a.example")
    assert alias.note == "=1+1"
    assert last_context(alias)["reason"] == "ticket 7"
    page = client.get(job.get_absolute_url()).content.decode()
    assert "1 new" in page
    assert "Undo" in page
    client.post(f"/admin/tenants/job/{job.pk}/undo/")
    client.post(f"/admin/tenants/job/{Job.objects.first().pk}/start/")
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
