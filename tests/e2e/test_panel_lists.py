"""Lists in a real browser: pages, filters, a view that is saved, shared, opened and deleted."""

from collections.abc import Iterator

import pytest
from django.conf import settings
from playwright.sync_api import expect

from gateway import concerns, use
from tenants import loading
from tenants.models import Alias, Target
from tests.e2e.panel import Panel, browser
from tests.e2e.stack import Stack
from tests.gateway.stage import Stage
from tests.staff import client_of, make_staff
from tests.world import ACTOR

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]

MANY = 120


@pytest.fixture
def session(stage: Stage) -> str:
    """Somebody's session, on an installation with two pages of aliases and one that is broken."""
    first = loading.reserve(Alias, MANY)
    names = [f"member{number:03d}" for number in range(MANY)]
    rows = [
        (first + number, stage.domain.pk, name, stage.address(name))
        for number, name in enumerate(names)
    ]
    columns = ("id", "domain_id", "local_part", "key")
    assert sum(loading.load(Alias(), columns, rows, actor=ACTOR)) == MANY
    targets = [(pk, "inbox") for pk, *_ in rows[1:]]
    assert sum(loading.load(Target(), ("address_id", "kind"), targets, actor=ACTOR)) == MANY - 1
    now = stage.tenant.created_at
    use.stamp(now=now, most_seconds=30)
    concerns.look_over(now=now)
    staff = make_staff("lister")
    return str(client_of(staff).cookies[settings.SESSION_COOKIE_NAME].value)


@pytest.fixture
def panel(stack: Stack, session: str) -> Iterator[Panel]:
    """The panel with somebody signed in."""
    with browser(stack.panel, session=session) as page:
        yield Panel(page)


def test_a_list_is_paged_narrowed_and_kept_as_a_view(stage: Stage, panel: Panel) -> None:
    search = f"/admin/tenants/alias/?q=member&domain__id__exact={stage.domain.pk}"
    _turn_pages(panel, search)
    _save_a_view(panel, f"{search}&concern=broken")
    _edit_it(panel)


def _turn_pages(panel: Panel, url: str) -> None:
    page = panel.page
    page.goto(url)
    expect(page.locator("body")).to_contain_text(f"{MANY} aliases")
    assert _first(panel).startswith("member000@")
    expect(page.locator("#result_list")).to_contain_text("test (command)")
    panel.show("list")
    panel.follow("Next")
    assert _first(panel).startswith("member050@")
    panel.follow("Last")
    assert _first(panel).startswith("member070@")
    panel.follow("Previous")
    assert _first(panel).startswith("member020@")
    panel.follow("First")
    assert _first(panel).startswith("member000@")


def _save_a_view(panel: Panel, url: str) -> None:
    page = panel.page
    page.goto(url)
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    expect(page.locator("#result_list")).to_contain_text("target broken", ignore_case=True)
    page.get_by_text("Save this view").click()
    page.locator("#id_view_name").fill("Broken members")
    page.get_by_label("Share with all staff").check()
    panel.press("Save view")
    expect(page.locator("[aria-current=page]")).to_contain_text("Broken members")
    panel.show("list-view")
    page.goto("/admin/tenants/alias/")
    panel.follow("Broken members")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)


def _edit_it(panel: Panel) -> None:
    page = panel.page
    panel.follow("Edit views")
    page.get_by_label("Name").fill("Members whose mail is lost")
    panel.press("Save")
    expect(page.locator("body")).to_contain_text("The view “Members whose mail is lost” is changed")
    panel.show("list-views")
    page.get_by_role("button", name="Delete the view").click()
    expect(page.get_by_role("button", name="Delete the view")).to_have_count(0)


def _first(panel: Panel) -> str:
    """The address in the list's first row."""
    return panel.page.locator("#result_list tbody .field-shown").first.inner_text().strip()
