"""The pages of a real desk over real posts, without JavaScript."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.posts import until
from openline.desk.access import ANYBODY, ROUTES, SIGNED_IN
from openline.desk.app import FORM_BYTES_MAX
from openline.i18n import LANGUAGES
from openline.rights import ROLES, rights_of

from .scene import Scene

GET, POST = "GET", "POST"
WALK = {
    "board": (GET, "/"),
    "tiles": (GET, "/tiles"),
    "line": (GET, "/line/1"),
    "inbox": (GET, "/inbox"),
    "search": (GET, "/search"),
    "keys": (GET, "/keys"),
    "transcript": (GET, "/line/1/transcript"),
    "print": (GET, "/line/1/print"),
    "page_style": (GET, "/line/1/page.css"),
    "addresses": (GET, "/addresses"),
    "address": (GET, "/line/1/address"),
    "message": (GET, "/line/1/theirs/{serial}"),
    "files": (GET, "/line/1/theirs/{serial}/files"),
    "receipt": (POST, "/line/1/theirs/{serial}"),
    "drafts": (GET, "/drafts"),
    "write": (GET, "/line/1/write"),
    "draft": (GET, "/draft/{draft}"),
    "draft_act": (POST, "/draft/{draft}"),
    "edit": (GET, "/draft/{draft}/edit"),
    "autosave": (POST, "/draft/{draft}/autosave"),
    "drop": (GET, "/draft/{draft}/drop"),
    "check": (GET, "/draft/{draft}/check"),
    "release": (GET, "/draft/{draft}/release"),
    "passphrase": (GET, "/passphrase"),
    "passkeys": (GET, "/passkeys"),
    "people": (GET, "/people"),
    "person": (GET, "/people/duty"),
    "watch": (GET, "/watch"),
    "sign_in": (GET, "/sign-in"),
    "enter": (GET, "/enter"),
    "language": (POST, "/language"),
}
"""Route → how to ask for it; the event stream, signing out, passkeys and files have tests of their
own."""


def test_the_walk_misses_no_route() -> None:
    elsewhere = {"live", "sign_out", "passkey", "door_passkey", "file", "picture"}
    assert {*WALK} | elsewhere == {*ROUTES}


def test_who_is_not_signed_in_is_led_to_the_door(scene: Scene) -> None:
    with scene.browser() as browser:
        answer = browser.get("/")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert browser.get("/line/1").headers["location"] == "/sign-in"
        assert browser.post("/line/1/theirs/1.1", data={"kind": "opened"}).status_code == 303


@pytest.mark.parametrize("role", sorted(ROLES))
def test_every_route_is_open_to_those_whose_role_gives_its_right(scene: Scene, role: str) -> None:
    serial, draft = scene.say("for everybody"), scene.draft("to be walked over")
    with scene.browser(role) as browser:
        for name, (method, path) in WALK.items():
            may = ROUTES[name] in (ANYBODY, SIGNED_IN, *rights_of([role]))
            data = {"kind": "shown", "act": "comment", "text": "seen"} if method == POST else None
            answer = browser.request(method, path.format(serial=serial, draft=draft), data=data)
            assert (answer.status_code != 403) == may, (role, name, answer.status_code)
            assert answer.status_code in ((200, 303) if may else (403,)), (role, name)


def test_what_was_said_of_a_message_reaches_the_other_side(scene: Scene) -> None:
    serial = scene.say("Are you there?", precedence="FLASH", subject="Test")
    page = f"/line/1/theirs/{serial}"
    with scene.browser("duty") as browser:
        assert "data-flash" in browser.get("/").text
        assert scene.there(serial) == []
        browser.get("/line/1")
        until(lambda: scene.there(serial) == ["delivered"])
        for kind, more in (("opened", {}), ("shown", {}), ("holding", {"due": "+2h"})):
            assert browser.post(page, data={"kind": kind, **more}).status_code == 303
        until(lambda: {"opened", "shown", "holding"} <= {*scene.there(serial)})
        shown = browser.get(page).text
        assert 'value="declined"' in shown
        assert 'value="opened"' not in shown
        assert f'data-flash="1.{serial}"' not in browser.get("/").text


def test_text_of_the_other_side_is_shown_and_never_obeyed(scene: Scene) -> None:
    evil = '<script>alert(1)</script> <a href="https://evil.example">x</a> \u202egnp.exe\u202c'
    serial = scene.say(evil, subject="<b>bold</b>\u200b")
    with scene.browser("duty") as browser:
        for path in ("/line/1", f"/line/1/theirs/{serial}"):
            shown = browser.get(path).text
            assert "<script>alert" not in shown
            assert 'href="https:' not in shown
            assert "\u202e" not in shown
            assert "&lt;b&gt;bold&lt;/b&gt;⟨U+200B⟩" in shown


def test_a_page_tells_nobody_elsewhere_what_it_is_about(scene: Scene) -> None:
    serial = scene.say("secret matter", subject="of some delicacy")
    with scene.browser("duty") as browser:
        answer = browser.get(f"/line/1/theirs/{serial}")
        assert re.findall("<title>(.*)</title>", answer.text) == ["Openline"]
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert set(re.findall(r'(?:src|href)="(https?:)?//', answer.text)) == set()


def test_what_another_page_sends_is_refused(scene: Scene) -> None:
    serial = scene.say("not by others")
    with scene.browser("duty") as browser:
        page = f"/line/1/theirs/{serial}"
        elsewhere = {"Origin": "https://evil.example"}
        refused = browser.post(page, data={"kind": "opened"}, headers=elsewhere)
        assert refused.status_code == 403
        assert (
            browser.post(page, data={"kind": "opened"}, headers={"Origin": ""}).status_code == 403
        )
        assert scene.there(serial) == []


def test_bad_requests_are_answered_in_words_and_never_by_a_fault(scene: Scene) -> None:
    serial = scene.say("to be mistreated")
    page = f"/line/1/theirs/{serial}"
    with scene.browser("duty") as browser:
        assert browser.get("/line/99").status_code == 404
        assert browser.get("/line/1/theirs/99.zz").status_code == 404
        assert browser.get("/line/1/theirs/99.00000a").status_code == 404
        assert browser.get("/line/1/sideways/1.00000a").status_code == 400
        assert browser.get("/nowhere").status_code == 404
        assert browser.post(page, data={"kind": "dance"}).status_code == 403
        assert browser.post(page, data={"kind": "holding", "due": "later"}).status_code == 400
        assert browser.post(page, data={}).status_code == 403
        assert browser.post(page, content=b"\xff\xfe=\xff").status_code in (400, 403)
        assert browser.post(page, content=b"k=" + b"x" * FORM_BYTES_MAX).status_code == 400
        assert browser.get("/", headers={"Cookie": "openline=nobody"}).status_code == 303
        assert scene.there(serial) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_pages_speak_the_language_chosen_and_leave_no_key_unworded(
    scene: Scene, language: str
) -> None:
    serial = scene.say("Bonjour", language="fr", due_s=2_000_000_000)
    with scene.browser("duty") as browser:
        browser.post("/language", data={"language": language})
        more = ("/inbox", "/search", "/keys", "/line/1/transcript", "/line/1/print")
        doors = ("/sign-in", "/enter", "/nowhere")
        for path in ("/", "/line/1", f"/line/1/theirs/{serial}", *more, *doors):
            shown = browser.get(path).text
            assert f'<html lang="{language}" dir="ltr">' in shown
            assert re.findall(r">[^<]*\bdesk\.[a-z_.]+", shown) == []


def test_a_passphrase_opens_the_desk_and_a_wrong_one_does_not(scene: Scene) -> None:
    from openline.signins import COST, stretched

    salt, phrase = b"s" * 16, "a long enough passphrase"
    key = stretched(phrase, salt, COST)
    with scene.far.ask() as asking:
        link = asking.call("person_link", name="principal")["token"]
        cost = list(COST)
        asking.call("passphrase", salt=salt.hex(), cost=cost, key=key.hex(), link=link)
    with scene.browser() as browser:
        wrong = browser.post("/sign-in", data={"name": "principal", "passphrase": "wrong one"})
        assert wrong.status_code == 400
        assert "wrong one" not in wrong.text
        right = browser.post("/sign-in", data={"name": "principal", "passphrase": phrase})
        assert (right.status_code, right.headers["location"]) == (303, "/")
        assert browser.get("/").status_code == 200
        browser.post("/sign-out")
        assert browser.get("/").status_code == 303


def test_the_board_is_told_at_once_what_happens(scene: Scene) -> None:
    with scene.browser("duty") as browser, browser.stream(GET, "/live") as stream:
        lines = stream.iter_lines()
        while not next(lines).startswith("data:"):
            pass
        serial = scene.say("now", precedence="FLASH")
        assert any(serial in line for line in lines)


def test_the_desk_ends_at_once_though_a_board_is_open_and_comes_back(scene: Scene) -> None:
    listen = scene.origin.removeprefix("http://")
    with scene.browser("duty") as browser:
        with browser.stream(GET, "/live") as stream:
            next(stream.iter_lines())
            assert scene.end_desk() == 0
        scene.start_desk(listen)
        assert browser.get("/").status_code == 200


def test_a_post_that_is_away_is_told_as_such_and_found_again(scene: Scene) -> None:
    with scene.browser("duty") as browser:
        scene.far.kill()
        away = browser.get("/")
        assert away.status_code == 503
        assert " serve" in away.text
        scene.far.start()
        assert browser.get("/").status_code == 200


def test_a_post_without_people_gets_an_administrator_and_a_link_at_the_first_start(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path)
    try:
        scene.far.start()
        scene.start_desk("localhost:0")
        told = scene.said(2)
        link = re.findall(rf"{scene.origin}/enter#([0-9a-f]{{32}})", told)
        assert len(link) == 1, told
        with scene.browser() as browser:
            entered = browser.post("/enter", data={"link": link[0]})
            assert entered.headers["location"] == "/passkeys"
            assert "administrator" in browser.get("/").text
            assert browser.post("/enter", data={"link": link[0]}).status_code == 400
            # Nobody has a way in yet who could let others in: the next start helps again.
            scene.end_desk()
            scene.start_desk("localhost:0")
            assert re.search(rf"{scene.origin}/enter#[0-9a-f]{{32}}", scene.said(2))
    finally:
        scene.end()
