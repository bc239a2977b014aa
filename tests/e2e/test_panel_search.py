"""The search box and Explain in a real browser: paste, Ctrl+K, and what became of an address.

The stack's own gateway decides the mail that is searched for.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import expect

from gateway.models import RoutingRecord
from tenants import changes
from tenants.changes import Actor
from tenants.models import Address, Target
from tests.e2e import mail
from tests.e2e.panel import Panel, browser
from tests.e2e.stack import Stack
from tests.gateway.stage import Stage
from tests.staff import client_of, make_staff
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]

REASON = "Left the company"


@dataclass(frozen=True, slots=True)
class Past:
    """What happened before anybody opened the panel."""

    domain: str
    queue_id: str  # of mail to moved@, which was switched off since
    session: str


@pytest.fixture
def past(stack: Stack, stage: Stage) -> Past:
    """A live, an expired and a deleted address, one that was switched off, and mail to each."""
    searcher = make_staff("searcher")
    mailbox = stage.mailbox("jo@store.example", port=9)
    stage.alias("jo", Target(kind="mailbox", mailbox=mailbox), Target(kind="inbox"))
    stage.alias("sales", forward(stage.address("jo")), Target(kind="inbox"))
    sale, gone, moved = stage.alias("sale"), stage.alias("gone"), stage.alias("moved")
    for name in ("sales", "moved", "nobody"):
        mail.send(stack.smtp_port, stage.address(name))
    wait_until(lambda: records(stage).count() == 3)
    yesterday = timezone.now() - timedelta(days=1)
    Address.objects.filter(pk=sale.pk).update(expires_at=yesterday)
    actor = Actor(surface="admin", user=searcher)
    changes.delete(gone, actor=actor, reason=REASON)
    moved.enabled = False
    changes.save(moved, actor=actor, reason="The team moved")
    queue_id = records(stage).get(recipient=stage.address("moved")).queue_id
    session = client_of(searcher).cookies[settings.SESSION_COOKIE_NAME].value
    return Past(stage.domain.name, queue_id, session)


def forward(address: str) -> Target:
    return Target(kind="forward", forward_to=address)


def records(stage: Stage):
    return RoutingRecord.objects.filter(tenant=stage.tenant)


@pytest.fixture
def panel(stack: Stack, past: Past) -> Iterator[Panel]:
    """The panel with somebody signed in."""
    with browser(stack.panel, session=past.session) as page:
        yield Panel(page)


def test_whatever_is_pasted_finds_what_became_of_it(past: Past, panel: Panel) -> None:
    panel.page.goto("/admin/tenants/alias/")
    _search(panel, f"  <Sales@{past.domain.upper()}> ")
    _expect(panel, "enabled", "250 2.1.5 Recipient ok")
    expect(panel.page.locator(".panel-trail")).to_contain_text(mail.SENDER)
    panel.show("search")
    _search(panel, f"mailto:gone@{past.domain}?subject=Hello")
    _expect(panel, "deleted", "550 5.1.1 No such address here")
    expect(panel.page.locator("body")).to_contain_text(REASON)
    panel.show("search-deleted")
    _search(panel, f"sale@{past.domain}")
    _expect(panel, "expired", "550 5.2.1 Address has expired")
    _search(panel, f"nobody@{past.domain}")
    _expect(panel, "never existed", "550 5.1.1 No such address here")
    expect(panel.page.locator(".panel-trail tbody tr")).to_have_count(1)
    _search(panel, "sal")
    expect(panel.page.locator("body")).to_contain_text("Addresses that begin so")
    _replay(past, panel)


def _search(panel: Panel, text: str) -> None:
    panel.page.keyboard.press("Control+k")
    expect(panel.page.locator("#panel-search")).to_be_focused()
    panel.page.keyboard.insert_text(text)
    with panel.page.expect_navigation():
        panel.page.keyboard.press("Enter")


def _expect(panel: Panel, standing: str, reply: str) -> None:
    expect(panel.page.locator(".panel-verdict .panel-label")).to_have_text(standing)
    expect(panel.page.locator(".panel-reply")).to_have_text(reply)


def _replay(past: Past, panel: Panel) -> None:
    """From a queue id to what would be said now, and from there along the graph."""
    _search(panel, f"250 2.0.0 Ok: queued as {past.queue_id}")
    panel.page.get_by_role("link", name="Replay").click()
    expect(panel.page.locator(".panel-reply")).to_have_text("550 5.2.1 Address is disabled")
    expect(panel.page.locator("body")).to_contain_text("another answer")
    expect(panel.page.locator(".panel-node-not-reached")).to_have_count(1)
    _look_at(panel, "Then and now")
    panel.show("replay")
    panel.page.get_by_label("Recipient").fill(f"sales@{past.domain}")
    panel.press("Explain")
    expect(panel.page.locator(".panel-node")).to_have_count(6)
    _look_at(panel, "The way of the mail")
    panel.show("explain-graph")
    panel.page.locator("svg.panel-graph a", has_text="jo@store.example").click()
    expect(panel.page).to_have_url(re.compile("/admin/tenants/mailbox/"))


def _look_at(panel: Panel, heading: str) -> None:
    panel.page.get_by_role("heading", name=heading).evaluate("heading => heading.scrollIntoView()")
