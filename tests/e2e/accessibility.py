"""What axe finds against a page that is open in the browser; accessibility.js says what it asks."""

from pathlib import Path

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

ASK = Path(__file__).with_suffix(".js").read_text()


def violations(
    page: Page, *, known: set[str] | None = None, in_both_themes: bool = False
) -> list[str]:
    """What axe finds on a page; in both themes, it has to be in the light.

    `known` are the looks of texts on the pages before it, whose contrast is not measured again;
    this one's are added.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    looks = known if known is not None else set()
    asked = page.evaluate(ASK, {"known": sorted(looks), "isInBothThemes": in_both_themes})
    looks.update(asked["looks"])
    return [
        f"{each['id']} ({each['impact']}): {[node['html'][:200] for node in each['nodes']]}"
        for each in asked["found"]
    ]
