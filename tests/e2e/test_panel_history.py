"""History in a real browser: who changed what and why, taken back, and what came past the panel.

Each step is asked of the gateway, whose next answer has to follow.
"""

from collections.abc import Iterator

import psycopg
import pytest
from playwright.sync_api import Locator, expect

from tenants.models import Alias
from tests.e2e import mail
from tests.e2e.panel import Panel, browser
from tests.e2e.stack import Stack
from tests.gateway.stage import Stage
from tests.staff import make_staff, session_of

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]

OK, DISABLED = "250 2.1.5 Recipient ok", "550 5.2.1 Address is disabled"
WHO, REASON, SECOND_THOUGHT = "historian", "The team moved to another address", "They stay"
OFF, ON = ("enabled", "yes", "no"), ("enabled", "no", "yes")
BY_HAND = "UPDATE tenants_address SET enabled = false WHERE key = %s"


@pytest.fixture
def alias(stage: Stage) -> Alias:
    return stage.alias("sales", purpose="Orders from the shop")


@pytest.fixture
def panel(stack: Stack, alias: Alias) -> Iterator[Panel]:
    with browser(stack.panel, session=session_of(make_staff(WHO))) as page:
        yield Panel(page)


def test_edits_are_found_and_taken_back(stack: Stack, alias: Alias, panel: Panel) -> None:
    _switch_off(panel, alias)
    assert mail.ask(stack.smtp_port, alias.key) == DISABLED
    panel.page.locator("a[href*='/history/']").first.click()
    _expect_newest(panel, OFF, WHO, "admin", "127.0.0.1", REASON)
    expect(_edits(panel).last).to_contain_text("stored inbox")
    _take_back(panel, ON)
    assert mail.ask(stack.smtp_port, alias.key) == OK
    _expect_newest(panel, ON, WHO, "admin", "127.0.0.1", SECOND_THOUGHT)
    with psycopg.connect(stack.database_url) as connection:
        connection.execute(BY_HAND, [alias.key])
    assert mail.ask(stack.smtp_port, alias.key) == DISABLED
    _find_it_marked(panel, alias)
    _take_back(panel, ON)
    assert mail.ask(stack.smtp_port, alias.key) == OK


def _switch_off(panel: Panel, alias: Alias) -> None:
    panel.page.goto(alias.get_absolute_url())
    panel.page.get_by_label("Enabled").uncheck()
    panel.fill(change_reason=REASON)
    panel.save()


def _edits(panel: Panel) -> Locator:
    return panel.page.locator(".panel-history > li")


def _expect_fields(place: Locator, change: tuple[str, ...]) -> None:
    """The first table there has this line alone: field, old and new value."""
    cells = place.locator("table").first.locator("tbody :is(th, td)")
    expect(cells).to_have_text(list(change))


def _expect_newest(panel: Panel, change: tuple[str, ...], *told: str) -> None:
    newest = _edits(panel).first
    for each in told:
        expect(newest).to_contain_text(each)
    _expect_fields(newest, change)


def _take_back(panel: Panel, change: tuple[str, ...]) -> None:
    """The newest edit: what that comes to is said first."""
    _edits(panel).first.get_by_role("link", name="Take it back…").click()
    expect(panel.page.get_by_role("heading", name="Take this edit back?")).to_be_visible()
    _expect_fields(panel.page.locator("main"), change)
    panel.fill(change_reason=SECOND_THOUGHT)
    panel.press("Take it back")
    expect(panel.page.locator("body")).to_contain_text("Taken back.")


def _find_it_marked(panel: Panel, alias: Alias) -> None:
    """In the list, and behind that in the history."""
    panel.page.goto(f"/admin/tenants/alias/?q={alias.key}")
    panel.page.get_by_role("link", name="behind the panel’s back").click()
    _expect_newest(panel, OFF, "outside the panel", "who did it is not known")
    panel.show("history-outside")
