"""Every address of the admin, and every action of its lists, for each role: one case for each.

What follows from a model is derived (its list, its pages, its history); whatever else there is
needs a line in OWN_PAGES or OWN_ACTIONS, and a new one without it fails.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.auth.models import User
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask
from pghistory.models import Context

from gateway.models import Intervention, Message
from gateway.watch import alarms
from gateway.watch.facts import Finding, Kind, Severity
from gateway.watch.models import AlarmStep
from tenants import services
from tenants.admin.saved_views import SavedViewsMixin
from tenants.models import Job
from tenants.roles import Role
from tests import world as make
from tests.gateway import outbox
from tests.pages import blank, registered, url_of
from tests.staff import client_of, make_member_of_staff, make_staff
from tests.tenants.memory_resolver import MemoryResolver
from tests.world import World

NOW = timezone.now()
MODEL_PAGES = ("changelist", "add", "change", "delete", "history", "revert")
GET, POST = "get", "post"
EVERYBODY = "auditor operator"
# The tables that others than superusers look at, and those that operators write.
WRITTEN_BY_OPERATORS = ("tenants", "watch")
SEEN = (
    "tenants",
    "gateway",
    "watch",
    "django_celery_beat",
    "auth.User",
    "auth.Group",
    "mfa.Authenticator",
)


def message() -> Message:
    """The message that stands in the world."""
    return Message.objects.latest("pk")


# Name of the URL, its arguments, how it is asked, and who besides superusers may.
OWN_PAGES: dict[str, tuple[Callable[[World], list[Any]], str, str]] = {
    "index": (lambda w: [], GET, EVERYBODY),
    "search": (lambda w: [], GET, EVERYBODY),
    "explain": (lambda w: [], GET, EVERYBODY),
    "queue": (lambda w: [], GET, EVERYBODY),
    "import": (lambda w: [], GET, "operator"),
    "erasure": (lambda w: [], GET, ""),
    "password_change": (lambda w: [], GET, EVERYBODY),
    "password_change_done": (lambda w: [], GET, EVERYBODY),
    "tenants_domain_check_now": (lambda w: [w.domain.pk], POST, "operator"),
    "tenants_domain_release": (lambda w: [w.domain.pk], POST, "operator"),
    "tenants_tenant_suspend": (lambda w: [w.a.pk], POST, "operator"),
    "tenants_tenant_suspend-for-abuse": (lambda w: [w.a.pk], POST, "operator"),
    "tenants_tenant_close": (lambda w: [w.a.pk], POST, "operator"),
    "tenants_tenant_resume": (lambda w: [w.a.pk], POST, "operator"),
    "tenants_tenant_export_all": (lambda w: [w.a.pk], POST, EVERYBODY),
    "tenants_source_plan": (lambda w: [0], POST, "operator"),
    "tenants_source_send_as": (lambda w: [0], POST, "operator"),
    "tenants_source_shadow": (lambda w: [0], POST, "operator"),
    "tenants_source_report": (lambda w: [0, 0], GET, EVERYBODY),
    "tenants_job_plan": (lambda w: [0], POST, "operator"),
    "tenants_job_start": (lambda w: [0], POST, "operator"),
    "tenants_job_cancel": (lambda w: [0], POST, "operator"),
    "tenants_job_undo": (lambda w: [0], POST, "operator"),
    "tenants_job_go-on": (lambda w: [0], POST, "operator"),
    "tenants_job_progress": (lambda w: [0], GET, EVERYBODY),
    "tenants_job_rows": (lambda w: [0], GET, EVERYBODY),
    "gateway_delivery_intervene": (lambda w: ["retry_now"], POST, "operator"),
    "watch_alarm_care": (lambda w: [0, "acknowledge"], POST, "operator"),
    "watch_alarmrecipient_test": (lambda w: [0], POST, "operator"),
    "gateway_message_body": (lambda w: [message().pk], GET, "operator"),
    "gateway_message_body_raw": (lambda w: [message().pk, 1], POST, "operator"),
    "auth_user_password_change": (lambda w: [w.owner.pk], GET, ""),
}
EXPORTED = ("alias", "domain", "mailbox", "nexthop", "roleaddress", "tenant")
OWN_PAGES |= {f"tenants_{name}_export": (lambda w: [], GET, EVERYBODY) for name in EXPORTED}
# Open to everybody who is signed in, and to nobody's harm: no rows are behind them.
OPEN = {"login", "logout", "jsi18n", "view_on_site", "app_list", "autocomplete"}
# Of whoever is staff at all: what stands there goes by permissions in turn.
ALWAYS = ("index", "search", "password_change", "password_change_done")
# Name of the action, and who besides superusers may.
OWN_ACTIONS: dict[str, str] = {
    "delete_selected": "",  # of users, groups, schedules and factors
    "delete_rows": "operator",
    "export_csv": EVERYBODY,
    "export_json": EVERYBODY,
    "enable": "operator",
    "disable": "operator",
    "expire": "operator",
    "extend": "operator",
    "retarget": "operator",
    "exchange": "operator",
    "move": "operator",
    "own": "operator",
    "hold_role": "operator",
    "rehouse": "operator",
    "relay": "operator",
    "hold_roles": "operator",
    "retry_now": "operator",
    "hold": "operator",
    "reroute": "operator",
    "release": "operator",
    "fail": "operator",
    "acknowledge_all": "operator",
    "take_all": "operator",
    "snooze_all": "operator",
    "enable_tasks": "",
    "disable_tasks": "",
    "run_tasks": "",
    "toggle_tasks": "",
    "make_verified": "",
}


def member(who: str) -> User:
    """A new member of staff with the role; "none" has not any."""
    if who == "none":
        return make_staff("none", is_superuser=False)
    return make_member_of_staff(Role[who.upper()])


class Browsers(dict[str, Client]):
    """A browser for each role, signed in once it is asked for."""

    def __missing__(self, who: str) -> Client:
        self[who] = client_of(member(who))
        return self[who]


@pytest.fixture
def clients(world: World) -> Browsers:
    make.make_alias(world.domain, "x")
    outbox.put()
    return Browsers()


@pytest.fixture
def blank_pages() -> Iterator[None]:
    """What an auditor sees is drawn, and tests of pages draw the others."""
    with blank():
        yield


def admin_patterns() -> Iterator[URLPattern]:
    """Every URL below /admin/."""

    def walk(patterns: Any) -> Iterator[URLPattern]:
        for each in patterns:
            if isinstance(each, URLResolver):
                yield from walk(each.url_patterns)
            else:
                yield each

    inside = [each for each in get_resolver().url_patterns if str(each.pattern) == "admin/"]
    return walk(inside)


# A list's saved views: a page of its own, how it is asked, and a key where it is about one view.
VIEW_PAGES = (
    ("views", GET, []),
    ("view_save", POST, []),
    ("view_edit", POST, [0]),
    ("view_delete", POST, [0]),
)


def with_views() -> list[type[Model]]:
    """The models whose lists keep views."""
    return [model for model in registered() if isinstance(pages_of(model), SavedViewsMixin)]


def derived_names() -> set[str]:
    views = {
        f"{model._meta.app_label}_{model._meta.model_name}_{page}"
        for model in with_views()
        for page, _, _ in VIEW_PAGES
    }
    return views | {
        f"{model._meta.app_label}_{model._meta.model_name}_{page}"
        for model in registered()
        for page in MODEL_PAGES
    }


def may_see(who: str, model: type[Model]) -> bool:
    if who == "superuser":
        return True
    is_seen = model._meta.app_label in SEEN or model._meta.label in SEEN
    return who in ("auditor", "operator") and is_seen


def is_written_by(who: str, model: type[Model], page: str) -> bool:
    """Superusers write what pages allow at all; operators that of the control plane."""
    if who == "superuser":
        return True
    return who == "operator" and model._meta.app_label in WRITTEN_BY_OPERATORS


def pages_of(model: type[Model]) -> ModelAdmin:
    return admin.site._registry[model]


def key_of(model: type[Model]) -> Any:
    """A row that is there, or the key of none: who may not is told so before that is noticed."""
    row = model._base_manager.order_by("-pk").first()
    return row.pk if row is not None else 0


def test_every_url_has_a_case() -> None:
    known = derived_names() | set(OWN_PAGES) | OPEN | {None}  # None: a redirect of an old address
    names = {pattern.name for pattern in admin_patterns()}
    assert names - known == set()
    assert set(OWN_PAGES) - names == set()


@pytest.mark.parametrize("who", ["auditor", "operator", "superuser", "none"])
def test_lists_and_pages_open_by_role(
    world: World, clients: Browsers, who: str, request: pytest.FixtureRequest
) -> None:
    if who != "auditor":
        request.getfixturevalue("blank_pages")
    for model in registered():
        for page in ("changelist", "change", "history"):
            args = [] if page == "changelist" else [key_of(model)]
            response = clients[who].get(url_of(model, page, *args))
            if page == "history" and response.status_code == 302:
                continue  # no such row: Django says so before it asks who wants to know
            denied = response.status_code in (403, 404)
            assert denied is not may_see(who, model), (model, page, response.status_code)


@pytest.mark.parametrize("who", ["auditor", "operator", "none"])
def test_adding_changing_and_deleting_go_by_role(world: World, clients: Browsers, who: str) -> None:
    for model in registered():
        for page in ("add", "change", "delete"):
            if is_written_by(who, model, page):
                continue
            args = [] if page == "add" else [key_of(model)]
            response = clients[who].post(url_of(model, page, *args), {"post": "yes"})
            assert response.status_code == 403, (model, page)


def test_an_operator_opens_every_form_of_the_control_plane(world: World, clients: Browsers) -> None:
    request = RequestFactory().get("/")
    request.user = member("superuser")  # type: ignore[assignment]
    for model in registered():
        if model._meta.app_label in WRITTEN_BY_OPERATORS and pages_of(model).has_add_permission(
            request
        ):
            assert clients["operator"].get(url_of(model, "add")).status_code == 200, model


@pytest.mark.usefixtures("blank_pages")
@pytest.mark.parametrize("who", ["auditor", "operator", "superuser", "none"])
def test_pages_of_their_own_open_by_role(
    world: World, clients: Browsers, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "configured_resolver", lambda **_: MemoryResolver())
    for name, (args, method, allowed) in OWN_PAGES.items():
        url = reverse(f"admin:{name}", args=args(world))
        status = getattr(clients[who], method)(url).status_code
        may = who == "superuser" or who in allowed.split() or (name in ALWAYS and who == "none")
        assert (status != 403) is may, (name, status)
        assert status < 500, name


@pytest.mark.usefixtures("blank_pages")
@pytest.mark.parametrize("who", ["auditor", "operator", "none"])
def test_views_of_a_list_are_for_those_who_see_the_list(
    world: World, clients: Browsers, who: str
) -> None:
    for model in with_views():
        for page, method, args in VIEW_PAGES:
            status = getattr(clients[who], method)(url_of(model, page, *args)).status_code
            assert (status != 403) is may_see(who, model), (model, page, status)


def traces() -> dict[str, int]:
    """What actions leave behind: edits, jobs, care for alarms, acts on mail, schedules switched."""
    scheduled = PeriodicTask.objects.filter(enabled=True)
    rows: list[Any] = [Context, Job, AlarmStep, Intervention, EmailAddress]
    counts: dict[str, int] = {model.__name__: model.objects.count() for model in rows}
    return counts | {"scheduled": scheduled.count()}


def actions_of(user: User) -> Iterator[tuple[type[Model], str]]:
    request = RequestFactory().get("/")
    request.user = user  # type: ignore[assignment]
    for model in registered():
        for name in pages_of(model).get_actions(request):
            yield model, name


def test_every_action_of_a_list_has_a_case(db: None) -> None:
    everything = {name for _, name in actions_of(member("superuser"))}
    assert everything == set(OWN_ACTIONS)


@pytest.mark.parametrize("who", ["auditor", "operator", "none"])
def test_lists_offer_actions_by_role(db: None, who: str) -> None:
    for model, name in actions_of(member(who)):
        assert who in OWN_ACTIONS[name].split(), (model, name)
        is_mail = model._meta.app_label == "gateway"
        assert is_mail or model._meta.app_label in WRITTEN_BY_OPERATORS, (model, name)


@pytest.mark.usefixtures("blank_pages")
def test_actions_that_are_sent_all_the_same_change_nothing(world: World, clients: Browsers) -> None:
    everything = list(actions_of(member("superuser")))
    others = clients["auditor"], clients["none"]
    alarms.settle([Finding(Kind.QUEUE, "queue", Severity.CRITICAL, "Mail waits", "")], now=NOW)
    PeriodicTask.objects.create(name="x", interval=IntervalSchedule.objects.create(every=1))
    before = traces()
    for model, name in everything:
        if "auditor" in OWN_ACTIONS[name].split():
            continue
        data = {"action": name, "_selected_action": [key_of(model)], "post": "yes"}
        for client in others:
            sent = data | {"confirmed": "yes", "change_reason": "because"}
            answer = client.post(url_of(model, "changelist"), sent)
            is_the_list = answer.status_code == 200 and "cl" in answer.context_data
            assert is_the_list or answer.status_code in (302, 403), (model, name)
            assert traces() == before, (model, name)


@pytest.mark.parametrize("who", ["auditor", "operator", "superuser", "none"])
def test_autocomplete_finds_what_the_role_sees(world: World, clients: Browsers, who: str) -> None:
    asked = 0
    for model in registered():
        for name in pages_of(model).autocomplete_fields:
            field = model._meta.get_field(name)
            query = {
                "app_label": model._meta.app_label,
                "model_name": model._meta.model_name,
                "field_name": name,
                "term": "",
            }
            response = clients[who].get(reverse("admin:autocomplete"), query)
            may = may_see(who, field.related_model)  # type: ignore[arg-type]
            assert (response.status_code == 200) is may, (model, name)
            asked += 1
    assert asked
