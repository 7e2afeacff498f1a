"""A real browser obeys what our headers say, and finds nothing to complain of in our pages."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from .browser import window
from .scene import Scene


def test_the_door_opens_in_a_real_browser(scene: Scene, chromium: Browser) -> None:
    with window(chromium, scene.origin) as page:
        page.goto("/enter")
        page.get_by_label("Link").fill(scene.link("duty"))
        page.get_by_role("button", name="Enter").click()
        page.get_by_role("link", name="Go to the board").click()
        expect(page.get_by_role("heading", name="Board")).to_be_visible()
        expect(page.locator("#fresh")).to_have_text("Live")


WRONG = [
    "document.body.innerHTML = '<b>markup</b>'",
    "document.body.setAttribute('style', 'color: red')",
    "document.head.appendChild(document.createElement('style')).textContent = 'p {}'",
    "document.head.appendChild(document.createElement('script')).src = '//elsewhere.invalid/x'",
    "fetch('http://elsewhere.invalid/').catch(() => {})",
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_the_policy_refuses_is_refused_and_seen(
    scene: Scene, chromium: Browser, wrong: str
) -> None:
    def does_wrong() -> None:
        with window(chromium, scene.origin) as page:
            page.goto("/enter")
            with page.expect_console_message():
                page.evaluate(f"() => {{ try {{ {wrong} }} catch (_) {{ }} }}")

    with pytest.raises(AssertionError, match=r"Content Security Policy|Trusted|elsewhere"):
        does_wrong()
