"""The admin of the control plane: every page, every write attributed, every error at its field."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import ProtectedError
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.html import escape

from gateway.routing.resolve import MAX_WIDTH
from tenants import changes, needing, services
from tenants.admin import filters
from tenants.models import (
    Address,
    Alias,
    Domain,
    DomainCheck,
    Mailbox,
    Membership,
    NextHop,
    Plan,
    RoleAddress,
    SendAsIdentity,
    SubaddressRule,
    Target,
    Tenant,
)
from tests import world as make
from tests.pages import blank, data_of, form_of, formset_of, registered, typed, url_of
from tests.tenants.events import last_context
from tests.tenants.wrong_edits import WRONG_EDITS, WrongEdit
from tests.world import World, to_forward, to_inbox, to_mailbox

# Where the form itself answers before the model does, in Django's own words.
FORM_SENTENCES = {
    "empty": "This field is required.",
    "spaces": "This field is required.",
    "unknown kind": "Select a valid choice. fax is not one of the available choices.",
}
MODELS = (
    Plan,
    Tenant,
    Membership,
    Domain,
    Mailbox,
    NextHop,
    Alias,
    RoleAddress,
    SubaddressRule,
    SendAsIdentity,
)


@pytest.fixture
def populated(world: World) -> World:
    fill(world, 1)
    return world


def fill(world: World, number: int) -> None:
    """One more row of everything."""
    box = make.make_mailbox(world.a, f"box{number}@store.example")
    alias = make.make_alias(world.domain, f"alias{number}", to_mailbox(box), to_inbox())
    make.make_rule(alias, "spam", SubaddressRule.Action.RETARGET, to_inbox())
    domain = make.make_domain(world.a, f"more{number}.example")
    make.make_role(domain, "sales", holder=box)
    make.save(SendAsIdentity(mailbox=box, address=alias.key))
    make.make_membership(world.a, make.make_user(f"user{number}"), Membership.Role.EDITOR)
    make.make_tenant()


# --- every page


def test_every_page_renders(client: Client, populated: World) -> None:
    for model in registered():
        assert client.get(url_of(model, "changelist")).status_code == 200, model
        with blank():
            assert client.get(url_of(model, "changelist"), {"q": "a@b"}).status_code == 200, model
        assert client.get(url_of(model, "add")).status_code in (200, 403), model
        if row := model._default_manager.first():
            for page in ("change", "history", "delete"):
                status = client.get(url_of(model, page, row.pk)).status_code
                # A verified domain is released, not deleted.
                allowed = (200, 302, 403) if page == "delete" else (200,)
                assert status in allowed, (model, page)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_model_has_pages_to_edit_it(
    client: Client, populated: World, model: type[Any]
) -> None:
    row = model.objects.first()
    response = client.get(row.get_absolute_url())
    saved = client.post(row.get_absolute_url(), data_of(response) | {"change_reason": "looked"})
    assert saved.status_code == 302, saved.context_data["errors"]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_list_asks_as_often_for_many_rows_as_for_few(
    client: Client, populated: World, model: type[Any]
) -> None:
    client.get(url_of(model, "changelist"))  # what is asked for once in a process
    few = count_queries(client, url_of(model, "changelist"))
    for number in range(2, 6):
        fill(populated, number)
    many = count_queries(client, url_of(model, "changelist"))
    assert many == few
    assert many <= 16


def count_queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def test_an_empty_list_says_what_to_do(client: Client) -> None:
    page = client.get(url_of(Alias, "changelist")).content.decode()
    assert "No aliases yet" in page
    assert "Add a domain first" in page


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("hel", 1),
        ("HELLO@A.ex", 1),
        ("ello", 0),
        ("hello@a.example ", 1),
        ("Jo@Bücher.example", 1),
        ("jo@bücher.exa", 1),
        ('"jo"@xn--bcher-kva.example', 1),
        ("", 3),
    ],
)
def test_search_finds_the_beginning_of_an_address(
    client: Client, world: World, term: str, found: int
) -> None:
    make.make_alias(world.domain, "hello")
    make.make_alias(world.domain, "other")
    make.make_alias(make.make_domain(world.a, "bücher.example"), "jo")
    response = client.get(url_of(Alias, "changelist"), {"q": term})
    assert response.context_data["cl"].result_count == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"expiry": "week"}, ["soon"]),
        ({"expiry": "past"}, ["both", "past"]),
        ({"enabled__exact": "0"}, ["both", "off"]),
        ({"state": "disabled"}, ["off"]),
        ({"state": "expired"}, ["both", "past"]),
        ({"target": "forward"}, ["fwd"]),
        ({"environment": "staging"}, ["staged"]),
    ],
)
def test_filters_find_what_they_name(
    client: Client, world: World, query: dict[str, str], found: list[str]
) -> None:
    now = timezone.now()
    make.make_alias(world.domain, "soon", expires_at=now + timedelta(days=3))
    make.make_alias(world.domain, "past", expires_at=now - timedelta(days=3))
    make.make_alias(world.domain, "off", enabled=False)
    make.make_alias(world.domain, "both", enabled=False, expires_at=now - timedelta(days=3))
    make.make_alias(world.domain, "fwd", to_forward("x@far.example"))
    make.make_alias(make.make_domain(world.a, environment="staging"), "staged")
    rows = client.get(url_of(Alias, "changelist"), query).context_data["cl"].result_list
    assert [row.local_part for row in rows] == found


@pytest.mark.parametrize("named", [0, 10])
def test_addresses_of_an_environment_are_found_however_many_domains_it_has(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch, named: int
) -> None:
    monkeypatch.setattr(filters, "DOMAINS_NAMED", named)
    make.make_alias(world.domain, "live")
    make.make_alias(make.make_domain(world.a, environment="staging"), "staged")
    query = {"environment": "staging"}
    rows = client.get(url_of(Alias, "changelist"), query).context_data["cl"].result_list
    assert [row.local_part for row in rows] == ["staged"]


def test_a_list_can_be_narrowed_to_a_tenant(client: Client, world: World) -> None:
    make.make_alias(world.domain, "x")
    make.make_alias(world.other_domain, "y")
    query = {"domain__tenant__id__exact": world.b.pk}
    rows = client.get(url_of(Alias, "changelist"), query).context_data["cl"].result_list
    assert [row.local_part for row in rows] == ["y"]


# --- writes


def test_the_list_of_tenants_counts_their_domains(client: Client, world: World) -> None:
    make.make_domain(world.a, "second.example")
    response = client.get(url_of(Tenant, "changelist"))
    counts = {row.pk: row.domain_count for row in response.context_data["cl"].result_list}
    assert (counts[world.a.pk], counts[world.b.pk]) == (world.a.domains.count(), 1)
    assert f'tenant__id__exact={world.a.pk}">{counts[world.a.pk]}</a>' in response.content.decode()


def test_a_change_carries_who_through_what_and_why(client: Client, ops: User, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    url = alias.get_absolute_url()
    data = data_of(client.get(url)) | {"purpose": "news", "change_reason": "ticket 7"}
    assert client.post(url, data).status_code == 302
    context = last_context(alias)
    assert context["surface"] == "admin"
    assert (context["user"], context["actor"]) == (ops.pk, "ops")
    assert (context["reason"], context["client"]) == ("ticket 7", "127.0.0.1")
    assert context["request_id"]


def test_one_edit_is_one_entry_of_the_history(client: Client, world: World) -> None:
    box = make.make_mailbox(world.a)
    values = {
        **typed({"domain": world.domain, "local_part": "Sales", "enabled": True}),
        "targets-0-kind": "mailbox",
        "targets-0-mailbox": str(box.pk),
        "change_reason": "new",
    }
    data = data_of(client.get(url_of(Alias, "add"))) | values
    assert client.post(url_of(Alias, "add"), data).status_code == 302
    alias = Alias.objects.get(key="sales@a.example")
    assert [str(target) for target in alias.targets.all()] == [f"mailbox {box}"]
    (edit,) = client.get(url_of(Alias, "history", alias.pk)).context_data["edits"]
    assert [row.verb for row in edit.rows] == ["created", "created"]
    assert (edit.actor, edit.surface, edit.reason) == ("ops", "admin", "new")


@pytest.mark.parametrize("edit", WRONG_EDITS, ids=lambda edit: edit.name)
def test_a_wrong_edit_is_told_at_its_field(client: Client, world: World, edit: WrongEdit) -> None:
    values = edit.values(world)
    with blank():
        if edit.model in (Target, SubaddressRule):
            errors = errors_of_inline(client, edit.model, values)
        else:
            errors = errors_of_form(client, world, edit, values)
    if errors is not None:
        sentence = FORM_SENTENCES.get(edit.name, edit.sentence)
        assert errors.pop(edit.field) == [sentence]
        assert not errors or edit.name in FORM_SENTENCES


def errors_of_form(
    client: Client, world: World, edit: WrongEdit, values: dict[str, Any]
) -> dict[str, list[str]] | None:
    """The page's errors; None where the page does not even offer the field."""
    row = edit.edits(world) if edit.edits else None
    url = row.get_absolute_url() if row else url_of(edit.model, "add")  # type: ignore[attr-defined]
    page = client.get(url)
    if not set(values) <= set(form_of(page).fields):
        return None
    data = data_of(page) | typed(values)
    if "targets-0-kind" in data and row is None:
        data["targets-0-kind"] = "inbox"
    response = client.post(url, data)
    assert response.status_code == 200
    return {name: list(told) for name, told in form_of(response).errors.items()}


