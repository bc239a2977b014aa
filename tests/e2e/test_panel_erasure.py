"""A person's data erased in a real browser: counted, asked again, done, and not found any more."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tenants import changes
from tests.e2e import mail
from tests.e2e.panel import Panel, browser
from tests.e2e.stack import Stack
from tests.gateway.stage import ACTOR, Stage
from tests.staff import make_staff, session_of

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]

WORKED_MS = 30_000  # a worker hears the bell and does it
REASON = "By letter of 1 June"


@pytest.fixture
def panel(stack: Stack, stage: Stage) -> Iterator[Panel]:
    """Somebody who received mail has left, and the address with her."""
    person, _ = stage.alias("jane.doe", purpose="Jane Doe"), stage.alias("sales")
    mail.send(stack.smtp_port, person.key, mail.OCTETS)
    mail.delivered(person.key)
    changes.delete(person, actor=ACTOR, reason="Left the company")
    with browser(stack.panel, session=session_of(make_staff("data-protection"))) as page:
        yield Panel(page)


def test_a_person_is_erased(stage: Stage, panel: Panel) -> None:
    person, used = stage.address("jane.doe"), stage.address("sales")
    _search(panel, person, "deleted", records=1)
    _ask(panel, used)
    expect(panel.page.locator("main")).to_contain_text(f"still in use: address {used}")
    _ask(panel, person)
    _see_the_counts(panel)
    panel.page.get_by_role("button", name="Erase").click()
    label = panel.page.locator(".panel-label").first
    expect(label).to_contain_text("done", ignore_case=True, timeout=WORKED_MS)
    expect(panel.page.locator("main")).not_to_contain_text(person)
    _search(panel, person, "never existed", records=0)


def _search(panel: Panel, address: str, standing: str, *, records: int) -> None:
    panel.page.goto(f"/admin/search/?q={address}")
    expect(panel.page.locator(".panel-verdict .panel-label")).to_have_text(standing)
    expect(panel.page.locator(".panel-trail tbody tr")).to_have_count(records)


def _ask(panel: Panel, address: str) -> None:
    panel.page.goto("/admin/erasure/")
    panel.page.get_by_label("Address", exact=True).fill(address)
    panel.page.get_by_label("Reason", exact=True).fill(REASON)
    panel.press("Count what would be erased")


def _see_the_counts(panel: Panel) -> None:
    """What would be erased where, and that it stays so; the reason is not asked for again."""
    foretold = panel.page.locator("section", has_text="Nothing has been changed so far")
    expect(foretold).to_contain_text("parts would change", timeout=WORKED_MS)
    for told in ("bodies of", "routing records of", "history of addresses", "1 row"):
        expect(foretold).to_contain_text(told)
    expect(panel.page.locator("main")).to_contain_text("It cannot be undone.")
    expect(panel.page.get_by_label("Reason for this change")).to_have_count(0)
    panel.show("erasure-counted")
