"""Pictures of pages for docs/, small: few colours are enough for a panel."""

from io import BytesIO

from PIL import Image
from playwright.sync_api import Page

from mailrouting.embedded import REPOSITORY

PICTURES = REPOSITORY / "docs" / "screenshots"
COLOURS = 256
LONGEST_PIXELS = 1800


def take(page: Page, theme: str, name: str, *, is_whole: bool) -> None:
    """Write docs/screenshots/THEME/NAME.png; of a whole page, what fits into LONGEST_PIXELS."""
    size = page.viewport_size
    if is_whole and size:
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({**size, "height": min(height, LONGEST_PIXELS)})
    image = Image.open(BytesIO(page.screenshot())).convert("RGB")
    if size:
        page.set_viewport_size(size)
    file = PICTURES / theme / f"{name}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    few = image.quantize(COLOURS, kmeans=1, dither=Image.Dither.NONE)
    few.save(file, optimize=True)