def errors_of_inline(
    client: Client, model: type[Any], values: dict[str, Any]
) -> dict[str, list[str]] | None:
    if "address" not in values:
        return None
    url = values["address"].get_absolute_url()
    prefix = "targets" if model is Target else "rules"
    data = data_of(client.get(url))
    row = int(data[f"{prefix}-TOTAL_FORMS"])
    data |= {f"{prefix}-TOTAL_FORMS": str(row + 1), f"{prefix}-{row}-position": str(row)}
    defaults = {"action": "refuse"} if model is SubaddressRule else {}
    for name, value in typed(defaults | values).items():
        data[f"{prefix}-{row}-{name}"] = value
    response = client.post(url, data)
    assert response.status_code == 200
    told = formset_of(response, prefix).errors[row]
    return {name: list(sentences) for name, sentences in told.items()}


def test_a_refused_page_shows_each_sentence_beside_what_was_typed(
    client: Client, world: World
) -> None:
    alias = make.make_alias(world.domain, "x", to_forward("jo@far.example"))
    wrong = {"local_part": "x y", "targets-0-forward_to": "nobody"}
    data = data_of(client.get(alias.get_absolute_url())) | wrong
    response = client.post(alias.get_absolute_url(), data)
    told = [
        *form_of(response).errors["local_part"],
        *formset_of(response, "targets").errors[0]["forward_to"],
    ]
    page = response.content.decode()
    assert len(told) == 2
    assert all(escape(sentence) in page for sentence in told)
    assert all(f'value="{typed}"' in page for typed in wrong.values())


