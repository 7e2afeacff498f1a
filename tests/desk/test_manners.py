"""Nobody is sent away, made to type twice, or offered what is not there."""

from __future__ import annotations

import json
import re

import httpx2
import pytest

from openline.i18n import catalogue

from .scene import Scene

TEXT = {"precedence": "FLASH", "language": "fr", "subject": "Essai", "text": "Deux <lignes>\r\nici"}
PHRASE = "twelve characters or more"


def test_a_form_that_is_refused_comes_back_as_it_was_typed(scene: Scene) -> None:
    serial = scene.say("to refer to")
    said = {**TEXT, "due": "soonish", "action": "duty\r\nwatch", f"ref.theirs.{serial}": "on"}
    with scene.browser("drafter") as browser:
        answer = browser.post("/line/1/write", data=said)
        assert answer.status_code == 400
        for kept in ("Deux &lt;lignes&gt;\nici<", 'value="FLASH" checked', 'value="soonish"'):
            assert kept in answer.text
        assert "duty\nwatch</textarea>" in answer.text
        assert f'name="ref.theirs.{serial}" checked' in answer.text
        assert "The time soonish cannot be read" in answer.text
        made = browser.post("/line/1/write", data={**said, "due": "+2h"}).headers["location"]
        again = browser.post(f"{made}/edit", data={**said, "text": " ", "revision": "1"})
        assert (again.status_code, 'value="soonish"' in again.text) == (400, True)
        assert browser.get(made).text.count("Deux &lt;lignes&gt;") == 1, "nothing was lost"


def test_the_language_changes_where_one_is(scene: Scene) -> None:
    with scene.browser("duty") as browser:
        for place, led in (
            (f"{scene.origin}/line/1/transcript?side=ours", "/line/1/transcript?side=ours"),
            (f"{scene.origin}//elsewhere.invalid/", "/"),
            (f"{scene.origin}/\\elsewhere.invalid/", "/"),
            ("http://elsewhere.invalid/line/1", "/"),
            (f"{scene.origin}.elsewhere.invalid/", "/"),
            ("", "/"),
        ):
            headers = {"Referer": place} if place else {}
            answer = browser.post("/language", data={"language": "ru"}, headers=headers)
            assert answer.headers["location"] == led
        assert '<html lang="ru"' in browser.get("/").text


def test_a_problem_keeps_the_pages_of_who_is_signed_in_and_leads_back(scene: Scene) -> None:
    with scene.browser("duty") as browser:
        serial = scene.say("hold this")
        page = f"/line/1/theirs/{serial}"
        headers = {"Referer": scene.origin + page}
        answer = browser.post(page, data={"kind": "holding", "due": "soonish"}, headers=headers)
        assert answer.status_code == 400
        assert f'href="{page}"' in answer.text
        assert 'href="/inbox"' in answer.text


def test_who_sets_a_passphrase_goes_on_and_is_out_everywhere_else(scene: Scene) -> None:
    with scene.browser("translator") as elsewhere, scene.browser("translator") as browser:
        said = {"passphrase": PHRASE, "again": PHRASE}
        assert browser.post("/passphrase", data=said).headers["location"] == "/"
        assert browser.get("/").status_code == 200
        assert elsewhere.get("/").headers["location"] == "/sign-in"


@pytest.mark.parametrize("before", ["", "http://localhost:1/enter#"])
def test_a_link_may_be_copied_whole_and_a_wrong_one_gives_the_form_back(
    scene: Scene, before: str
) -> None:
    link = scene.link("auditor")
    with scene.browser() as browser:
        wrong = browser.post("/enter", data={"link": before + "0" * 32})
        assert (wrong.status_code, 'id="link"' in wrong.text) == (400, True)
        said = {"link": f" {before}{link} "}
        assert browser.post("/enter", data=said).headers["location"] == "/passkeys"


def test_a_release_offers_the_ways_one_has(scene: Scene) -> None:
    draft = scene.draft("to be released")
    with scene.browser("releaser") as browser:
        browser.post(f"/draft/{draft}", data={"act": "hand", "revision": "1"})
        shown = browser.get(f"/draft/{draft}/release").text
        assert catalogue("en").text("desk.neither") in shown
        assert 'type="password"' not in shown
        assert "data-passkey" not in shown
        said = {"passphrase": PHRASE, "again": PHRASE}
        assert browser.post("/passphrase", data=said).status_code == 303
        shown = browser.get(f"/draft/{draft}/release").text
        assert 'type="password"' in shown
        assert "data-passkey" not in shown


@pytest.mark.parametrize(
    ("language", "flash"), [("en", "FLASH"), ("fr", "FLASH"), ("ru", "МОЛНИЯ")]
)
def test_urgency_and_roles_are_said_in_the_readers_language(
    scene: Scene, language: str, flash: str
) -> None:
    scene.say("at once", precedence="FLASH")
    with scene.browser("duty") as browser, scene.browser("administrator") as keeper:
        for each in (browser, keeper):
            each.cookies.set("language", language)
        assert f"{flash}</td>" in browser.get("/inbox").text
        roles = keeper.get("/people").text
        assert catalogue(language).text("desk.role.releaser") in roles


def test_the_clock_of_a_live_board_comes_with_its_tiles(scene: Scene) -> None:
    def first(browser: httpx2.Client) -> dict[str, str]:
        with browser.stream("GET", "/live") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    return dict(json.loads(line.removeprefix("data: ")))
        raise AssertionError("the stream ended")

    with scene.browser("duty") as browser:
        said = first(browser)
    assert re.fullmatch(
        r'<time datetime="[^"]+" dir="ltr">\d{6}Z[A-Z]{3}\d\d · .*</time>\n?', said["clock"]
    )
    assert said["html"].startswith('<div id="tiles"')


def test_a_line_says_how_it_stands(scene: Scene) -> None:
    with scene.browser("duty") as browser:
        shown = " ".join(browser.get("/line/1").text.split())
    assert re.search(r'class="standing"><span aria-hidden="true">●</span> Open', shown)
    assert "Last heard" in shown
