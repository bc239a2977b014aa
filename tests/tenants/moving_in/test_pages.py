"""The pages of moving in: what was read, the plan, the comparison and its report."""

import gzip
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tenants import jobs, tasks, timeline
from tenants.admin import source as source_admin
from tenants.admin import source_form
from tenants.jobs import sources
from tenants.models import Job, JobItem, Source
from tenants.moving_in.sources.databases import without_password
from tests.gateway.peers import age
from tests.pages import url_of
from tests.tenants.moving_in import installations
from tests.tenants.moving_in.test_moving_in import make_source, move_in, verify
from tests.world import World, make_hop


def upload(client: Client, world: World, **more: Any) -> Any:
    hop = make_hop(world.a, name="store")
    data = {"tenant": world.a.pk, "next_hop": hop.pk, "product": "modoboa", "domains": ""}
    return client.post(url_of(Source, "add"), data | more)


def dump(text: str, name: str = "modoboa.sql") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


def test_an_uploaded_dump_leads_to_a_page_of_what_it_holds(client: Client, world: World) -> None:
    response = upload(client, world, dump=dump(installations.modoboa()))

    source = Source.objects.get()
    assert response.url == source.get_absolute_url()
    page = client.get(response.url).content.decode()
    assert source.counts["mailboxes"] == 2
    assert "Make a plan" in page
    assert "Plan the send-as permissions" in page
    assert client.get(url_of(Source, "changelist")).status_code == 200


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_form, "READ_AT_ONCE", 100)


def kept_files() -> Any:
    return JobItem.objects.get(job__kind=sources.READ).payload.get("files")


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_long_dump_is_read_by_a_worker_and_leads_to_its_source(
    client: Client, world: World, *, is_packed: bool
) -> None:
    octets = installations.modoboa().encode()
    file = SimpleUploadedFile("modoboa.sql", gzip.compress(octets) if is_packed else octets)
    url = upload(client, world, dump=file)["Location"]
    assert "Read Modoboa (modoboa.sql)" in client.get(url).content.decode()
    assert not Source.objects.exists()
    assert kept_files().keys() == {"dump"}
    assert kept_files()["dump"].startswith("sealed:")
    jobs.work_off(lambda: True)

    source = Source.objects.get()
    assert client.get(url)["Location"] == source.get_absolute_url()
    assert (source.counts["mailboxes"], source.name) == (2, "modoboa.sql")
    assert not kept_files()


def test_a_database_is_read_by_a_worker_and_its_password_kept_sealed_until_then(
    client: Client, world: World, postgres_url: str, socket_enabled: None
) -> None:
    url = upload(client, world, database=postgres_url)["Location"]
    item = JobItem.objects.get(job__kind=sources.READ)
    assert item.payload.keys() == {"database"}
    assert item.payload["database"].startswith("sealed:")
    assert not Source.objects.exists()
    page = client.get(url).content.decode()
    jobs.work_off(lambda: True)

    source = Source.objects.get()
    assert client.get(url)["Location"] == source.get_absolute_url()
    assert (source.counts["mailboxes"], source.name) == (2, without_password(postgres_url))
    assert f"Read Modoboa ({source.name})" in page
    item.refresh_from_db()
    assert item.payload == {"database": ""}
    assert "password=" not in page + str(Job.objects.get().parameters) + item.label


def test_a_database_is_asked_by_no_request(client: Client, world: World) -> None:
    """Sockets are off here: a request that asked it would fail."""
    upload(client, world, database="mysql://jo:secret@127.0.0.1:1/mail")
    assert Job.objects.get().state == Job.State.QUEUED


def test_a_database_that_cannot_be_read_is_told_on_its_job(
    client: Client, world: World, socket_enabled: None
) -> None:
    url = upload(client, world, database="mysql://jo:secret@127.0.0.1:1/mail")["Location"]
    jobs.work_off(lambda: True)

    page = client.get(url).content.decode()
    assert "Database: The database answered: Can&#x27;t connect" in page
    assert "add the source anew" in page
    assert "secret" not in page
    assert JobItem.objects.get().payload == {"database": ""}


