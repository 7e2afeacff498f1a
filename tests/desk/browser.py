"""Real windows of a real Chromium on a desk, each watched for what our pages must never do.

Theory of operation: `chromium` (conftest.py) is the system's own browser, driven by playwright; a
test that asks for it is skipped aloud where there is none. A `window` is one person's browser, with
cookies of its own. While it is open, every request and every complaint of the page is kept; when
it closes, a request to anywhere else, an asset that is missing, a fault of our script, or anything
that the content security policy or Trusted Types refused, fails the test. What a test looks for on
a page it finds by what a person would: role and name.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Response,
    expect,
)

PATIENCE_MS = 60_000
"""How long a window waits for anything: this machine may be busy with something else."""

expect.set_options(timeout=PATIENCE_MS)

_PAGE_ANSWERS = "Failed to load resource"
"""How the console begins to speak of an answer of 400 and above; `_answered` decides on those."""


class Watch:
    """What one window asked for and complained of."""

    def __init__(self, origin: str) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._origin = origin

    def over(self, page: Page) -> None:
        """Begin to watch a page."""
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("response", self._answered)
        page.on("console", self._said)
        page.on("pageerror", self._fault)

    def _answered(self, response: Response) -> None:
        is_page = response.request.resource_type == "document"
        if response.status >= 400 and not is_page:
            self.complaints.append(f"{response.status} {response.url}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(_PAGE_ANSWERS):
            self.complaints.append(message.text)

    def _fault(self, error: Error) -> None:
        self.complaints.append(f"script: {error}")

    def judge(self) -> None:
        """AssertionError if anything was asked elsewhere, or complained of."""
        elsewhere = [url for url in self.requests if not url.startswith(self._origin + "/")]
        assert not elsewhere, f"asked elsewhere: {elsewhere}"
        assert not self.complaints, f"complained: {self.complaints}"


@contextmanager
def window(chromium: Browser, origin: str, **options: Any) -> Iterator[Page]:
    """A page of a new person's browser at `origin`; `options` are those of a browser context, such
    as locale, color_scheme, java_script_enabled, viewport.
    """
    given: dict[str, Any] = {
        "base_url": origin,
        "locale": "en-GB",
        "viewport": {"width": 1280, "height": 900},
    }
    context = chromium.new_context(**{**given, **options})
    context.set_default_timeout(PATIENCE_MS)
    watch = Watch(origin)
    page = context.new_page()
    watch.over(page)
    try:
        yield page
        watch.judge()
    finally:
        context.close()


def open_link(page: Page, link: str) -> None:
    """Come in as one who opens a link that a terminal has printed."""
    page.goto(f"/enter#{link}")
    page.locator("main form button").click()
    page.wait_for_url("**/passkeys")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
