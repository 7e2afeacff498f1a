"""Many tabs of one real browser: all live over one stream, and none stands in another's way."""

from __future__ import annotations

from collections.abc import Sequence

from playwright.sync_api import Browser, Page, expect

from bench.screen import NOTES
from openline.i18n import catalogue

from .browser import open_link, window
from .scene import Scene

TABS = 7
"""One more than a browser has connections to one host."""

SPREAD_MS = 300
"""Between the first tab that sounds and the last."""

COUNTED = """
window.streams = 0;
window.EventSource = class extends EventSource {
  constructor(...given) { super(...given); window.streams += 1; }
};
"""

t = catalogue("en").text


def board(page: Page) -> Page:
    """Another tab of the same browser with a board that is live."""
    tab = page.context.new_page()
    tab.goto("/")
    expect(tab.locator("#fresh")).to_have_text(t("desk.live"))
    return tab


def streams(tabs: Sequence[Page]) -> int:
    """How many streams these tabs have opened."""
    return sum(int(tab.evaluate("() => window.streams")) for tab in tabs)


def test_seven_tabs_share_one_stream_and_each_shows_and_sounds_a_flash(
    scene: Scene, chromium: Browser
) -> None:
    with window(chromium, scene.origin) as page:
        page.context.add_init_script(NOTES + COUNTED)
        open_link(page, scene.link("duty"))
        tabs = [board(page) for _ in range(TABS)]
        for tab in tabs:
            tab.locator("#sound").click()
            expect(tab.locator("#sound.armed")).to_be_visible()
        assert streams(tabs) == 1
        # The one that listens is the first, and is behind all others.
        tabs[-1].bring_to_front()
        scene.say("Are you standing by?", precedence="FLASH")
        for tab in tabs:
            tab.wait_for_function("() => window.shown.length && window.rung.length")
        # Not when it was drawn: a browser draws what is behind when it has nothing else to do.
        times = [tab.evaluate("() => performance.timeOrigin + window.rung[0]") for tab in tabs]
        assert max(times) - min(times) < SPREAD_MS
        page.goto("/line/1")
        expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_when_the_tab_that_listens_closes_another_takes_over(
    scene: Scene, chromium: Browser
) -> None:
    with window(chromium, scene.origin) as page:
        page.context.add_init_script(COUNTED)
        open_link(page, scene.link("duty"))
        tabs = [board(page) for _ in range(3)]
        tabs.pop(0).close()
        serial = scene.say("To those who are left.", precedence="FLASH")
        for tab in tabs:
            expect(tab.locator(f'[data-flash="1.{serial}"]')).to_be_visible()
        assert streams(tabs) == 1


def test_tabs_in_two_languages_each_hear_their_own(scene: Scene, chromium: Browser) -> None:
    with window(chromium, scene.origin) as page:
        open_link(page, scene.link("duty"))
        english, other = board(page), board(page)
        other.get_by_role("button", name="Français").click()
        french = catalogue("fr").text
        expect(other.locator("#fresh")).to_have_text(french("desk.live"))
        scene.say("Both.", precedence="FLASH")
        expect(english.get_by_text(t("desk.flash_waits")).first).to_be_visible()
        expect(other.get_by_text(french("desk.flash_waits")).first).to_be_visible()


def test_a_board_without_locks_listens_for_itself(scene: Scene, chromium: Browser) -> None:
    with window(chromium, scene.origin) as page:
        page.context.add_init_script(COUNTED + "delete Navigator.prototype.locks;")
        open_link(page, scene.link("duty"))
        assert streams([board(page), board(page)]) == 2


def test_a_board_whose_listener_sleeps_listens_for_itself_until_it_hears_of_it(
    scene: Scene, chromium: Browser
) -> None:
    with window(chromium, scene.origin) as page:
        open_link(page, scene.link("duty"))
        page.evaluate(
            """() => {
              window.channel = new BroadcastChannel("board en duty");
              navigator.locks.request("board en duty", () => new Promise(() => {}));
            }"""
        )
        tab = page.context.new_page()
        tab.clock.install()
        tab.add_init_script(COUNTED)
        tab.goto("/")
        expect(tab.locator("#fresh")).to_have_text(t("desk.not_live"))
        tab.clock.fast_forward(11_000)
        expect(tab.locator("#fresh")).to_have_text(t("desk.live"))
        assert streams([tab]) == 1
        page.evaluate(
            """() => window.channel.postMessage(JSON.stringify(
              { clock: "awake", html: '<div id="tiles">awake</div>' }))"""
        )
        expect(tab.locator("#tiles")).to_have_text("awake")
        tab.clock.fast_forward(11_000)
        tab.wait_for_function("() => window.streams === 2")
