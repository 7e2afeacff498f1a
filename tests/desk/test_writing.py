"""From a blank page to a message on the other side, without JavaScript."""

from __future__ import annotations

import re

import httpx2
import pytest

from bench.posts import LINE, until

from .scene import Scene

PHRASE = "twelve characters or more"
TEXT = {"precedence": "PRIORITY", "language": "fr", "subject": "Essai", "text": "Bonjour\r\nà vous"}


@pytest.fixture(scope="module", autouse=True)
def phrase(scene: Scene) -> None:
    """The releaser has a passphrase."""
    with scene.browser("releaser") as browser:
        said = {"passphrase": PHRASE, "again": PHRASE}
        assert browser.post("/passphrase", data=said).headers["location"] == "/"


def fields(browser: httpx2.Client, draft: str) -> dict[str, str]:
    """What the page of release would send, without the passphrase."""
    shown = browser.get(f"/draft/{draft}/release").text
    return dict(re.findall(r'name="(revision|hash)" value="([^"]+)"', shown))


def received(scene: Scene) -> list[str]:
    """The texts that the other side holds."""
    with scene.near.ask() as asking:
        listed = asking.call("inbox", line=LINE)["records"]
        return [each["text"] for each in listed if each["type"] == "message"]  # a gap has none


def test_a_text_is_drafted_reviewed_and_released_by_two(scene: Scene) -> None:
    with scene.browser("drafter") as drafter, scene.browser("releaser") as releaser:
        draft = drafter.post("/line/1/write", data=TEXT).headers["location"].rpartition("/")[2]
        page = f"/draft/{draft}"
        assert drafter.get(f"{page}/check").status_code == 403
        assert drafter.post(page, data={"act": "hand", "revision": "1"}).status_code == 303
        said = {"act": "return", "text": "Add the time."}
        assert releaser.post(page, data=said).status_code == 303
        assert "Add the time." in drafter.get(page).text
        form = {**TEXT, "text": "Bonjour à 0300Z", "revision": "1"}
        assert drafter.post(f"{page}/edit", data=form).status_code == 303
        assert drafter.post(page, data={"act": "hand", "revision": "2"}).status_code == 303
        shown = releaser.get(page).text
        assert "<del>" in shown
        assert "Bonjour à 0300Z" in releaser.get(f"{page}/check").text
        form = fields(releaser, draft)
        wrong = releaser.post(f"{page}/release", data={**form, "confirm": "something else"})
        assert wrong.status_code == 400
        assert received(scene) == []
        right = releaser.post(f"{page}/release", data={**form, "confirm": PHRASE})
        assert right.status_code == 303
        until(lambda: received(scene) == ["Bonjour à 0300Z"])
        message = releaser.get(right.headers["location"]).text
        assert "Drafted by drafter, released by releaser" in message
        again = releaser.post(f"{page}/release", data={**form, "confirm": PHRASE})
        assert again.headers["location"] == right.headers["location"]
        assert received(scene) == ["Bonjour à 0300Z"]


def test_what_was_changed_meanwhile_is_not_released(scene: Scene) -> None:
    held = received(scene)
    with scene.browser("drafter") as drafter, scene.browser("releaser") as releaser:
        draft = scene.draft("as it was")
        page = f"/draft/{draft}"
        drafter.post(page, data={"act": "hand", "revision": "1"})
        form = fields(releaser, draft)
        drafter.post(f"{page}/edit", data={**TEXT, "revision": "1"})
        stale = releaser.post(f"{page}/release", data={**form, "confirm": PHRASE})
        assert stale.status_code == 400
        assert received(scene) == held


def test_two_who_edit_at_once_lose_nothing(scene: Scene) -> None:
    with scene.browser("drafter") as one, scene.browser("translator") as other:
        page = f"/draft/{scene.draft('first words')}"
        one.post(f"{page}/edit", data={**TEXT, "text": "words of one", "revision": "1"})
        told = other.post(f"{page}/edit", data={**TEXT, "text": "words of other", "revision": "1"})
        assert told.status_code == 400
        assert f'href="{page}"' in told.text
        assert "openline draft" not in told.text
        shown = one.get(page).text
        assert "words of one" in shown
        aside = one.get(f"{page}?revision=3").text
        assert "words of other" in aside
        assert "/check" not in aside
        assert one.get(f"{page}?revision=9").status_code == 400
        assert one.get(f"{page}?revision=x").status_code == 400
        assert "Revision 3 was written beside the current one" in shown


def test_a_draft_that_is_dropped_is_gone_from_the_list(scene: Scene) -> None:
    with scene.browser("drafter") as browser:
        draft = scene.draft("not needed")
        assert draft in browser.get("/drafts").text
        page = f"/draft/{draft}"
        assert f'href="{page}/drop"' in browser.get(page).text
        asks = browser.get(f"{page}/drop").text
        assert "not needed" in asks
        said = dict(re.findall(r'name="(act|revision)" value="([^"]+)"', asks))
        assert browser.post(page, data=said).status_code == 303
        assert draft not in browser.get("/drafts").text


def test_nobody_drops_a_text_that_he_has_not_seen(scene: Scene) -> None:
    with scene.browser("drafter") as one, scene.browser("translator") as other:
        page = f"/draft/{scene.draft('first words')}"
        one.get(f"{page}/drop")
        other.post(f"{page}/edit", data={**TEXT, "text": "two hours' work", "revision": "1"})
        told = one.post(page, data={"act": "drop", "revision": "1"})
        assert (told.status_code, "translator changed draft" in told.text) == (400, True)
        one.post(f"{page}/edit", data={**TEXT, "text": "kept aside", "revision": "1"})
        told = other.post(page, data={"act": "drop", "revision": "2"})
        assert told.status_code == 400
        assert "two hours" in one.get(page).text
        assert 'name="revision" value="3"' in one.get(f"{page}/drop").text
        assert one.post(page, data={"act": "drop", "revision": "3"}).status_code == 303


@pytest.mark.parametrize(
    "form",
    [
        {"precedence": "URGENT", "text": "x"},
        {"text": "x"},
        {"precedence": "FLASH", "text": "x", "due": "whenever"},
        {"precedence": "FLASH", "text": "x", "language": "klingon of the north"},
        {"precedence": "FLASH", "text": "x" * 70_000},
    ],
)
def test_a_form_that_says_nonsense_is_answered_in_words(scene: Scene, form: dict[str, str]) -> None:
    with scene.browser("drafter") as browser:
        assert browser.post("/line/1/write", data=form).status_code == 400
        draft = scene.draft("for bad acts")
        for said in ({"act": "dance"}, {"act": "hand", "revision": "-1"}, {}):
            assert browser.post(f"/draft/{draft}", data=said).status_code == 400