def test_a_database_s_address_that_no_key_opens_is_told(
    client: Client, world: World, settings: Settings
) -> None:
    url = upload(client, world, database="mysql://jo:secret@127.0.0.1:1/mail")["Location"]
    settings.ENCRYPTION_KEYS = ["another"]
    jobs.work_off(lambda: True)
    assert "not in the worker&#x27;s ENCRYPTION_KEYS" in client.get(url).content.decode()


def test_a_worker_that_ends_leaves_a_database_to_the_next_one(
    client: Client, world: World, postgres_url: str, socket_enabled: None
) -> None:
    upload(client, world, database=postgres_url)
    assert jobs.claim() is not None
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    assert jobs.work_off(lambda: True) == 1
    assert Source.objects.get().counts["mailboxes"] == 2


def test_a_database_that_nobody_reads_any_more_is_not_kept(client: Client, world: World) -> None:
    upload(client, world, database="mysql://jo:secret@127.0.0.1:1/mail")
    jobs.cancel(Job.objects.get())
    tasks.forget_jobs()

    assert JobItem.objects.get().payload == {}


@pytest.mark.usefixtures("short")
def test_long_map_files_are_read_by_a_worker(client: Client, world: World) -> None:
    files = {name: dump(text, name) for name, text in installations.MAPS.items()}
    upload(client, world, product="maps", **files)
    jobs.work_off(lambda: True)

    assert Source.objects.get().counts["aliases"] == 4


@pytest.mark.usefixtures("short")
def test_a_long_dump_that_cannot_be_read_is_told_on_its_job(client: Client, world: World) -> None:
    url = upload(client, world, dump=dump("nothing " * 100))["Location"]
    jobs.work_off(lambda: True)

    assert "does not look like Modoboa" in client.get(url).content.decode()
    assert not Source.objects.exists()
    assert not kept_files()


