"""What axe finds against a page that is open in the browser; accessibility.js says what it asks."""

from collections.abc import Sequence
from pathlib import Path

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

ASK = Path(__file__).with_suffix(".js").read_text()
SERIOUS = ("serious", "critical")
IMPACTS = ("minor", "moderate", *SERIOUS)


def serious_violations(page: Page) -> list[str]:
    return violations(page, impacts=SERIOUS)


def violations(
    page: Page, *, only_contrast: bool = False, impacts: Sequence[str] = IMPACTS
) -> list[str]:
    """What axe finds, of these impacts."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate(ASK, only_contrast)
    return [
        f"{each['id']} ({each['impact']}): {[node['html'][:200] for node in each['nodes']]}"
        for each in found
        if each["impact"] in impacts
    ]
