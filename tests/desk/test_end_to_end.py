"""Two desks at once, in a real browser: from a blank page to the answer, over a wire that is cut.

With JavaScript boards change by themselves, and the tests only wait; without it a page is loaded
anew, as people would.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, TimeoutError, expect

from openline.i18n import catalogue

from .browser import PATIENCE_MS, window
from .two import PHRASE, Office, TwoDesks

t = catalogue("en").text
LOOK_MS = 1_000


@contextmanager
def person(chromium: Browser, office: Office, name: str, *, script: bool) -> Iterator[Page]:
    """Somebody of an office, before the board: by passphrase."""
    with window(chromium, office.origin, java_script_enabled=script) as page:
        page.goto("/sign-in")
        page.get_by_label(t("desk.your_name")).fill(name)
        page.get_by_label(t("desk.passphrase"), exact=True).fill(PHRASE)
        press(page, "desk.sign_in")
        expect(page.get_by_role("heading", name=t("desk.board"), exact=True)).to_be_visible()
        yield page


def press(page: Page, key: str) -> None:
    """The button with these words."""
    page.get_by_role("button", name=t(key), exact=True).click()


def follow(page: Page, key: str) -> None:
    """The link with these words."""
    page.get_by_role("main").get_by_role("link", name=t(key)).first.click()


def write(page: Page, precedence: str, text: str) -> str:
    """A drafter writes a text and hands it to the releasers; the address of the draft."""
    page.goto("/line/1/write")
    page.get_by_label(precedence).check()
    page.get_by_label(t("desk.text"), exact=True).fill(text)
    press(page, "desk.save")
    press(page, "desk.hand")
    expect(page.get_by_text(t("desk.draft_state.review"))).to_be_visible()
    return page.url


def release(page: Page, draft: str, text: str) -> None:
    """A releaser checks a draft and releases it; ends on the page of the message."""
    page.goto(draft)
    follow(page, "desk.to_release")
    expect(page.get_by_text(text)).to_be_visible()
    follow(page, "desk.check_right")
    page.get_by_label(t("desk.passphrase_of", name="releaser")).fill(PHRASE)
    press(page, "desk.release.now")
    expect(page.get_by_text(text)).to_be_visible()


def until_seen(page: Page, what: Locator, *, anew: bool) -> None:
    """Wait for something on a page; loaded `anew` again and again, if it does not live."""
    if not anew:
        return expect(what).to_be_visible()
    for _ in range(PATIENCE_MS // LOOK_MS):
        try:
            return what.wait_for(timeout=LOOK_MS)
        except TimeoutError:
            page.reload()
    raise AssertionError("not seen")


def step(page: Page, name: str, state: str) -> Locator:
    """A rung of the ladder of a message, if it stands so."""
    return page.locator(f"tr.{state}").filter(has_text=t(f"desk.step.{name}"))


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_flash_is_written_released_read_and_answered_over_a_wire_that_is_cut(
    chromium: Browser, tmp_path: Path, script: bool
) -> None:
    question, answer = "Is the launch of 0300Z yours?", "It is a weather rocket."
    with (
        TwoDesks(tmp_path) as desks,
        person(chromium, desks.near, "drafter", script=script) as drafter,
        person(chromium, desks.near, "releaser", script=script) as releaser,
        person(chromium, desks.far, "duty", script=script) as duty,
        person(chromium, desks.far, "drafter", script=script) as their_drafter,
        person(chromium, desks.far, "releaser", script=script) as their_releaser,
        person(chromium, desks.near, "duty", script=script) as our_duty,
    ):
        draft = write(drafter, "FLASH", question)
        desks.wire.order("cut")
        silent = our_duty.get_by_text(t("desk.standing.silent"))
        until_seen(our_duty, silent, anew=not script)
        release(releaser, draft, question)
        asked = releaser.url
        expect(step(releaser, "committed", "done")).to_be_visible()
        expect(step(releaser, "held", "not_yet")).to_be_visible()
        expect(duty.get_by_text(t("desk.flash_waits"))).to_be_hidden()
        desks.wire.order("mend")
        until_seen(duty, duty.get_by_text(t("desk.flash_waits")), anew=not script)
        until_seen(our_duty, our_duty.locator(".tile.calm"), anew=not script)

        duty.goto("/inbox")
        follow(duty, "desk.from.theirs")
        expect(duty.get_by_text(question)).to_be_visible()
        for act in ("opened", "shown"):
            press(duty, f"desk.act.{act}")
            expect(step(duty, act, "done")).to_be_visible()
        duty.get_by_label(t("desk.answer_by")).fill("+2h")
        press(duty, "desk.act.holding")
        expect(step(duty, "holding", "done")).to_be_visible()
        for name in ("held", "delivered", "opened", "shown", "holding"):
            releaser.goto(asked)
            until_seen(releaser, step(releaser, name, "done"), anew=True)

        release(their_releaser, write(their_drafter, "IMMEDIATE", answer), answer)
        our_duty.goto("/")
        until_seen(our_duty, our_duty.get_by_text("IMMEDIATE"), anew=not script)
        our_duty.goto("/line/1")
        follow(our_duty, "desk.from.theirs")
        expect(our_duty.get_by_text(answer)).to_be_visible()
