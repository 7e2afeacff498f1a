"""Everybody can use every page: axe-core finds nothing, in both themes and every language, and
nothing has to be scrolled sideways on a phone. A usual run takes each page once, the themes and
languages in turn; the long run takes every page in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice, product
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize

from openline.i18n import LANGUAGES
from openline.rights import ROLES

from .browser import open_link, window
from .scene import Scene
from .test_pages import GET, WALK

PARTS = ("tiles", "files", "page_style")
"""Routes that answer with a part of a page, or with its style."""
OTHERS = ["/nowhere", "/line/99"]
THEMES: list[Literal["light", "dark"]] = ["light", "dark"]
PHONE: ViewportSize = {"width": 320, "height": 640}
RULES = {"resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def places(scene: Scene) -> list[str]:
    """The address of every page, each with something on it."""
    with scene.far.ask() as asking:
        asking.call("person_add", name="everybody", roles=sorted(ROLES))
    for precedence in ("FLASH", "ROUTINE"):
        said = {"precedence": precedence, "subject": "Test", "due_s": 2_000_000_000}
        serial = scene.say("Are you standing by?", **said)
    draft = scene.draft("as it was")
    changed = {"precedence": "FLASH", "text": "as it is", "due": "+2h", "revision": "1"}
    with scene.browser("drafter") as browser:
        browser.post(f"/draft/{draft}/edit", data=changed)
        browser.post(f"/draft/{draft}", data={"act": "comment", "text": "Is it?"})
        browser.post(f"/draft/{draft}", data={"act": "hand", "revision": "2"})
    asked = [path for name, (method, path) in WALK.items() if method == GET and name not in PARTS]
    return [path.format(serial=serial, draft=draft) for path in [*asked, *OTHERS]]


@pytest.fixture
def page(scene: Scene, chromium: Browser) -> Iterator[Page]:
    """The window of somebody with every role."""
    with window(chromium, scene.origin) as page:
        open_link(page, scene.link("everybody"))
        yield page


def speak(page: Page, scene: Scene, language: str) -> None:
    """Choose the language of the pages."""
    page.context.add_cookies([{"name": "language", "value": language, "url": scene.origin}])


def found(page: Page) -> list[str]:
    """What axe-core has to say of a page."""
    said = Axe().run(page, options=RULES).response["violations"]
    return [f"{each['id']}: {node['html'][:120]}" for each in said for node in each["nodes"]]


def test_axe_finds_nothing_wrong(
    scene: Scene, page: Page, places: list[str], long_run: bool
) -> None:
    looks = [*product(THEMES, LANGUAGES)]
    every = [(path, *look) for look in looks for path in places]
    sample = zip(places, islice(cycle(looks), len(places)), strict=True)
    wrong = []
    for path, theme, language in every if long_run else [(at, *look) for at, look in sample]:
        page.emulate_media(color_scheme=theme)
        speak(page, scene, language)
        page.goto(path)
        wrong += [(path, theme, language, each) for each in found(page)]
    assert wrong == []


def test_axe_would_find_it(page: Page) -> None:
    page.evaluate("() => document.querySelector('html').removeAttribute('lang')")
    assert [each.partition(":")[0] for each in found(page)] == ["html-has-lang"]


def test_no_page_is_scrolled_sideways_on_a_phone(
    scene: Scene, page: Page, places: list[str], long_run: bool
) -> None:
    page.set_viewport_size(PHONE)
    wide = []
    for language in LANGUAGES if long_run else ["ru"]:
        speak(page, scene, language)
        for path in places:
            page.goto(path)
            width = page.evaluate("() => document.documentElement.scrollWidth")
            wide += [(path, language, width)] if width > PHONE["width"] else []
    assert wide == []
