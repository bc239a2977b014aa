"""Every main page of the panel, light and dark: readable, accessible, and a picture for docs/.

axe finds nothing on any of them in either theme. SCREENSHOTS=1 writes their pictures, too.
"""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from tests.dns_server import DnsWorld
from tests.e2e import pictures
from tests.e2e.accessibility import violations
from tests.e2e.installation import Builder, Installation
from tests.e2e.panel import Panel, browser
from tests.e2e.screens import SCREENS, Screen
from tests.e2e.stack import Stack
from tests.gateway.sink import Sink

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.usefixtures("socket_enabled")]

IS_WANTED = os.environ.get("SCREENSHOTS") == "1"


@pytest.fixture
def installation(stack: Stack, database: None, dns: DnsWorld, sink: Sink) -> Installation:
    return Builder(stack.smtp_port, dns, sink).build()


@pytest.fixture
def panel(stack: Stack, installation: Installation) -> Iterator[Panel]:
    """The panel with somebody signed in, in the light."""
    with browser(stack.panel, session=installation.session) as page:
        page.goto("/admin/")
        _switch_theme(Panel(page), to="light")
        yield Panel(page)


def test_every_main_page_is_accessible_in_both_themes(
    installation: Installation, panel: Panel
) -> None:
    found, known = {}, set[str]()
    for screen in SCREENS:
        screen.open(panel, installation)
        panel.page.wait_for_load_state("networkidle" if IS_WANTED else "load")
        found[screen.name] = violations(panel.page, known=known, in_both_themes=True)
        if IS_WANTED:
            _take_pictures(panel, screen)
    assert not {name: each for name, each in found.items() if each}


def _take_pictures(panel: Panel, screen: Screen) -> None:
    for theme, other in (("light", "dark"), ("dark", "light")):
        pictures.take(panel.page, theme, screen.name, is_whole=screen.is_whole)
        _switch_theme(panel, to=other)


def _switch_theme(panel: Panel, *, to: str) -> None:
    """By its key, as people do; the browser keeps it for the next page."""
    panel.page.keyboard.press("Control+e")
    expect(panel.page.locator("html")).to_have_class(to)
