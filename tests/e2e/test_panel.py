"""The panel's main road in a real browser, checked against the wire and a real DNS server.

One story, since each step needs the one before: claim a domain, prove it, give it an address, and
see what became of its mail and why.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.dns_server import TTL_SECONDS, DnsWorld
from tests.e2e import mail
from tests.e2e.panel import Panel, browser
from tests.e2e.stack import Stack
from tests.gateway.sink import Sink, running

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]

TENANT, DOMAIN = "Northwind Traders", "northwind.example"
ALIAS, FORWARD = f"sales@{DOMAIN}", "sales-team@partner.example"


@pytest.fixture
def smarthost(stack: Stack, socket_enabled: None) -> Iterator[Sink]:
    """Where forwards go."""
    with running(Sink(port=stack.smarthost_port)) as sink:
        yield sink


@pytest.fixture
def panel(stack: Stack) -> Iterator[Panel]:
    """The panel before anybody signed in."""
    with browser(stack.panel) as page:
        yield Panel(page)


def test_from_the_claim_of_a_domain_to_why_its_mail_went_where_it_went(
    stack: Stack, dns: DnsWorld, smarthost: Sink, panel: Panel
) -> None:
    _sign_in_with_second_factor(panel, stack)
    _claim_domain(panel, stack)
    _prove_domain(panel, dns)
    alias = _add_alias(panel)
    reply = _send(stack, smarthost)
    _find_its_record(panel, reply)
    _explain_it(panel, reply)
    _disable_it(panel, alias)
    assert mail.ask(stack.smtp_port, ALIAS) == "550 5.2.1 Address is disabled"
    _see_who_disabled_it(panel, alias)


def _sign_in_with_second_factor(panel: Panel, stack: Stack) -> None:
    panel.sign_in("admin", stack.password)
    expect(panel.page.locator("main")).to_contain_text("Set up a second factor first")
    secret = panel.set_up_second_factor(stack.password)
    panel.sign_out()
    panel.sign_in("admin", stack.password)
    expect(panel.page).not_to_have_url(f"{stack.panel}/admin/")
    panel.enter_code(secret, "Sign In")
    expect(panel.page).to_have_url(f"{stack.panel}/admin/")


def _claim_domain(panel: Panel, stack: Stack) -> None:
    panel.add("tenants/tenant")
    panel.fill(name=TENANT, external_id="northwind")
    panel.pick("plan", "Demo")
    panel.save()
    panel.add("tenants/domain")
    panel.pick("tenant", TENANT)
    panel.fill(name=DOMAIN)
    panel.save()
    assert panel.value_of("State") == "pending"
    assert mail.ask(stack.smtp_port, ALIAS).startswith("550 5.7.1 ")


def _prove_domain(panel: Panel, dns: DnsWorld) -> None:
    dns.serve(DOMAIN, _records_to_publish(panel))
    panel.press("Check now")
    told = panel.page.get_by_text(f"{DOMAIN} was pending and is active now")
    expect(told).to_be_in_viewport()
    assert panel.value_of("State") == "active"
    _see_what_was_found(panel)
    _copy_a_value(panel)
    panel.press("Check now")
    told = panel.page.get_by_text(f"{DOMAIN} was checked a moment ago")
    expect(told).to_be_in_viewport()


def _see_what_was_found(panel: Panel) -> None:
    """Each record beside the one to publish, and by which name server since when."""
    for record in panel.page.locator(".panel-record").all():
        # Nobody serves the file that the record of MTA-STS announces.
        state = "wrong" if record.get_attribute("aria-label") == "MTA-STS" else "present"
        expect(record.locator("header .panel-label")).to_have_text(state)
        _, expected, *_, found = record.locator("dd").all()
        assert _codes(found)[0] in _codes(expected)
        expect(record.locator("header")).to_contain_text("since 20")
    servers = record.locator(".panel-servers tbody tr")
    record.get_by_text("Per name server").click()
    expect(servers).to_have_count(2)
    for line in servers.all():
        expect(line).to_contain_text(f"{TTL_SECONDS} s")
        expect(line.locator(".panel-label")).to_have_text("present")
    expect(panel.page.locator(".panel-checklist")).to_contain_text("Add an alias")


def _copy_a_value(panel: Panel) -> None:
    panel.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    copy = panel.page.get_by_role("button", name="Copy the value").first
    copy.click()
    expect(copy).to_have_text("Copied")
    pasted = panel.page.evaluate("navigator.clipboard.readText()")
    assert pasted == _codes(panel.page.locator(".panel-record").first.locator("dd").nth(1))[0]


def _records_to_publish(panel: Panel) -> dict[str, list[str]]:
    """The records as the page asks for them."""
    records = {}
    for record in panel.page.locator(".panel-record").all():
        rdtype = record.locator("dt").nth(1).text_content()
        name, values = (_codes(record.locator("dd").nth(place)) for place in (0, 1))
        records[f"{name[0]} {rdtype}"] = values
    assert len(records) == 6
    return records


def _codes(cell) -> list[str]:
    return [text.strip() for text in cell.locator("code").all_inner_texts()]


def _add_alias(panel: Panel) -> str:
    """Its page."""
    panel.add("tenants/alias")
    panel.pick("domain", DOMAIN)
    panel.fill(local_part="sales", purpose="Orders from the shop")
    panel.page.locator("[name='targets-0-kind']").select_option("forward")
    panel.fill(targets__0__forward_to=FORWARD)
    panel.save()
    return panel.page.url


def _send(stack: Stack, smarthost: Sink) -> str:
    """Send a message and return the reply to its RCPT."""
    with mail.connect(stack.smtp_port) as client:
        client.mail(mail.SENDER, [f"SIZE={len(mail.OCTETS)}"])
        code, text = client.rcpt(ALIAS)
        assert client.data(mail.OCTETS)[0] == 250
    assert smarthost.got_message.wait(20)
    [received] = smarthost.received
    assert received.recipients == (FORWARD,)
    assert received.octets.endswith(mail.OCTETS)
    return f"{code} {text.decode()}"


def _find_its_record(panel: Panel, reply: str) -> None:
    panel.page.goto("/admin/gateway/routingrecord/")
    panel.page.locator("#searchbar").fill(ALIAS)
    panel.page.keyboard.press("Enter")
    panel.page.locator("#result_list tbody tr", has_text=reply).locator("a").first.click()
    assert panel.value_of("Reply") == reply
    panel.reload_until("delivered")


def _explain_it(panel: Panel, reply: str) -> None:
    panel.follow("Replay this")
    assert panel.page.get_by_label("Recipient").input_value() == ALIAS
    assert panel.page.get_by_label("Sender").input_value() == mail.SENDER
    assert panel.page.locator(".panel-reply").inner_text() == reply


def _disable_it(panel: Panel, alias: str) -> None:
    panel.page.goto(alias)
    panel.page.get_by_role("checkbox", name="Enabled").uncheck()
    panel.fill(change_reason="the shop has closed")
    panel.save()


def _see_who_disabled_it(panel: Panel, alias: str) -> None:
    panel.page.goto(alias.replace("/change/", "/history/"))
    newest = panel.page.locator(".panel-history > li").first
    expect(newest.locator("strong")).to_have_text("admin")
    expect(newest).to_contain_text("“the shop has closed”")
    assert newest.locator("tbody tr").inner_text().split() == ["enabled", "yes", "no"]
