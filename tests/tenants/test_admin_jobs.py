"""Bulk actions and jobs in the panel: what is shown before, while and after, and to whom."""

import csv
import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db.models import F
from django.test import Client
from django.utils import timezone

from tenants import jobs
from tenants.admin.deeds import ExchangeForm, HopForm, MoveForm
from tenants.models import (
    Alias,
    Export,
    Job,
    Mailbox,
    NextHop,
    RoleAddress,
    SendAsIdentity,
    Tenant,
)
from tenants.roles import Role
from tests import world as make
from tests.pages import url_of
from tests.staff import client_of, make_member_of_staff, make_staff
from tests.tenants.events import last_context
from tests.world import ACTOR, World, to_mailbox


def choose(client: Client, action: str, rows: Any, **more: Any) -> Job:
    """Choose rows of a list and an action; the job that came of it."""
    url = url_of(type(rows[0]), "changelist")
    data = {"action": action, "_selected_action": [row.pk for row in rows], **more}
    response = client.post(url, data)
    job = Job.objects.order_by("-pk")[0]
    assert response["Location"] == job.get_absolute_url()
    return job


def act(client: Client, job: Job, what: str, **data: Any) -> Any:
    """What its page sends; a start says which preview it is of."""
    if what == "start" and (checked := Job.objects.get(pk=job.pk).finished_at):
        data.setdefault("checked", checked.isoformat())
    response = client.post(url_of(Job, what, job.pk), data)
    job.refresh_from_db()
    return response


def page_of(client: Client, job: Job) -> str:
    return client.get(job.get_absolute_url()).content.decode()


def test_disabling_says_first_exactly_what_would_change(client: Client, world: World) -> None:
    rows = [make.make_alias(world.domain, name) for name in "xy"]
    rows.append(make.make_alias(world.domain, "z", enabled=False))

    job = choose(client, "disable", rows)

    page = page_of(client, job)
    assert "2 of 3 aliases would change" in page
    assert Alias.objects.filter(enabled=True).count() == 2
    act(client, job, "start", change_reason="incident 3")
    assert not Alias.objects.filter(enabled=True).exists()
    about = last_context(rows[0])
    assert (about["actor"], about["surface"], about["reason"]) == ("ops", "admin", "incident 3")
    assert "done" in page_of(client, job)


def test_deleting_is_foretold_attributed_and_taken_back_with_what_went_along(
    client: Client, world: World
) -> None:
    used, bare = (make.make_mailbox(world.a, f"{name}@store.example") for name in ("used", "bare"))
    make.make_alias(world.domain, "x", to_mailbox(used))
    identity = {"address": "sales@a.example", "granted_by": world.owner}
    make.save(SendAsIdentity(mailbox=bare, **identity))

    job = choose(client, "delete_rows", [used, bare])

    page = page_of(client, job)
    assert "1 of 2 mailboxes would change" in page
    assert "With send-as identity bare@store.example as sales@a.example." in page
    assert "It is still needed by: " in page
    assert Mailbox.objects.count() == 2
    act(client, job, "start", change_reason="left the company")
    assert set(Mailbox.objects.all()) == {used}
    assert last_context(bare)["reason"] == "left the company"
    act(client, job, "undo")
    act(client, Job.objects.order_by("-pk")[0], "start")
    assert bare.identities.get().address == "sales@a.example"


def test_all_rows_of_a_filter_are_deleted_and_come_back(client: Client, world: World) -> None:
    """However many: no form has to name each, of which Django takes a thousand."""
    for name in "pqr":
        make.make_alias(world.domain, name)
    make.make_alias(world.other_domain, "y")
    url = f"{url_of(Alias, 'changelist')}?domain__tenant__id__exact={world.a.pk}"

    client.post(url, {"action": "delete_rows", "select_across": "1", "_selected_action": ["0"]})
    job = Job.objects.order_by("-pk")[0]
    assert (job.total, job.permission) == (3, "tenants.delete_alias")
    act(client, job, "start")
    assert [str(row) for row in Alias.objects.all()] == ["y@b.example"]

    act(client, job, "undo")
    act(client, Job.objects.order_by("-pk")[0], "start")
    assert Alias.objects.count() == 4


