"""Moving in, in a real browser: read a dump, compare, plan, take over, and compare again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from playwright.sync_api import expect

from tests.e2e.accessibility import violations
from tests.e2e.panel import Panel, browser
from tests.e2e.stack import Stack
from tests.staff import client_of, make_staff
from tests.tenants.moving_in import installations
from tests.world import make_domain, make_hop, make_tenant

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]

TENANT, HOP = "Cattle and Sons", "cattle store"
DOMAINS = ("cow.example", "relay.example", "calf.example")


@pytest.fixture
def dump(tmp_path: Path) -> Path:
    path = tmp_path / "mailcow.sql"
    path.write_text(installations.mailcow())
    return path


@pytest.fixture
def session(database: None) -> str:
    """Somebody who is signed in, and a tenant whose domains are verified already."""
    tenant = make_tenant(TENANT)
    make_hop(tenant, name=HOP)
    for name in DOMAINS:
        make_domain(tenant, name)
    cookie: str = client_of(make_staff("mover")).cookies[settings.SESSION_COOKIE_NAME].value
    return cookie


@pytest.fixture
def panel(stack: Stack, session: str) -> Iterator[Panel]:
    with browser(stack.panel, session=session) as page:
        yield Panel(page)


def test_a_mailcow_moves_in_and_is_compared(panel: Panel, dump: Path) -> None:
    body = panel.page.locator("body")
    panel.add("tenants/source")
    assert not violations(panel.page)
    panel.pick("tenant", TENANT)
    panel.pick("next_hop", HOP)
    panel.page.locator("[name='product']").select_option("mailcow")
    panel.page.locator("[name='dump']").set_input_files(dump)
    panel.press("Save")
    expect(body).to_contain_text("What it holds")
    panel.show("moving-in")
    source = panel.page.url
    panel.press("Compare")
    expect(body).to_contain_text("refused here")
    expect(panel.page.get_by_role("link", name="Explain moo@cow.example")).to_be_visible()
    panel.show("shadow-mode")
    panel.page.goto(source)
    panel.fill(change_reason="Leaving the old server")
    panel.press("Make a plan")
    expect(body).to_contain_text("Import from mailcow (mailcow.sql)")
    panel.page.get_by_role("button", name="Take ").click()
    panel.page.goto(source)
    panel.press("Compare")
    expect(body).to_contain_text("No difference:")
    assert not violations(panel.page)
