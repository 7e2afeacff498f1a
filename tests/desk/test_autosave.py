"""What is being written is kept without a word of the writer, and nothing is overwritten by it."""

from __future__ import annotations

import re
from typing import Any

import httpx2
from playwright.sync_api import Browser, Page, expect

from openline.client import Client
from openline.i18n import catalogue

from .browser import open_link, window
from .scene import Scene
from .test_writing import TEXT

t = catalogue("en").text
SAVED = re.compile(t("desk.saved_at", at=r"\d\d:\d\dZ"))


def kept(browser: httpx2.Client, page: str, text: str, revision: int) -> dict[str, Any]:
    """What the script of a form is told when it has it kept."""
    form = {**TEXT, "text": text, "revision": str(revision)}
    answer = browser.post(f"{page}/autosave", data=form)
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def texts(scene: Scene, draft: str) -> list[tuple[str, str, bool]]:
    """(writer, text, kept aside) of each revision."""
    with scene.far.ask() as asking:
        token = asking.call("sign_in", link=scene.link("drafter"))["token"]
    with Client(scene.places.far, token) as asking:
        listed = asking.call("draft_show", draft=draft)["revisions"]
        each = [asking.call("draft_show", draft=draft, revision=r["revision"]) for r in listed]
    return [(r["by"], e["text"], r["aside"]) for r, e in zip(listed, each, strict=True)]


def test_a_writer_who_goes_on_writing_leaves_one_revision(scene: Scene) -> None:
    with scene.browser("drafter") as browser:
        first = kept(browser, "/line/1", "Are", 0)
        assert SAVED.fullmatch(first["said"])
        page, revision = f"/draft/{first['draft']}", first["revision"]
        for text in ("Are you", "Are you standing", "Are you standing by?"):
            revision = kept(browser, page, text, revision)["revision"]
        assert texts(scene, first["draft"]) == [("drafter", "Are you standing by?", False)]
        said = {"act": "comment", "text": "Say when."}
        with scene.browser("releaser") as other:
            assert other.post(page, data=said).status_code == 303
        kept(browser, page, "Are you standing by at 0300Z?", revision)
        assert len(texts(scene, first["draft"])) == 2


def test_what_another_has_written_meanwhile_is_told_and_both_are_kept(scene: Scene) -> None:
    with scene.browser("drafter") as one, scene.browser("translator") as other:
        draft = kept(one, "/line/1", "first words", 0)["draft"]
        page = f"/draft/{draft}"
        kept(other, page, "words of other", 1)
        for text in ("words of", "words of one"):
            told = kept(one, page, text, 1)
            assert "draft" not in told
            assert "translator" in told["said"]
        assert {(by, text, aside) for by, text, aside in texts(scene, draft)} == {
            ("drafter", "first words", False),
            ("translator", "words of other", False),
            ("drafter", "words of one", True),
        }


def test_what_cannot_be_kept_yet_is_told_in_words(scene: Scene) -> None:
    with scene.browser("drafter") as browser:
        for form in (
            {},
            {"precedence": "FLASH", "due": "+"},
            {"precedence": "FLASH", "text": "x" * 70_000},
        ):
            told = browser.post("/line/1/autosave", data=form).json()
            assert told["said"]
            assert "draft" not in told
        assert browser.post("/draft/nobody/autosave", data=TEXT).json()["said"]
    with scene.browser("duty") as browser:
        assert browser.post("/line/1/autosave", data=TEXT).status_code == 403


# -- in a real browser --------------------------------------------------------------------------


def enter(page: Page, scene: Scene, name: str) -> None:
    open_link(page, scene.link(name))
    page.get_by_role("link", name=t("desk.to_board")).click()
    expect(page.get_by_role("heading", name=t("desk.board"), exact=True)).to_be_visible()


def test_a_page_that_is_left_without_a_word_has_kept_what_stood_on_it(
    chromium: Browser, scene: Scene
) -> None:
    with window(chromium, scene.origin) as page:
        enter(page, scene, "drafter")
        page.goto("/line/1/write")
        text = page.get_by_label(t("desk.text"), exact=True)
        text.press_sequentially("Left in haste")
        expect(page.get_by_text(SAVED)).to_be_visible()
        page.goto("/drafts")
        expect(page.get_by_text("Left in haste")).to_be_visible()
        page.get_by_role("row").filter(has_text="Left in haste").get_by_role("link").click()
        page.get_by_role("link", name=t("desk.edit")).click()
        expect(text).to_have_value("Left in haste")
        text.fill("Left in haste, and come back to")
        page.get_by_role("button", name=t("desk.save"), exact=True).click()
        expect(page.get_by_text("Left in haste, and come back to").first).to_be_visible()
        draft = page.url.rpartition("/")[2]
    assert texts(scene, draft)[-1] == ("drafter", "Left in haste, and come back to", False)


def test_what_was_kept_by_itself_and_then_by_hand_is_one_draft(
    chromium: Browser, scene: Scene
) -> None:
    with window(chromium, scene.origin) as page:
        enter(page, scene, "drafter")
        page.goto("/line/1/write")
        page.get_by_label(t("desk.text"), exact=True).fill("once")
        expect(page.get_by_text(SAVED)).to_be_visible()
        page.get_by_label(t("desk.text"), exact=True).fill("only once")
        page.get_by_role("button", name=t("desk.save"), exact=True).click()
        expect(page.get_by_role("heading", name=t("desk.draft"))).to_be_visible()
        draft = page.url.rpartition("/")[2]
        page.goto("/drafts")
        expect(page.get_by_role("row").filter(has_text="once")).to_have_count(1)
    assert texts(scene, draft)[-1] == ("drafter", "only once", False)


def test_a_conflict_is_shown_to_who_is_writing(chromium: Browser, scene: Scene) -> None:
    with scene.browser("translator") as other, window(chromium, scene.origin) as page:
        enter(page, scene, "drafter")
        draft = scene.draft("both at once")
        page.goto(f"/draft/{draft}/edit")
        kept(other, f"/draft/{draft}", "words of other", 1)
        page.get_by_label(t("desk.text"), exact=True).fill("words of one")
        expect(page.locator("[data-failed]")).to_contain_text("translator")
        expect(page.get_by_label(t("desk.text"), exact=True)).to_have_value("words of one")
    assert ("drafter", "words of one", True) in texts(scene, draft)
