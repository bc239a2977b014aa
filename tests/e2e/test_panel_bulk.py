"""Many rows in a real browser: chosen by a filter, foretold, changed by the worker, taken back.

The gateway refuses the addresses as soon as the job is done, and takes them again after its undo.
"""

from collections.abc import Iterator

import pytest
from django.conf import settings
from playwright.sync_api import expect

from tenants.models import Address, Alias, Target
from tests.e2e import mail
from tests.e2e.panel import Panel, browser
from tests.e2e.stack import Stack
from tests.gateway.stage import Stage
from tests.staff import client_of, make_staff

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]

WORKED_MS = 60_000
ROWS = 230  # more than a request does while it is waited for


@pytest.fixture
def panel(stack: Stack, stage: Stage) -> Iterator[Panel]:
    """Somebody signed in; many aliases, one of which lost its target behind the panel's back."""
    for name in ("sales", "bare"):
        stage.alias(name)
    Address.objects.get(key=stage.address("bare")).targets.all().delete()
    Alias.objects.bulk_create(
        Alias(domain=stage.domain, local_part=f"a{n:03}", key=stage.address(f"a{n:03}"))
        for n in range(ROWS - 2)
    )
    made = Alias.objects.filter(domain=stage.domain, targets=None).exclude(local_part="bare")
    Target.objects.bulk_create(Target(address=alias, kind="inbox") for alias in made)
    session = client_of(make_staff("bulk-editor")).cookies[settings.SESSION_COOKIE_NAME].value
    with browser(stack.panel, session=session) as page:
        yield Panel(page)


def test_from_a_filter_to_a_job_and_its_undo(stack: Stack, stage: Stage, panel: Panel) -> None:
    _choose_all(panel, stage, "disable")
    foretold = f"{ROWS} of {ROWS} aliases would change"
    expect(panel.page.locator("body")).to_contain_text(foretold, timeout=WORKED_MS)
    panel.show("bulk-foretold")
    assert mail.ask(stack.smtp_port, stage.address("sales")).startswith("250 ")
    panel.fill(change_reason="Incident 42")
    panel.page.get_by_role("button", name=f"Disable aliases ({ROWS})").click()
    _wait_until_done(panel)
    assert mail.ask(stack.smtp_port, stage.address("sales")) == "550 5.2.1 Address is disabled"
    panel.show("job")
    _enable_again(panel, stage)
    _take_back(panel)
    assert mail.ask(stack.smtp_port, stage.address("sales")).startswith("250 ")
    _look_at_the_tenant(panel, stage)


def _wait_until_done(panel: Panel) -> None:
    """The page's script loads it again by itself."""
    label = panel.page.locator(".panel-label").first
    expect(label).to_contain_text("done", ignore_case=True, timeout=WORKED_MS)


def _choose_all(panel: Panel, stage: Stage, action: str) -> None:
    panel.page.goto(f"/admin/tenants/alias/?domain__id__exact={stage.domain.pk}")
    panel.page.locator("#action-toggle").check()
    panel.page.locator("a", has_text=f"Select all {ROWS}").click()
    panel.page.locator("select[name=action]").select_option(action)
    panel.press("Run")


def _enable_again(panel: Panel, stage: Stage) -> None:
    """What has no target stays off, and says why."""
    _choose_all(panel, stage, "enable")
    refused = panel.page.locator("tbody tr", has_text=stage.address("bare"))
    expect(refused).to_contain_text("It has no target", timeout=WORKED_MS)
    panel.show("bulk-refused")
    panel.press("Leave everything as it is")
    expect(panel.page.locator("body")).to_contain_text("Nothing was changed")


def _take_back(panel: Panel) -> None:
    """All but the row that the rules do not let back."""
    panel.page.goto("/admin/tenants/job/")
    panel.show("jobs")
    panel.page.locator("#result_list tbody tr", has_text="done").first.locator("a").first.click()
    panel.press("Undo…")
    foretold = f"{ROWS - 1} of {ROWS} aliases would change"
    expect(panel.page.locator("body")).to_contain_text(foretold, timeout=WORKED_MS)
    panel.page.get_by_role("button", name=f"Undo: Disable aliases ({ROWS - 1})").click()
    _wait_until_done(panel)


def _look_at_the_tenant(panel: Panel, stage: Stage) -> None:
    panel.page.goto(f"/admin/tenants/tenant/{stage.tenant.pk}/history/")
    panel.page.get_by_label("Who").fill("bulk-editor")
    panel.press("Show")
    expect(panel.page.locator(".panel-history")).to_contain_text("bulk-editor")
    panel.show("tenant-history")
    panel.follow("Older")
    expect(panel.page.locator(".panel-history")).to_contain_text("bulk-editor")
    panel.page.goto("/admin/tenants/alias/?q=sales@")
    link = panel.page.get_by_role("link", name=stage.address("sales"), exact=True).first
    page_of_alias = (link.get_attribute("href") or "").partition("/change/")[0]
    panel.page.goto(f"{page_of_alias}/history/")
    panel.page.get_by_role("link", name="Take it back…").last.click()
    panel.show("revert")
