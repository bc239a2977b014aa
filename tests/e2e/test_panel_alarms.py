"""Alarms in a real browser: one opens by itself, somebody is told, and somebody looks after it.

One story with the real beat and worker: mail is counted, a domain is degraded, its alarm is mailed,
acknowledged, assigned and snoozed.
"""

from collections.abc import Iterator

import pytest
from allauth.mfa.totp.internal.auth import generate_totp_secret
from playwright.sync_api import expect

from gateway.watch.models import Alarm, AlarmRecipient
from tenants import changes
from tenants.models import Domain
from tests.e2e import mail
from tests.e2e.accessibility import violations
from tests.e2e.panel import Panel, browser
from tests.e2e.stack import Stack
from tests.gateway.sink import Sink, running
from tests.gateway.stage import ACTOR, Stage
from tests.staff import add_second_factor, make_staff
from tests.waiting import wait_until

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]
PASSWORD = "a password of this story alone"
ADDRESS = "on-call@staff.example"


@pytest.fixture
def mail_server(stack: Stack, socket_enabled: None) -> Iterator[Sink]:
    """The server for the panel's own mail, which is the stack's smarthost."""
    with running(Sink(port=stack.smarthost_port)) as sink:
        yield sink


@pytest.fixture
def recipient(database: None) -> Iterator[AlarmRecipient]:
    """Whoever is on call; the other stories are told nothing."""
    row = AlarmRecipient(name="On call", address=ADDRESS, kinds=["domain"])
    yield changes.save(row, actor=ACTOR)
    changes.delete(row, actor=ACTOR)


@pytest.fixture
def panel(
    stack: Stack, stage: Stage, mail_server: Sink, recipient: AlarmRecipient
) -> Iterator[Panel]:
    """Signed in, with mail accepted and refused, and a domain that is degraded from now on."""
    stage.alias("sales")
    assert mail.send(stack.smtp_port, stage.address("sales"), mail.OCTETS).startswith("250 ")
    assert mail.ask(stack.smtp_port, stage.address("nobody")).startswith("550 ")
    stage.domain.state = Domain.State.DEGRADED
    changes.save(stage.domain, actor=ACTOR)
    wait_until(lambda: Alarm.objects.filter(tenant=stage.tenant).exists())
    name, secret = f"alarms-{stage.tenant.pk}", generate_totp_secret()
    add_second_factor(make_staff(name, password=PASSWORD), secret=secret)
    with browser(stack.panel) as page:
        panel = Panel(page)
        panel.sign_in(name, PASSWORD)
        panel.enter_code(secret, "Sign In")
        expect(page).to_have_url(f"{stack.panel}/admin/")
        yield panel


def test_an_alarm_opens_by_itself_is_mailed_and_looked_after(
    stage: Stage, mail_server: Sink, panel: Panel
) -> None:
    title = f"{stage.domain.name} is degraded"
    _see_what_came(panel)
    panel.follow(title)
    _look_after_it(panel)
    assert mail_server.got_message.wait(20)
    assert mail_server.received[0].recipients == (ADDRESS,)
    assert title.encode() in mail_server.received[0].octets
    _send_a_test(panel)
    wait_until(lambda: any(b"Test of alarms" in each.octets for each in mail_server.received))


def _see_what_came(panel: Panel) -> None:
    chart = panel.page.get_by_role("img", name="Refused, by reason")

    def is_counted() -> bool:
        panel.page.goto("/admin/?span=1h")
        return chart.count() > 0 and "unknown address" in (chart.get_attribute("aria-label") or "")

    wait_until(is_counted)
    panel.page.get_by_text("The same as a table").click()
    expect(panel.page.locator(".watch-table tbody tr").first).to_be_visible()
    assert not violations(panel.page)
    panel.page.emulate_media(color_scheme="dark")
    assert not violations(panel.page)
    panel.page.emulate_media(color_scheme="light")


def _look_after_it(panel: Panel) -> None:
    body = panel.page.locator("body")
    panel.press("Acknowledge")
    expect(body).to_contain_text("You look after this alarm now.")
    panel.press("Assign")
    expect(body).to_contain_text("The alarm is assigned.")
    panel.press("Snooze")
    expect(body).to_contain_text("The alarm is put off.")
    panel.show("alarm")
    panel.page.goto("/admin/watch/alarm/?open=snoozed")
    assert not violations(panel.page)


def _send_a_test(panel: Panel) -> None:
    panel.page.goto("/admin/watch/alarmrecipient/")
    panel.follow("On call")
    panel.press("Send a test")
    expect(panel.page.locator("body")).to_contain_text(f"The test was sent to {ADDRESS}")
    assert not violations(panel.page)
