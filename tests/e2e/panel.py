"""The panel in a real browser, as somebody in operations uses it.

Pages are read and filled through what is written on them. `show` is called where a page is worth
a look: it has to be accessible. The pictures in docs/ come from test_panel_screens.py.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from allauth.mfa.totp.internal.auth import (
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.conf import settings
from playwright.sync_api import Page, expect, sync_playwright

from tests.conftest import PROGRAMS, SEARCH_PATH
from tests.e2e.accessibility import violations
from tests.waiting import wait_until

SIZE = {"width": 1280, "height": 900}
TIMEOUT_MS = 10_000
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CODE_SECONDS = 30


@contextmanager
def browser(base_url: str, *, session: str = "") -> Iterator[Page]:
    """A page of headless Chromium. Inside `with` the models cannot be used in this thread.

    `session` is the key of one that somebody is signed in with.
    """
    program = next(filter(None, (shutil.which(n, path=SEARCH_PATH) for n in PROGRAMS["chromium"])))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=[*FLAGS])
        try:
            context = chromium.new_context(
                base_url=base_url, viewport=SIZE, color_scheme="light", reduced_motion="reduce"
            )
            context.set_default_timeout(TIMEOUT_MS)
            page = context.new_page()
            if session:
                enter(page, base_url, session)
            yield page
        finally:
            chromium.close()


def enter(page: Page, base_url: str, session: str) -> None:
    """Go on as whoever is signed in with this session."""
    cookie = {"name": settings.SESSION_COOKIE_NAME, "value": session}
    host = str(urlsplit(base_url).hostname)
    page.context.add_cookies([{**cookie, "domain": host, "path": "/"}])


@dataclass(slots=True)
class Panel:
    """The panel as one member of staff sees it."""

    page: Page

    # --- signing in -------------------------------------------------------------

    def sign_in(self, username: str, password: str) -> None:
        self.page.goto("/admin/")
        self.page.get_by_label("Login").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.press("Sign in")

    def sign_out(self) -> None:
        self.page.goto("/accounts/2fa/")
        self.press("Sign out")

    def set_up_second_factor(self, password: str) -> str:
        """Add an authenticator app, which asks for the password again; its secret comes back."""
        self.page.goto("/accounts/2fa/totp/activate/")
        self.page.get_by_label("Password").fill(password)
        self.press("Confirm")
        secret = self.page.get_by_label("Authenticator secret").input_value()
        self.enter_code(secret, "Activate")
        return secret

    def enter_code(self, secret: str, button: str) -> None:
        """Type what the authenticator app shows now."""
        self.page.get_by_label("code").fill(code_of(secret))
        self.press(button)

    # --- forms --------------------------------------------------------------------

    def add(self, model: str) -> None:
        """Open the form for a new row, as in "tenants/alias"."""
        self.page.goto(f"/admin/{model}/add/")

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.page.locator(f"[name='{name.replace('__', '-')}']").fill(value)

    def pick(self, name: str, text: str) -> None:
        """Choose in a field that looks up while one types."""
        self.page.locator(f"#id_{name} ~ .select2 .select2-selection").click()
        self.page.locator(".select2-search__field").fill(text)
        self.page.locator(".select2-results__option", has_text=text).first.click()

    def save(self) -> None:
        """Save and stay on the row's page."""
        self.press("Save and continue editing")
        expect(self.page.locator("body")).to_contain_text("successfully")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def follow(self, name: str) -> None:
        self.page.get_by_role("link", name=name, exact=True).first.click()

    def value_of(self, label: str) -> str:
        """What a field that cannot be edited shows."""
        line = self.page.locator(".field-line").filter(has=self.page.get_by_text(label, exact=True))
        return line.locator(".readonly").inner_text().strip()

    def reload_until(self, label: str) -> None:
        """Look again until one of the coloured labels says so."""

        def says_so() -> bool:
            self.page.reload()
            return self.page.locator(".panel-label").get_by_text(label, exact=True).count() > 0

        wait_until(says_so)

    # --- looking ---------------------------------------------------------------------

    def show(self, name: str) -> None:
        """Check what assistive technology meets."""
        self.page.wait_for_load_state()
        found = violations(self.page)
        assert not found, f"{name}: {found}"


def code_of(secret: str) -> str:
    """The code of this moment, with some seconds left to type it."""
    wait_until(lambda: time.time() % CODE_SECONDS < CODE_SECONDS - 5)
    return str(format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time()))))
