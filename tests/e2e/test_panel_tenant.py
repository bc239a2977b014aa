"""A tenant's page in a real browser: what it uses of its plan, suspended and resumed.

What the page foretells is what the gateway answers afterwards.
"""

import re
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

OK = "250 2.1.5 Recipient ok"


@pytest.fixture
def panel(stack: Stack, stage: Stage) -> Iterator[Panel]:
    """Two addresses of four, by the plan; one domain of ten, by a limit of the tenant's own."""
    stage.plan.max_addresses, stage.plan.max_domains = 4, 2
    stage.tenant.max_domains = 10
    changes.save_all([stage.plan, stage.tenant], actor=ACTOR)
    for name in ("sales", "press"):
        stage.alias(name)
    with browser(stack.panel, session=session_of(make_staff("account-manager"))) as page:
        yield Panel(page)


def test_a_tenant_is_looked_over_suspended_and_resumed(
    stack: Stack, stage: Stage, panel: Panel
) -> None:
    address = stage.address("sales")
    panel.page.goto(f"/admin/tenants/tenant/?q={stage.tenant.name}")
    panel.follow(stage.tenant.name)
    _see_usage(panel)
    promised = _suspend(panel, stage)
    assert mail.ask(stack.smtp_port, address) == promised
    assert mail.ask(stack.smtp_port, stage.address("postmaster")) == OK
    _resume(panel)
    assert mail.ask(stack.smtp_port, address) == OK
    _follow_a_figure(panel)


def _see_usage(panel: Panel) -> None:
    limits = panel.page.locator(".watch-limits tbody tr")
    for title, used, limit, share, own, plan in (
        ("Domains", "1", "10", "10 %", "10", "2"),
        ("Addresses", "2", "4", "50 %", "—", "4"),
    ):
        line = limits.filter(has_text=title).locator("th, td")
        expect(line).to_have_text([title, used, limit, re.compile(re.escape(share)), own, plan])


def _suspend(panel: Panel, stage: Stage) -> str:
    """What senders are told from now on, as it was foretold."""
    body = panel.page.locator("body")
    panel.follow("Suspend…")
    expect(body).to_contain_text(f"2 addresses on 1 domain: {stage.domain}")
    answers = panel.page.locator(".panel-answers code").all_inner_texts()
    assert [answer[:3] for answer in answers] == ["450", "550"]
    expect(panel.page.get_by_label("Reason for this change")).to_have_attribute("required", "")
    panel.fill(change_reason="Unpaid since May")
    panel.press("Suspend")
    expect(body).to_contain_text(f"{stage.tenant} is suspended from now on.")
    assert panel.page.locator(".panel-answers code").all_inner_texts() == answers
    panel.show("suspended")
    return answers[0]


def _resume(panel: Panel) -> None:
    panel.follow("Resume…")
    panel.fill(change_reason="Paid")
    panel.press("Resume")
    expect(panel.page.locator("body")).to_contain_text("is active from now on.")


def _follow_a_figure(panel: Panel) -> None:
    """What the page counts is what the list behind it holds."""
    group = panel.page.locator("section", has=panel.page.get_by_role("heading", name="Aliases"))
    expect(group.locator("li", has_text="enabled")).to_contain_text("2")
    group.get_by_role("link", name="enabled", exact=True).click()
    expect(panel.page.locator("#result_list tbody tr")).to_have_count(2)
