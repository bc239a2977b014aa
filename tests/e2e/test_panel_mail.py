"""Mail in a real browser: a trail, a body, a hold, a release and another way, seen at the hop.

One story over real SMTP: a message is deferred by its next hop, followed, read, held and released,
and one that a broken hop keeps is rerouted to a mailbox that takes it.
"""

from collections.abc import Iterator

import pytest
from allauth.mfa.totp.internal.auth import generate_totp_secret
from playwright.sync_api import expect

from tenants.models import Target
from tests.e2e import mail
from tests.e2e.accessibility import violations
from tests.e2e.panel import Panel, browser
from tests.e2e.stack import Stack
from tests.gateway.sink import Sink, free_port
from tests.gateway.stage import Stage
from tests.staff import add_second_factor, make_staff

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]
PASSWORD = "a password of this story alone"
CONTENT = (
    b"From: Ann <ann@sender.example>\r\nSubject: =?utf-8?Q?Bestellung_f=C3=BCr_Mai?=\r\n"
    b"Message-ID: <story@sender.example>\r\nContent-Type: text/html\r\n\r\n"
    b"<p>Twelve <b>chairs</b><img src=https://track.example/p.gif></p>\r\n"
)


@pytest.fixture
def panel(stack: Stack, stage: Stage, sink: Sink) -> Iterator[Panel]:
    """Signed in, with an alias at a hop that is out and a second mailbox at one that takes mail."""
    broken = stage.mailbox(_old(stage), port=free_port())
    stage.mailbox("new@store.example", port=sink.port)
    stage.alias("sales", Target(kind="mailbox", mailbox=broken))
    name, secret = f"mail-{stage.tenant.pk}", generate_totp_secret()
    add_second_factor(make_staff(name, password=PASSWORD), secret=secret)
    with browser(stack.panel) as page:
        panel = Panel(page)
        panel.sign_in(name, PASSWORD)
        panel.enter_code(secret, "Sign In")
        expect(page).to_have_url(f"{stack.panel}/admin/")
        yield panel


def test_a_message_is_followed_read_held_released_and_rerouted(
    stack: Stack, stage: Stage, sink: Sink, panel: Panel
) -> None:
    address = stage.address("sales")
    assert mail.send(stack.smtp_port, address, CONTENT).startswith("250 ")
    _follow(panel, address)
    _read(panel)
    _hold_all_of_the_destination(panel, f"hop {_old(stage)}")
    _release(panel, address)
    _reroute(panel)
    assert sink.got_message.wait(20)
    assert sink.received[0].recipients == ("new@store.example",)
    assert sink.received[0].octets.endswith(CONTENT)
    panel.reload_until("delivered")
    expect(panel.page.locator("body")).to_contain_text("reroute")


def _follow(panel: Panel, address: str) -> None:
    panel.page.goto(f"/admin/gateway/routingrecord/?q={address}")
    panel.page.locator("#result_list tbody tr").locator("a").first.click()
    panel.reload_until("deferred")
    trail = panel.page.locator(".panel-trail")
    for text in (
        "Connected",
        "not encrypted",
        "There is an alias of exactly this name",
        "Attempt 1",
    ):
        expect(trail).to_contain_text(text)
    panel.show("trail")


def _read(panel: Panel) -> None:
    panel.follow("Read the body…")
    assert not violations(panel.page)
    panel.fill(change_reason="Sender asks where it is")
    panel.press("Read it")
    expect(panel.page.locator(".panel-text")).to_have_text("Twelve chairs")
    expect(panel.page.locator("body")).to_contain_text("Bestellung für Mai")
    expect(panel.page.locator("body")).not_to_contain_text("track.example")
    panel.show("body")
    panel.follow("Back to the message")
    expect(panel.page.locator("body")).to_contain_text("Sender asks where it is")


def _old(stage: Stage) -> str:
    """The mailbox whose hop is out; other stories leave queues behind as well."""
    return f"old{stage.tenant.pk}@store.example"


def _hold_all_of_the_destination(panel: Panel, hop: str) -> None:
    panel.page.goto("/admin/queue/?now=1")
    row = panel.page.locator(".panel-queue tbody tr", has_text=hop)
    expect(row).to_contain_text("cannot be reached")
    panel.show("queue")
    row.get_by_role("link", name=f"Hold: all for {hop}").click()
    panel.fill(change_reason="The hop is being mended")
    panel.press("Hold: 1 delivery")
    expect(panel.page.locator("body")).to_contain_text("1 delivery is held.")


def _release(panel: Panel, address: str) -> None:
    panel.page.goto("/admin/gateway/quarantined/")
    row = panel.page.locator("#result_list tbody tr", has_text=address)
    expect(row).to_contain_text("The hop is being mended")
    panel.show("quarantine")
    row.locator("a").first.click()
    panel.follow("Release…")
    panel.fill(change_reason="Mended, they say")
    panel.press("Release: 1 delivery")
    expect(panel.page.locator("body")).to_contain_text("1 delivery is due now.")


def _reroute(panel: Panel) -> None:
    panel.reload_until("deferred")
    panel.follow("Reroute…")
    panel.page.get_by_label("A mailbox of the same tenant").check()
    panel.fill(place="new@store.example")
    panel.press("See what that does")
    expect(panel.page.locator("body")).to_contain_text("to mailbox new@store.example?")
    assert not violations(panel.page)
    panel.fill(change_reason="Not mended after all")
    panel.press("Reroute: 1 delivery")
    expect(panel.page.locator("body")).to_contain_text("1 delivery is on another way.")