def test_a_row_that_would_be_refused_is_listed_with_why(client: Client, world: World) -> None:
    make.save(Alias(domain=world.domain, local_part="bare", enabled=False))
    fit = make.make_alias(world.domain, "fit", enabled=False)

    job = choose(client, "enable", list(Alias.objects.all()))

    page = page_of(client, job)
    assert "1 would be refused" in page
    assert "bare@a.example" in page
    assert "It has no target: add where its mail goes first." in page
    act(client, job, "start")
    assert list(Alias.objects.filter(enabled=True)) == [fit]


def test_all_rows_of_a_filtered_list_can_be_chosen(client: Client, world: World) -> None:
    for name in ("sales1", "sales2", "other"):
        make.make_alias(world.domain, name)
    url = url_of(Alias, "changelist") + "?q=sales"
    first = Alias.objects.get(local_part="sales1")
    data = {"action": "disable", "_selected_action": [first.pk], "select_across": "1"}
    client.post(url, data)

    job = Job.objects.get()
    assert job.total == 2
    make.make_alias(world.domain, "sales3")  # comes too late: what was counted is what is done
    act(client, job, "start")
    assert not Alias.objects.filter(local_part__in=["sales1", "sales2"], enabled=True).exists()
    assert Alias.objects.filter(enabled=True).count() == 2


def test_an_action_reaches_only_the_kind_of_address_it_was_chosen_for(
    client: Client, world: World
) -> None:
    alias = make.make_alias(world.domain, "x")
    role = make.make_role(world.domain, "sales")
    data = {"action": "disable", "_selected_action": [alias.pk, role.pk]}
    client.post(url_of(Alias, "changelist"), data)
    act(client, Job.objects.get(), "start")
    assert RoleAddress.objects.get().enabled


def test_what_needs_to_be_told_is_asked_for_and_checked_before(
    client: Client, world: World
) -> None:
    alias = make.make_alias(world.domain, "x", expires_at=timezone.now() + timedelta(days=1))

    job = choose(client, "extend", [alias])
    assert job.state == Job.State.DRAFT
    assert "1 aliases are chosen" in page_of(client, job)
    wrong = act(client, job, "plan", days="0")
    assert "greater than or equal to 1" in wrong.content.decode()
    act(client, job, "plan", days="7")
    assert (job.state, job.title) == (Job.State.READY, "Extend by 7 days: aliases")
    act(client, job, "plan", days="8")  # thought better of it
    act(client, job, "start")
    was = alias.expires_at
    alias.refresh_from_db()
    assert was is not None
    assert alias.expires_at == was + timedelta(days=8)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"kind": "mailbox", "mailbox": ""}, "Write the mailbox&#x27;s address."),
        ({"kind": "forward", "forward_to": ""}, "Write the address to forward to."),
        ({"kind": "mailbox", "mailbox": "b@store.example"}, "No tenant of these rows has this"),
        ({"kind": "forward", "forward_to": "jo@"}, "form local-part@domain"),
        ({"kind": "fax"}, "Select a valid choice"),
    ],
)
def test_a_target_that_is_none_is_told_at_its_field(
    client: Client, world: World, sent: dict[str, str], said: str
) -> None:
    make.make_mailbox(world.b, "b@store.example")
    job = choose(client, "retarget", [make.make_alias(world.domain, "x")])

    assert said in act(client, job, "plan", **sent).content.decode()
    assert job.state == Job.State.DRAFT


def deeds(world: World) -> dict[str, tuple[dict[str, str], str, Any]]:
    """What is typed for each action, and the field of the row that it changes."""
    box = Mailbox.objects.get(address="new@store.example")
    later = (timezone.now() + timedelta(days=9)).strftime("%Y-%m-%dT%H:%M")
    return {
        "expire": ({"at": later}, "expires_at", None),
        "retarget": ({"kind": "inbox"}, "targets__kind", "inbox"),
        "exchange": (
            {"old": "old@store.example", "new": "new@store.example"},
            "targets__mailbox",
            box.pk,
        ),
        "move": ({"domain": "New.example", "old": "disable"}, "enabled", False),
        "own": ({"value": "ann"}, "owner", world.owner.pk),
    }


