"""How soon a FLASH is on the other desk's screen, with sound.

Theory of operation: a real Chromium shows the board of one post, sound armed by a press as a person
would; the other post, on the same machine, is asked to release a FLASH. What the page shows and
when it begins to sound is noted inside the page, by its own clock, which is set against ours before
each try. Time counts from the question, so that the commits of both posts and the wire are in it.
Needs playwright and a browser, which belong to the group of development.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from openline import clock
from openline.client import Client
from openline.desk.app import COOKIE

from .board import Told, desk_of
from .browser import launch
from .posts import LINE, make_pair, running

if TYPE_CHECKING:
    from playwright.sync_api import Page

NOTES = """
window.shown = []; window.rung = [];
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...when) {
  window.rung.push(performance.now());
  return start.apply(this, when);
};
let before = 0;
new MutationObserver(() => {
  const now = document.querySelectorAll("[data-flash]").length;
  const drawn = () => setTimeout(() => window.shown.push(performance.now()));
  if (now > before) requestAnimationFrame(drawn);
  before = now;
}).observe(document, { subtree: true, childList: true });
"""
"""Notes when a frame with a new FLASH has been drawn, and when a tone was started."""

LOOK_MS = 20


class Screen(NamedTuple):
    """Milliseconds from being asked to release, of each try, ascending."""

    shown: list[float]
    rung: list[float]


def measure(place: Path, told: Told, times: int) -> Screen:
    """Release so many FLASH, each after the one before was opened."""
    from playwright.sync_api import sync_playwright

    told("a FLASH on the other desk's screen")
    places = make_pair(place)
    with running(places) as (near, far), desk_of(places, far) as desk, sync_playwright() as play:
        browser = desk.browser
        chromium = launch(play)
        page = chromium.new_page()
        token = browser.cookies[COOKIE]
        origin = str(browser.base_url)
        page.context.add_cookies([{"name": COOKIE, "value": token, "url": origin}])
        page.add_init_script(NOTES)
        page.goto(origin)
        page.locator("#sound").click()
        page.locator("#sound.armed").wait_for()
        with near.ask() as asking, Client(far.directory, token) as opening:
            tries = [_once(page, asking, opening) for _ in range(times + 1)][1:]
        chromium.close()
    return Screen(*(sorted(each) for each in zip(*tries, strict=True)))


def _once(page: Page, asking: Client, opening: Client) -> tuple[float, float]:
    """One FLASH: milliseconds until it was drawn, and until it sounded."""
    page.evaluate("() => { window.shown = []; window.rung = []; }")
    before_ms = clock.precise_s() * 1000
    theirs_ms: float = page.evaluate("() => performance.now()")
    ahead_ms = (before_ms + clock.precise_s() * 1000) / 2 - theirs_ms
    began_ms = clock.precise_s() * 1000
    said = {"line": LINE, "text": "now", "precedence": "FLASH"}
    serial: dict[str, Any] = asking.call("send", **said)["serial"]
    noted: list[list[float]] = [[], []]
    while not all(noted):
        page.wait_for_timeout(LOOK_MS)
        noted = page.evaluate("() => [window.shown, window.rung]")
    opening.call("receipt", line=LINE, kind="opened", **serial)
    page.locator("[data-flash]").wait_for(state="detached")
    shown, rung = (each[0] + ahead_ms - began_ms for each in noted)
    return shown, rung


def values(screen: Screen) -> dict[str, float]:
    """The measures under their names."""
    return {
        "flash_shown_p50_ms": median(screen.shown),
        "flash_sounds_p50_ms": median(screen.rung),
        "flash_shown_max_ms": screen.shown[-1],
        "flash_sounds_max_ms": max(screen.rung),
    }
