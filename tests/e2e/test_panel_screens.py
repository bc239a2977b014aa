"""Every main page of the panel, light and dark: readable, accessible, and a picture for docs/.

What assistive technology meets is looked at in the light; in the dark only colours differ, so that
only they are looked at, and on the long pages alone. SCREENSHOTS=1 takes all pages in both, and
writes their pictures.
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
    found = {}
    for screen in SCREENS:
        screen.open(panel, installation)
        found[screen.name] = _in_both_themes(panel, screen)
    assert not {name: each for name, each in found.items() if each}


def _in_both_themes(panel: Panel, screen: Screen) -> list[str]:
    panel.page.wait_for_load_state("networkidle" if IS_WANTED else "load")
    found = violations(panel.page)
    if not (IS_WANTED or screen.is_whole):
        return found
    _picture(panel, screen, "light")
    _switch_theme(panel, to="dark")
    found += violations(panel.page, only_contrast=True)
    _picture(panel, screen, "dark")
    _switch_theme(panel, to="light")
    return found


def _switch_theme(panel: Panel, *, to: str) -> None:
    """By its key, as people do; the browser keeps it for the next page."""
    panel.page.keyboard.press("Control+e")
    expect(panel.page.locator("html")).to_have_class(to)


def _picture(panel: Panel, screen: Screen, theme: str) -> None:
    if IS_WANTED:
        pictures.take(panel.page, theme, screen.name, is_whole=screen.is_whole)
