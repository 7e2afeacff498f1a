"""What stands beside a text while it is written, and what of it is kept."""

from __future__ import annotations

import re

import pytest

from .scene import Scene

TEXT = {"precedence": "PRIORITY", "language": "en", "subject": "Answer", "text": "We hear you."}


def test_a_reply_refers_to_what_it_answers_and_is_as_urgent(scene: Scene) -> None:
    serial = scene.say("Do you hear us?", precedence="IMMEDIATE")
    with scene.browser("drafter") as browser:
        form = browser.get(f"/line/1/write?reply=theirs.{serial}").text
        assert f'name="ref.theirs.{serial}" checked' in form
        assert 'value="IMMEDIATE" checked' in form
        said = {**TEXT, f"ref.theirs.{serial}": "on"}
        page = browser.post("/line/1/write", data=said).headers["location"]
        assert f"From them <bdi>{serial}</bdi>" in browser.get(page).text
        assert f'name="ref.theirs.{serial}" checked' in browser.get(f"{page}/edit").text
        browser.post(f"{page}/edit", data={**TEXT, "revision": "1"})
        assert f"From them <bdi>{serial}</bdi>" not in browser.get(page).text, "it was taken back"


def test_addressees_are_kept_and_shown_before_release_and_never_sent(scene: Scene) -> None:
    said = {**TEXT, "action": "duty\r\ndesk-two\r\n\r\n", "information": "watch"}
    with scene.browser("releaser") as browser:
        page = browser.post("/line/1/write", data=said).headers["location"]
        browser.post(page, data={"act": "hand", "revision": "1"})
        shown = browser.get(f"{page}/check").text
        assert "duty, desk-two" in shown
        assert "watch" in shown
        assert "duty\ndesk-two</textarea>" in browser.get(f"{page}/edit").text


@pytest.mark.parametrize("said", ["sideways.1.00000a", "theirs.x", "theirs", "theirs.1.zz", "%00"])
def test_a_reply_to_nothing_is_refused_in_words(scene: Scene, said: str) -> None:
    with scene.browser("drafter") as browser:
        assert browser.get(f"/line/1/write?reply={said}").status_code in (400, 404)
        answer = browser.post("/line/1/write", data={**TEXT, f"ref.{said}": "on"})
        assert answer.status_code in (400, 404)


def test_what_is_referred_to_is_offered_by_what_it_says(scene: Scene) -> None:
    evil = "\u202eturned <i>round</i>"
    serial = scene.say("x", subject=evil)
    with scene.browser("drafter") as browser:
        form = browser.get("/line/1/write").text
        (label,) = re.findall(f'name="ref.theirs.{serial}".*?</label>', form)
        assert "⟨U+202E⟩turned &lt;i&gt;round&lt;/i&gt;" in label