@pytest.mark.parametrize(
    ("own", "others", "meant"),
    [
        ("pending", "active", "own"),
        ("active", "pending", "own"),
        ("", "active", "others"),
        ("", "pending pending", ""),
        ("", "pending active", "others"),
        ("released", "active", "others"),
    ],
)
def test_a_domain_that_several_claim_is_their_own_and_else_the_verified_one(
    world: World, own: str, others: str, meant: str
) -> None:
    claims = [
        make.make_domain(tenant, "twice.example", state=state)
        for tenant, state in [
            *((world.a, state) for state in own.split()),
            *((make.make_tenant(), state) for state in others.split()),
        ]
    ]
    data = {"domain": "Twice.example", "old": "keep"}
    form = MoveForm(data, tenants=[world.a.pk])
    if not meant:
        assert "Several tenants" in form.errors["domain"][0]
        return
    assert form.is_valid(), form.errors
    expected = claims[0] if meant == "own" else claims[-1]
    assert form.cleaned_data["domain"] == expected.pk


def test_a_next_hop_is_the_tenant_s_own_before_everyone_s(world: World) -> None:
    own, _ = make.make_hop(world.a, name="store"), make.make_hop(name="Store")
    make.make_hop(world.b, name="STORE")

    def found(text: str, *tenants: Tenant) -> Any:
        form = HopForm({"value": text}, tenants=[each.pk for each in tenants])
        return form.cleaned_data["value"] if form.is_valid() else form.errors["value"][0]

    assert found("STORE", world.a) == own.pk
    assert found("Store", world.a) == own.pk
    assert found("Store", make.make_tenant()) == NextHop.objects.get(tenant=None).pk
    assert "Several tenants" in found("stORE", world.a, world.b)


@pytest.mark.parametrize("typed", ["Jo@BÜCHER.example", "jo@xn--bcher-kva.example"])
def test_a_mailbox_is_named_by_its_address_in_any_spelling(world: World, typed: str) -> None:
    box = make.make_mailbox(world.a, "jo@bücher.example")
    form = ExchangeForm({"old": typed, "new": typed}, tenants=[world.a.pk])
    assert form.is_valid(), form.errors
    assert form.cleaned_data["new"] == box.pk


@pytest.mark.parametrize("name", ["expire", "retarget", "exchange", "move", "own"])
def test_each_action_does_what_was_typed_and_is_undone(
    client: Client, world: World, name: str
) -> None:
    old = make.make_mailbox(world.a, "old@store.example")
    make.make_mailbox(world.a, "new@store.example")
    make.make_domain(world.a, "new.example")
    alias = make.make_alias(world.domain, "x", to_mailbox(old))
    typed, field, value = deeds(world)[name]

    def seen() -> Any:
        return Alias.objects.filter(pk=alias.pk).values_list(field, flat=True).get()

    before = seen()
    job = choose(client, name, [alias])
    act(client, job, "plan", **typed)
    assert job.state == Job.State.READY, page_of(client, job)
    act(client, job, "start", change_reason="because")
    assert seen() == value or (value is None and seen() is not None)

    act(client, job, "undo")
    inverse = Job.objects.order_by("-pk")[0]
    assert (inverse.undoes, inverse.state, inverse.changed) == (job, Job.State.READY, 1)
    act(client, inverse, "start")
    assert seen() == before
    assert "Taken back by" in page_of(client, job)


def test_roles_mailboxes_and_domains_have_actions_of_their_own(
    client: Client, world: World
) -> None:
    box = make.make_mailbox(world.a, "new@store.example")
    hop = make.make_hop(world.a, name="Store 2")
    role = make.make_role(world.domain, "sales", holder=make.make_mailbox(world.a))
    cases: list[tuple[Any, str, str, str, Any]] = [
        (role, "hold_role", "new@store.example", "holder_id", box.pk),
        (box, "rehouse", "store 2", "next_hop_id", hop.pk),
        (world.domain, "relay", "Store 2", "smarthost_id", hop.pk),
        (world.domain, "hold_roles", "new@store.example", "default_role_holder_id", box.pk),
    ]
    for row, name, value, field, wanted in cases:
        job = choose(client, name, [row])
        act(client, job, "plan", value=value)
        act(client, job, "start")
        row.refresh_from_db()
        assert getattr(row, field) == wanted, page_of(client, job)