def test_an_enabled_alias_needs_a_target(client: Client, world: World) -> None:
    values = typed({"domain": world.domain, "local_part": "x", "enabled": True})
    url = url_of(Alias, "add")
    response = client.post(url, data_of(client.get(url)) | values)
    assert "An enabled alias needs at least one target" in response.content.decode()
    alias = make.make_alias(world.domain, "y")
    data = data_of(client.get(alias.get_absolute_url())) | {"targets-0-DELETE": "on"}
    response = client.post(alias.get_absolute_url(), data)
    assert "An enabled alias needs at least one target" in response.content.decode()
    assert alias.targets.count() == 1


def test_an_incomplete_alias_is_told_so_and_nothing_fails(client: Client, world: World) -> None:
    url = url_of(Alias, "add")
    data = data_of(client.get(url)) | {
        "targets-0-kind": "forward",
        "targets-0-forward_to": "x@a.example",
        "largest": "many",
        "max_message_octets": "many",
    }
    errors = form_of(client.post(url, data)).errors
    assert set(errors) == {"domain", "local_part", "max_message_octets"}


def test_what_the_write_path_refuses_comes_back_on_the_form(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A race: the form passed, and then somebody else was quicker."""
    from django.core.exceptions import ValidationError

    alias = make.make_alias(world.domain, "x")
    data = data_of(client.get(alias.get_absolute_url())) | {"purpose": "new"}

    def refuse(row: Any, **_: Any) -> None:
        raise ValidationError({"local_part": "Somebody was quicker.", "key": "Taken."})

    monkeypatch.setattr(changes, "save", refuse)
    errors = form_of(client.post(alias.get_absolute_url(), data)).errors
    assert errors == {"local_part": ["Somebody was quicker."], "__all__": ["Key: Taken."]}


def test_sizes_are_typed_with_units(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    data = data_of(client.get(alias.get_absolute_url())) | {"max_message_octets": "2.5 MB"}
    client.post(alias.get_absolute_url(), data)
    alias.refresh_from_db()
    assert alias.max_message_octets == 2_500_000
    page = client.get(alias.get_absolute_url())
    assert form_of(page)["max_message_octets"].value() == "2.5 MB"


def test_an_address_of_many_targets_is_saved(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    with blank():
        data = data_of(client.get(alias.get_absolute_url())) | {"note": "kept"}
        first = [name for name in data if name.startswith(("targets-0-", "initial-targets-0-"))]
        more = {f"{name}-{n}": "" for n in range(MAX_WIDTH) for name in first}
        assert client.post(alias.get_absolute_url(), data | more).status_code == 302
    alias.refresh_from_db()
    assert alias.note == "kept"


def test_more_than_one_person_is_warned_about(client: Client, world: World) -> None:
    people = [make.make_mailbox(world.a) for _ in range(2)]
    alias = make.make_alias(world.domain, "x", *map(to_mailbox, people))
    data = data_of(client.get(alias.get_absolute_url()))
    page = client.post(alias.get_absolute_url(), data | {"_continue": "1"}, follow=True)
    assert services.warnings_for(alias)[0] in page.content.decode()


def test_a_rule_that_retargets_needs_a_target(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    rule = make.make_rule(alias, "news", SubaddressRule.Action.REFUSE)
    data = data_of(client.get(rule.get_absolute_url())) | {"action": "retarget"}
    page = client.post(rule.get_absolute_url(), data).content.decode()
    assert "A rule that retargets needs at least one target" in page


def test_what_is_still_needed_is_not_deleted_and_says_by_what(client: Client, world: World) -> None:
    box = make.make_mailbox(world.a)
    alias = make.make_alias(world.domain, "x", to_mailbox(box))
    role = make.make_role(world.domain, "sales", holder=box)
    page = client.get(url_of(Mailbox, "delete", box.pk)).content.decode()
    assert "is still needed" in page
    assert f'target <a href="{alias.get_absolute_url()}">mailbox {box} of x@a.example</a>' in page
    assert f'role address <a href="{role.get_absolute_url()}">sales@a.example</a>' in page
    client.post(url_of(Mailbox, "delete", box.pk), {"post": "yes"})
    assert Mailbox.objects.filter(pk=box.pk).exists()


def test_what_is_needed_by_many_is_told_by_the_first_and_their_number(
    client: Client, world: World
) -> None:
    """Without loading them all, nor asking for each."""
    box = make.make_mailbox(world.a)
    alias = make.make_alias(world.domain, "x", to_mailbox(box))

    def asked(count: int) -> int:
        Target.objects.bulk_create(
            Target(address=alias, kind="mailbox", mailbox=box, position=n) for n in range(count)
        )
        with CaptureQueriesContext(connection) as queries:
            pages.append(client.get(url_of(Mailbox, "delete", box.pk)).content.decode())
            pages.append(client.post(url_of(Mailbox, "delete", box.pk), data, follow=True))
        return len(queries)

    pages: list[Any] = []
    data = {"post": "yes"}
    few = asked(52)
    assert asked(20) == few
    assert "and 3 more" in pages[0]
    assert "and 23 more" in pages[2]
    assert pages[2].count("of x@a.example</a>") == 50
    with pytest.raises(ProtectedError) as refused:
        changes.delete(box, actor=make.ACTOR)
    assert len(refused.value.protected_objects) == 50
    assert needing.print_names(refused.value).endswith(" and 23 more")


def test_a_reason_that_was_typed_is_still_there_when_the_page_comes_back(
    rf: RequestFactory,
) -> None:
    request = rf.post("/", {"change_reason": 'hop "1" burns'})
    field = render_to_string("admin/panel/reason_field.html", request=request)
    assert 'value="hop &quot;1&quot; burns"' in field
    assert 'value=""' in render_to_string("admin/panel/reason_field.html", request=rf.get("/"))


def test_a_deleted_row_keeps_its_history(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    data = {"post": "yes", "change_reason": "left the company"}
    assert client.post(url_of(Alias, "delete", alias.pk), data).status_code == 302
    page = client.get(url_of(Alias, "history", alias.pk))
    assert page.context_data["is_gone"]
    edits = page.context_data["edits"]
    left = next(edit for edit in edits if edit.reason == "left the company")
    assert {row.verb for row in left.rows} == {"deleted"}


# --- history


def test_history_shows_old_and_new_of_the_fields_that_changed(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x", purpose="old")
    alias.purpose, alias.max_message_octets = "new", 25_000_000
    changes.save(alias, actor=make.ACTOR, reason="because")
    edits = client.get(url_of(Alias, "history", alias.pk)).context_data["edits"]
    (row,) = next(edit for edit in edits if edit.reason == "because").rows
    assert [(field.label, field.old, field.new) for field in row.fields] == [
        ("purpose", "old", "new"),
        ("largest message", "—", "25 MB"),
    ]


def test_history_of_an_alias_tells_of_its_targets_and_rules(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    rule = make.make_rule(alias, "news", SubaddressRule.Action.RETARGET, to_inbox())
    changes.delete(rule, actor=make.ACTOR)
    edits = client.get(url_of(Alias, "history", alias.pk)).context_data["edits"]
    told = [(row.subject, row.verb) for edit in edits for row in edit.rows]
    assert ("target inbox", "deleted") in told
    assert ("subaddress rule news", "deleted") in told
    assert ("alias x@a.example", "created") in told


def test_history_calls_an_address_what_an_operator_calls_it(client: Client, world: World) -> None:
    role = make.make_role(world.domain, "sales")
    (edit,) = client.get(url_of(RoleAddress, "history", role.pk)).context_data["edits"]
    assert [row.subject for row in edit.rows] == ["role address sales@a.example"]


def test_a_change_behind_the_panels_back_is_marked(client: Client, world: World) -> None:
    alias = make.make_alias(world.domain, "x")
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('pghistory.context_id', '', true)")
        cursor.execute("UPDATE tenants_address SET note = 'by hand' WHERE id = %s", [alias.pk])
    page = client.get(url_of(Alias, "history", alias.pk))
    (outside,) = (edit for edit in page.context_data["edits"] if edit.is_outside)
    assert [field.new for field in outside.rows[0].fields] == ["by hand"]
    assert "outside the panel" in page.content.decode()


# --- overview


def test_the_overview_leads_through_the_first_steps(client: Client) -> None:
    page = client.get("/admin/").content.decode()
    assert "First steps" in page
    assert url_of(Plan, "add") in page


def test_the_overview_counts_and_links_to_the_list(client: Client, world: World) -> None:
    make.make_alias(world.domain, "x", expires_at=timezone.now() + timedelta(days=2))
    make.make_domain(world.a, state=Domain.State.PENDING)
    make.make_domain(world.a, state=Domain.State.DEGRADED)
    failing = {"record_name": "a.example", "standing": "absent"}
    make.save(DomainCheck(domain=world.domain, kind="mx", record_type="MX", **failing))
    numbers = client.get("/admin/").context_data["numbers"]
    shown = {number.title: number for number in numbers}
    assert shown["Aliases expiring in 7 days"].value == "1"
    assert shown["Domains pending"].value == "1"
    assert shown["Domains in trouble"].value == "2"
    for number in numbers:
        listed = client.get(number.url)
        assert listed.status_code == 200
        assert f"{listed.context_data['cl'].result_count:,}" == number.value, number.title


def test_addresses_of_both_kinds_are_one_table(client: Client, world: World) -> None:
    make.make_alias(world.domain, "x")
    make.make_role(world.domain, "sales")
    assert Address.objects.count() == 2
    for model in (Alias, RoleAddress):
        assert client.get(url_of(model, "changelist")).context_data["cl"].result_count == 1
