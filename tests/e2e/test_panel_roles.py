"""Roles in a real browser: an auditor sees all and changes nothing, an operator works.

What each address answers to each role stands in tests/tenants/test_roles.py; here is what people
meet: what is offered to them, and what they are told where it is not.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tenants.models import Alias
from tenants.roles import Role
from tests.e2e import mail
from tests.e2e.panel import Panel, browser, enter
from tests.e2e.stack import Stack
from tests.gateway.stage import Stage
from tests.staff import make_member_of_staff, session_of

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]

CHANGES = re.compile(
    r"(add|save|delete|import|erasure|suspend|close…|check now|release|take it back)\b",
    re.IGNORECASE,
)


@pytest.fixture
def alias(stage: Stage) -> Alias:
    return stage.alias("sales", purpose="Orders from the shop")


@pytest.fixture
def sessions(database: None) -> dict[Role, str]:
    return {r: session_of(make_member_of_staff(r)) for r in (Role.AUDITOR, Role.OPERATOR)}


@pytest.fixture
def panel(stack: Stack, alias: Alias, sessions: dict[Role, str]) -> Iterator[Panel]:
    """The panel as an auditor sees it."""
    with browser(stack.panel, session=sessions[Role.AUDITOR]) as page:
        yield Panel(page)


def test_an_auditor_looks_on_and_an_operator_works(
    stack: Stack, stage: Stage, alias: Alias, sessions: dict[Role, str], panel: Panel
) -> None:
    _look_at_a_list(panel, alias)
    for row in (stage.tenant, stage.domain, alias):
        _look_at(panel, row.get_absolute_url())
    _look_at(panel, alias.get_absolute_url().replace("change", "history"))
    _explain(panel, alias)
    for path in ("tenants/alias/add/", "import/", "erasure/"):
        _be_refused(panel, path, "auditors")
    panel.show("refused")
    enter(panel.page, stack.panel, sessions[Role.OPERATOR])
    _work(panel, stack, stage)
    for path in ("erasure/", "auth/user/add/"):
        _be_refused(panel, path, "operators")
    panel.follow("To the overview")
    expect(panel.page).to_have_url(f"{stack.panel}/admin/")


def _look_at_a_list(panel: Panel, alias: Alias) -> None:
    panel.page.goto(f"/admin/tenants/alias/?q={alias.key}")
    expect(panel.page.locator("#result_list")).to_contain_text(alias.key)
    offered = panel.page.locator("select[name=action] option").all_inner_texts()
    assert offered == ["Select action", "Export as CSV", "Export as JSON"]
    assert not _changes_offered(panel)


def _look_at(panel: Panel, url: str) -> None:
    panel.page.goto(url)
    assert panel.page.locator("main :is(.readonly, .panel-history)").count()
    assert not _changes_offered(panel)


def _changes_offered(panel: Panel) -> set[str]:
    """What the page's links and buttons would change, by what stands on them below their icons."""
    texts = panel.page.locator("a:visible, button:visible").all_inner_texts()
    words = {text.strip().rpartition("\n")[2] for text in texts}
    return set(filter(CHANGES.match, words))


def _explain(panel: Panel, alias: Alias) -> None:
    panel.page.goto("/admin/explain/")
    panel.page.get_by_label("Recipient").fill(alias.key)
    panel.press("Explain")
    expect(panel.page.locator(".panel-reply")).to_have_text("250 2.1.5 Recipient ok")


def _be_refused(panel: Panel, path: str, who: str) -> None:
    response = panel.page.goto(f"/admin/{path}")
    assert response
    assert response.status == 403
    expect(panel.page.locator("main")).to_contain_text("Your role does not open this page")
    expect(panel.page.locator("main")).to_contain_text(f"one of the {who}. Nothing was changed")


def _work(panel: Panel, stack: Stack, stage: Stage) -> None:
    panel.add("tenants/alias")
    offered = _changes_offered(panel)
    assert {"Import", "Save"} < offered
    assert "Erasure" not in offered
    panel.pick("domain", stage.domain.name)
    panel.fill(local_part="press")
    panel.page.locator("[name='targets-0-kind']").select_option("inbox")
    panel.save()
    assert mail.ask(stack.smtp_port, stage.address("press")).startswith("250 ")