def test_leaving_everything_as_it_is_leads_back_to_the_list(client: Client, world: World) -> None:
    job = choose(client, "disable", [make.make_alias(world.domain, "x")])
    assert act(client, job, "cancel")["Location"] == url_of(Alias, "changelist")
    assert Alias.objects.get().enabled
    act(client, job, "start")
    assert Alias.objects.get().enabled


def test_a_running_job_shows_its_progress_and_can_be_stopped(client: Client, world: World) -> None:
    job = choose(client, "disable", [make.make_alias(world.domain, name) for name in "ab"])
    Job.objects.filter(pk=job.pk).update(
        state=Job.State.RUNNING, phase=Job.Phase.APPLY, handled=1, total=F("total")
    )
    page = page_of(client, job)
    assert '<progress id="job-progress"' in page
    assert "job.js" in page
    told = client.get(url_of(Job, "progress", job.pk)).json()
    assert (told["handled"], told["total"], told["percent"]) == (1, 2, 50)
    act(client, job, "cancel")
    assert job.state == Job.State.CANCELLED


def test_refused_rows_are_a_file_without_formulas(client: Client, world: World) -> None:
    make.save(Alias(domain=world.domain, local_part="=1+1", enabled=False))
    make.make_alias(world.domain, "fit", enabled=False)
    job = choose(client, "enable", list(Alias.objects.all()))

    text = b"".join(client.get(csv_of(job) + "?refused").streaming_content).decode()  # type: ignore[attr-defined]
    head, row = csv.reader(text.splitlines())
    assert head == ["row", "foretold", "outcome", "note"]
    assert row[:2] == ["'=1+1@a.example", "refused"]
    everything = b"".join(client.get(csv_of(job)).streaming_content).decode()  # type: ignore[attr-defined]
    assert len(everything.splitlines()) == 3
    taken = list(Export.objects.order_by("pk").values_list("actor_name", "what", "rows"))
    told = f"job {job.pk}, Enable aliases"
    assert taken == [("ops", f"refused rows of {told}", 1), ("ops", f"rows of {told}", 2)]
    assert Export.objects.filter(ended_at=None).count() == 0


def csv_of(job: Job) -> str:
    return f"/admin/tenants/job/{job.pk}/rows.csv"


def test_an_auditor_looks_and_does_nothing(world: World, client: Client) -> None:
    job = choose(client, "disable", [make.make_alias(world.domain, "x")])
    auditor = client_of(make_member_of_staff(Role.AUDITOR))
    page = page_of(auditor, job)
    assert "would change" in page
    assert "<button" not in page.split("job-heading")[1].split("panel-toolbar")[0]
    for what in ("plan", "start", "cancel", "undo", "go-on"):
        assert auditor.post(url_of(Job, what, job.pk)).status_code == 403
    assert Alias.objects.get().enabled