@pytest.mark.usefixtures("short")
def test_a_worker_that_ends_leaves_a_long_dump_to_the_next_one(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(client, world, dump=dump(installations.modoboa()))
    claimed = jobs.claim()
    assert claimed is not None
    assert not jobs.work_off(lambda: True), "its lease still holds"
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    assert jobs.work_off(lambda: True) == 1
    assert Source.objects.get().counts["mailboxes"] == 2


@pytest.mark.usefixtures("short")
def test_a_dump_that_nobody_reads_any_more_is_not_kept(client: Client, world: World) -> None:
    upload(client, world, dump=dump(installations.modoboa()))
    jobs.cancel(Job.objects.get())
    tasks.forget_jobs()

    assert JobItem.objects.get().payload == {}


def test_map_files_are_read_by_their_parameter(client: Client, world: World) -> None:
    files = {name: dump(text, name) for name, text in installations.MAPS.items()}
    upload(client, world, product="maps", **files)

    source = Source.objects.get()
    assert source.counts["aliases"] == 4
    page = client.get(source.get_absolute_url()).content.decode()
    assert "transport of mx.example: smtp:mx.example" in page


@pytest.mark.parametrize(
    ("more", "field", "sentence"),
    [
        ({}, "dump", "Choose a dump, or name a database below."),
        ({"dump": ("x.sql", "nothing")}, "dump", "does not look like Modoboa"),
        ({"dump": ("x.sql", "SQLite format 3\x00")}, "dump", "sqlite3 file .dump"),
        ({"database": "sqlite:////etc/x"}, "database", "Upload a dump of it"),
        ({"database": "SQLite:////etc/x"}, "database", "Upload a dump of it"),
        ({"database": "\x01sqlite:////etc/x"}, "database", "Upload a dump of it"),
        ({"database": "ftp://x"}, "database", "Name the database as"),
        ({"database": "mysql://jo:secret@127.0.0.1:x/y"}, "database", "port"),
        ({"database": "postgresql://jo:s%zz@127.0.0.1/y"}, "database", "%25 for"),
        ({"product": "maps"}, "virtual_alias_maps", "Choose the files of your maps."),
        (
            {"product": "maps", "virtual_alias_maps": ("v", "a@b.example c@d.example")},
            "virtual_alias_maps",
            "No domain is named",
        ),
        ({"domains": "not a domain"}, "domains", "Write it as example.com."),
    ],
)
def test_what_cannot_be_read_is_told_at_its_field(
    client: Client, world: World, more: dict[str, Any], field: str, sentence: str
) -> None:
    given = {
        name: dump(value[1], value[0]) if isinstance(value, tuple) else value
        for name, value in more.items()
    }
    response = upload(client, world, **given)

    errors = response.context_data["adminform"].form.errors
    assert sentence in " ".join(errors[field])
    assert not Source.objects.exists()


def test_a_small_file_that_unpacks_to_much_is_refused(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_form, "UPLOAD_OCTETS", 100_000)
    bomb = gzip.compress(b"-- " + bytes(1_000_000))
    response = upload(client, world, dump=SimpleUploadedFile("modoboa.sql.gz", bomb))

    errors = response.context_data["adminform"].form.errors
    assert "more than 100 kB unpacked" in " ".join(errors["dump"])
    assert "manage.py move_in" in " ".join(errors["dump"])


def test_from_the_plan_to_a_report_without_differences(client: Client, world: World) -> None:
    source = make_source(world, "modoboa")
    page = source.get_absolute_url().removesuffix("change/")

    planned = client.post(f"{page}plan/", {"change_reason": "out of the old one"})
    plan = Job.objects.get(kind="import")
    assert planned.url == plan.get_absolute_url()
    assert (plan.state, plan.changed, plan.refused) == ("ready", 12, 1)
    assert plan.reason == "out of the old one"
    move_in(source)
    verify(world.a)
    log = dump("mx postfix/lmtp[2]: 4ABC: to=<kaa@boa.example>, relay=x, status=sent (ok)\n", "log")
    compared = client.post(f"{page}shadow/", {"recipients": log})

    report = client.get(compared.url).content.decode()
    assert "No difference:" in report
    assert "1 recipient is treated alike" in report


def test_a_large_source_is_planned_by_a_worker(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_admin, "PLANNED_AT_ONCE", 5)
    source = make_source(world, "modoboa")
    page = source.get_absolute_url().removesuffix("change/")
    planned = client.post(f"{page}plan/", {"change_reason": "out of the old one"})
    assert not Job.objects.filter(kind="import").exists()
    jobs.work_off(lambda: True)

    plan = Job.objects.get(kind="import")
    assert (plan.state, plan.changed, plan.refused) == ("ready", 12, 1)
    assert plan.reason == "out of the old one"
    assert client.get(planned.url).url == plan.get_absolute_url()
    assert "Plan what moves in" not in client.get(source.get_absolute_url()).content.decode()


def test_a_report_lists_each_difference_with_a_link_to_explain(
    client: Client, world: World
) -> None:
    source = make_source(world, "modoboa")
    page = source.get_absolute_url().removesuffix("change/")
    early = client.get(client.post(f"{page}shadow/").url).content.decode()
    move_in(source)
    verify(world.a)

    url = client.post(f"{page}shadow/").url
    report = client.get(url).content.decode()

    assert "domain not verified" in early
    assert "3 of 15 recipients are treated differently." in report
    assert "/admin/explain/?recipient=nag%40python.example" in report
    assert "nag@boa.example bounces: no such mailbox" in report
    bounces = client.get(url, {"kind": "bounces there"}).content.decode()
    assert "nag@python.example" in bounces
    assert "passed.example" not in bounces.partition("differences-heading")[2]
    assert "15 recipients, 3 treated differently" in client.get(f"{page}change/").content.decode()


def test_who_read_and_deleted_a_source_stands_in_its_tenant_s_history(
    client: Client, world: World
) -> None:
    source = make_source(world, "modoboa")
    assert "created" in client.get(url_of(Source, "history", source.pk)).content.decode()
    client.post(url_of(Source, "delete", source.pk), {"post": "yes"})
    edits = timeline.read(world.a.pk, timeline.Wanted(model="source")).edits
    assert [(each.actor, row.verb) for each in edits for row in each.rows] == [
        ("ops", "deleted"),
        ("test", "created"),
    ]


def test_a_file_without_an_address_is_told(client: Client, world: World) -> None:
    source = make_source(world, "modoboa")
    url = source.get_absolute_url().replace("change/", "shadow/")
    response = client.post(url, {"recipients": dump("nothing here\n")}, follow=True)
    assert "No address was found in the file." in response.content.decode()


def test_the_report_of_another_source_is_not_found(client: Client, world: World) -> None:
    first, second = make_source(world, "modoboa"), make_source(world, "modoboa")
    url = client.post(first.get_absolute_url().replace("change/", "shadow/")).url
    other = url.replace(f"/source/{first.pk}/", f"/source/{second.pk}/")
    assert client.get(url).status_code == 200
    assert client.get(other).status_code == 404


OLD_MAIN_CF = """\
compatibility_level = 3.6
virtual_mailbox_domains = boa.example
virtual_mailbox_maps = texthash:{folder}/mailboxes
virtual_alias_maps = texthash:{folder}/aliases
"""


@pytest.fixture
def old_postfix(tmp_path: Path, settings: Settings) -> Path:
    (tmp_path / "main.cf").write_text(OLD_MAIN_CF.format(folder=tmp_path))
    (tmp_path / "master.cf").write_text("")
    (tmp_path / "mailboxes").write_text("kaa@boa.example x\n")
    (tmp_path / "aliases").write_text("since@boa.example kaa@boa.example\n")
    for file in tmp_path.iterdir():
        age(file)
    settings.SHADOW_POSTFIX = {"old": str(tmp_path)}
    return tmp_path


def compare_live(client: Client, source: Source, live: str = "old") -> str:
    """The report of a comparison of two addresses, one of which the source did not have yet."""
    page = source.get_absolute_url().removesuffix("change/")
    asked = {"recipients": dump("kaa@boa.example\nsince@boa.example\n", "list"), "live": live}
    return str(client.post(f"{page}shadow/", asked).url)


@pytest.mark.needs("postfix")
def test_a_running_postfix_is_asked_from_the_panel_by_a_worker(
    client: Client, world: World, old_postfix: Path
) -> None:
    source = make_source(world, "modoboa")
    move_in(source)
    verify(world.a)
    page = client.get(source.get_absolute_url()).content.decode()
    assert "The running Postfix old, now" in page
    assert str(old_postfix) not in page

    url = compare_live(client, source)
    assert Job.objects.get(kind="shadow.live").state == Job.State.QUEUED  # not in the request
    jobs.work_off(lambda: True)

    report = client.get(url).content.decode()
    assert "1 of 2 recipients is treated differently." in report
    assert "(live from old)" in report
    assert "virtual_alias_maps since@boa.example → kaa@boa.example" in report


@pytest.mark.needs("postfix")
def test_a_live_comparison_goes_on_once_its_map_answers_again(
    client: Client, world: World, old_postfix: Path
) -> None:
    source = make_source(world, "modoboa")
    (old_postfix / "aliases").rename(old_postfix / "away")
    url = compare_live(client, source)
    jobs.work_off(lambda: True)
    told = client.get(url).content.decode()
    (old_postfix / "away").rename(old_postfix / "aliases")
    job = Job.objects.get(kind="shadow.live")
    client.post(job.get_absolute_url().removesuffix("change/") + "go-on/")
    jobs.work_off(lambda: True)

    assert "One side could not be asked:" in told
    assert "goes on from there once that is mended" in told
    job.refresh_from_db()
    assert (job.state, job.handled) == (Job.State.DONE, 2)


def test_only_a_postfix_that_a_setting_names_is_asked(
    client: Client, world: World, settings: Settings
) -> None:
    source = make_source(world, "modoboa")
    page = client.get(source.get_absolute_url()).content.decode()
    for live in ("/etc/postfix", "old"):
        settings.SHADOW_POSTFIX = {"running": "/etc/postfix"}
        refused = client.get(compare_live(client, source, live)).content.decode()
        assert "No Postfix of that name is in SHADOW_POSTFIX any more." in refused

    assert "once it is named in the setting SHADOW_POSTFIX" in page
    assert not Job.objects.exists()


def test_a_worker_that_does_not_know_the_postfix_says_so(
    client: Client, world: World, settings: Settings
) -> None:
    source = make_source(world, "modoboa")
    settings.SHADOW_POSTFIX = {"old": "/etc/postfix-old"}
    url = compare_live(client, source)
    settings.SHADOW_POSTFIX = {}
    jobs.work_off(lambda: True)
    page = client.get(url).content.decode()
    assert "No Postfix is named old in the worker&#x27;s SHADOW_POSTFIX." in page
