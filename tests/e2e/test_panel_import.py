"""A file in a real browser: looked at row by row, its good rows taken, and taken out again.

The gateway answers for the addresses as soon as they are taken, and not before.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import expect

from tenants.models import Target
from tests.e2e import mail
from tests.e2e.panel import Panel, browser
from tests.e2e.stack import Stack
from tests.gateway.stage import Stage
from tests.staff import client_of, make_staff

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]

ROWS = """\
address;targets;note;rules
sales@{0};inbox;Orders from the shop;spam: refuse
team@{0};inbox, forward jo@elsewhere.example;=SUM(A1);
old@{0};discard;Nobody reads this;
fax@{0};fax 4711;;
loop@{0};forward loop@{0};;
"""


@pytest.fixture
def panel(stack: Stack, stage: Stage) -> Iterator[Panel]:
    """Somebody signed in, and one address that is there already."""
    stage.alias("old", Target(kind="inbox"))
    session = client_of(make_staff("importer")).cookies[settings.SESSION_COOKIE_NAME].value
    with browser(stack.panel, session=session) as page:
        yield Panel(page)


def test_from_a_file_to_its_rows_and_back(
    stack: Stack, stage: Stage, panel: Panel, tmp_path: Path
) -> None:
    file = tmp_path / "addresses.csv"
    file.write_text(ROWS.format(stage.domain.name))
    _upload(panel, file, stage.tenant.external_id)
    _look_through(panel, stage)
    assert mail.ask(stack.smtp_port, stage.address("sales")).startswith("550 5.1.1 ")
    panel.fill(change_reason="Moved from the old list")
    panel.press("Take the 3 good ones")
    expect(panel.page.locator("body")).to_contain_text("done")
    assert mail.ask(stack.smtp_port, stage.address("sales")).startswith("250 ")
    panel.show("import-taken")
    _take_out(panel, stage)


def _upload(panel: Panel, file: Path, tenant: str) -> None:
    panel.page.goto("/admin/")
    panel.page.get_by_role("link", name="Import", exact=False).first.click()
    panel.page.locator("input[type=file]").set_input_files(file)
    panel.page.get_by_label("Tenant", exact=True).fill(tenant)
    panel.show("import")
    panel.press("See what it would change")


def _look_through(panel: Panel, stage: Stage) -> None:
    rows = panel.page.locator("#rows tbody tr")
    expect(rows).to_have_count(5)
    expect(panel.page.locator("body")).to_contain_text("Nothing has been changed so far")
    panel.show("import-rows")
    panel.page.get_by_role("link", name="2 refused").click()
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("this is a loop")
    panel.page.get_by_role("link", name="1 changed").click()
    expect(rows).to_contain_text("inbox → discard")


def _take_out(panel: Panel, stage: Stage) -> None:
    panel.page.goto(f"/admin/tenants/alias/?domain__id__exact={stage.domain.pk}")
    panel.show("export")
    with panel.page.expect_download() as download:
        panel.press("Export")
    lines = Path(download.value.path()).read_text().splitlines()
    assert len(lines) == 4
    assert "'=SUM(A1)" in lines[3]
    panel.page.goto("/admin/tenants/export/")
    noted = panel.page.locator("#result_list tbody tr", has_text=f"domain: {stage.domain}")
    expect(noted.locator(".field-rows")).to_have_text("3")
    expect(noted.locator(".field-actor_name")).to_have_text("importer")