def test_a_job_is_shown_and_acted_on_only_by_who_may_do_so_with_its_rows(
    world: World, client: Client
) -> None:
    from django.contrib.auth.models import Permission

    job = choose(client, "disable", [make.make_alias(world.domain, "x")])
    clerk = User.objects.create_user("clerk", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_job", "change_job"]))
    other = client_of(clerk)
    for url in (job.get_absolute_url(), url_of(Job, "progress", job.pk), csv_of(job)):
        assert other.get(url).status_code == 403, url
    assert other.post(url_of(Job, "start", job.pk)).status_code == 403


def test_actions_that_change_targets_are_for_who_may_change_these(
    world: World, client: Client
) -> None:
    alias = make.make_alias(world.domain, "x", to_mailbox(make.make_mailbox(world.a)))
    job = choose(client, "retarget", [alias])
    act(client, job, "plan", kind="inbox")
    act(client, job, "start")
    clerk = make_staff("clerk", is_superuser=False)
    names = ["view_alias", "change_alias", "view_job", "change_job"]
    clerk.user_permissions.set(Permission.objects.filter(codename__in=names))
    other = client_of(clerk)

    offered = other.get(url_of(Alias, "changelist")).content.decode()
    assert 'value="disable"' in offered
    assert 'value="retarget"' not in offered
    assert 'value="exchange"' not in offered
    other.post(url_of(Alias, "changelist"), {"action": "retarget", "_selected_action": [alias.pk]})
    assert Job.objects.count() == 1
    for what in ("plan", "start", "undo"):
        assert other.post(url_of(Job, what, job.pk)).status_code == 403, what
    clerk.user_permissions.add(Permission.objects.get(codename="change_target"))
    assert 'value="retarget"' in other.get(url_of(Alias, "changelist")).content.decode()


def test_a_job_that_failed_says_why_and_goes_on(world: World, client: Client) -> None:
    job = jobs.draft("of another version", title="Import", actor=ACTOR, permission="")
    jobs.apply(job)
    assert "does not know such a job" in page_of(client, job)
    Job.objects.filter(pk=job.pk).update(kind="addresses.disable")
    act(client, job, "go-on")
    assert job.state == Job.State.DONE


def test_whoever_goes_on_with_what_another_asked_for_answers_for_it(
    client: Client, world: World
) -> None:
    alias = make.make_alias(world.domain, "x")
    job = choose(client_of(asker := make_staff("asker")), "disable", [alias])
    asker.delete()
    jobs.apply(job)
    assert "The account of asker" in page_of(client, job)
    act(client, job, "go-on")
    assert (job.state, job.asked_by, last_context(alias)["actor"]) == ("done", "ops", "ops")
    assert "The account of asker" not in page_of(client, job)


def test_what_was_planned_anew_in_another_tab_is_not_started(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    job = choose(client, "retarget", [alias])
    act(client, job, "plan", kind="discard")
    seen = re.search(r'name="checked" value="([^"]+)"', page_of(client, job))
    assert seen is not None
    act(client, job, "plan", kind="forward", forward_to="jo@far.example")
    for stale in ({"checked": seen[1]}, {"checked": ""}):
        act(client, job, "start", **stale)
        assert job.state == Job.State.READY
        assert "checked anew meanwhile" in page_of(client, job)
    assert alias.targets.get().kind == "inbox"
    act(client, job, "start")
    assert alias.targets.get().kind == "forward"


def test_an_empty_list_of_jobs_says_what_they_are(client: Client) -> None:
    page = client.get(url_of(Job, "changelist")).content.decode()
    assert "Work on many rows is listed here" in page


def test_whoever_starts_what_another_drafted_answers_for_it(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    job = choose(client, "disable", [alias])
    act(client_of(make_member_of_staff(Role.OPERATOR)), job, "start", change_reason="ticket 9")
    about = last_context(alias)
    assert (about["actor"], about["reason"]) == (Role.OPERATOR.lower(), "ticket 9")
    assert job.asked_by == Role.OPERATOR.lower()


def test_a_job_s_own_reason_stands_where_its_start_gives_none(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    job = jobs.draft(
        "addresses.disable",
        title="Disable aliases",
        actor=ACTOR,
        permission="tenants.change_alias",
        reason="ticket 8",
    )
    jobs.list_rows(job, Alias.objects.all(), label="key")
    act(client, jobs.check(job), "start")
    assert (job.reason, last_context(alias)["reason"]) == ("ticket 8", "ticket 8")


def test_rows_leave_as_a_file_for_those_alone_who_may_export(world: World) -> None:
    staff = make_staff("reader", is_superuser=False)
    for name in ("view_job", "view_alias"):
        staff.user_permissions.add(Permission.objects.get(codename=name))
    make.make_alias(world.domain, "x")
    job = jobs.draft(
        "addresses.disable",
        title="Disable aliases",
        actor=ACTOR,
        permission="tenants.change_alias",
    )
    jobs.list_rows(job, Alias.objects.all(), label="key")
    reader, file = client_of(staff), url_of(Job, "rows", job.pk)
    assert "rows.csv" not in page_of(reader, jobs.check(job))
    assert reader.get(file).status_code == 403
    staff.user_permissions.add(Permission.objects.get(codename="export_rows"))
    assert reader.get(file).status_code == 200
