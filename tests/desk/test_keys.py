"""A real browser's keyboard finds every page; a key alone can be switched off."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from .browser import open_link, window
from .scene import Scene


@pytest.fixture
def page(scene: Scene, chromium: Browser) -> Iterator[Page]:
    """The window of a drafter who has entered."""
    with window(chromium, scene.origin) as page:
        open_link(page, scene.link("drafter"))
        yield page


def test_a_question_mark_leads_to_the_keys_unless_one_is_writing(page: Page) -> None:
    page.goto("/search")
    page.locator("#words").press("?")
    expect(page.locator("#words")).to_have_value("?")
    page.locator("#words").blur()
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()
    page.get_by_role("button", name="Switch the single key ? off").click()
    page.goto("/inbox")
    page.keyboard.press("?")
    page.keyboard.press("Tab")
    expect(page.get_by_role("heading", name="In-tray")).to_be_visible()
    page.goto("/keys")
    page.get_by_role("button", name="Switch the single key ? on").click()
    page.goto("/inbox")
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys")).to_be_visible()


def test_the_first_tab_skips_to_the_content_and_the_keyboard_alone_opens_pages(page: Page) -> None:
    page.goto("/line/1")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.locator(".crumb a")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="A draft to other")).to_be_visible()


def test_every_key_that_the_page_of_keys_names_is_on_the_pages_and_once_only(
    scene: Scene, page: Page
) -> None:
    serial = scene.say("with keys")
    page.goto("/keys")
    named = {key for key in page.locator(".keys kbd").all_inner_texts() if len(key) == 1} - {"?"}
    found = set()
    for path in ("/", "/line/1", f"/line/1/theirs/{serial}", "/line/1/transcript", "/line/1/write"):
        page.goto(path)
        keys = [each.get_attribute("accesskey") for each in page.locator("[accesskey]").all()]
        assert len(keys) == len({*keys}), path
        found |= {*keys}
    assert found == named


ACCESS = {
    "b": "/",
    "i": "/inbox",
    "d": "/drafts",
    "s": "/search",
    "l": "/line/1",
    "w": "/line/1/write?reply=",
}
"""Key → where it leads from a message."""

ALT = 1
"""Input.dispatchKeyEvent: its bit among the modifiers."""


def press_access_key(page: Page, key: str) -> None:
    """Alt and a key, as the window system gives them to the browser: the letter comes with it, and
    it is by the letter that an access key is found. The keyboard of playwright sends none with Alt.
    """
    code = {"key": key, "code": f"Key{key.upper()}", "windowsVirtualKeyCode": ord(key.upper())}
    letter = {"text": key, "unmodifiedText": key, "isSystemKey": True}
    wire = page.context.new_cdp_session(page)
    for what in ({"type": "keyDown", **letter}, {"type": "keyUp"}):
        wire.send("Input.dispatchKeyEvent", {"modifiers": ALT, **code, **what})
    wire.detach()


def test_every_access_key_pressed_leads_where_the_page_of_keys_says(
    scene: Scene, page: Page
) -> None:
    message = f"/line/1/theirs/{scene.say('to be left by keys')}"
    for key, place in ACCESS.items():
        page.goto(message)
        press_access_key(page, key)
        end = "" if place.endswith("=") else "$"
        page.wait_for_url(re.compile(re.escape(scene.origin + place) + end))
    page.goto("/keys")
    named = {each for each in page.locator(".keys kbd").all_inner_texts() if len(each) == 1}
    assert named - {"?"} == ACCESS.keys()


def test_a_print_has_as_many_pages_as_it_says(scene: Scene, page: Page) -> None:
    for number in range(40):
        scene.say(f"text {number}")
    page.goto("/line/1/print")
    page.emulate_media(media="print")
    expect(page.locator("header")).to_be_hidden()
    expect(page.locator(".crumb")).to_be_hidden()
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 1
