"""Reading on real pages over real posts, without JavaScript."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx2
import pytest
from babel import Locale

from bench.posts import LINE, until
from openline import clock, display, dtg
from openline.desk.reading import PRINTED_AT_ONCE, quoted
from openline.i18n import LANGUAGES, PSEUDO, direction
from openline.rights import ROLES
from openline.signins import stretched
from openline.store.keys import Cost

from .scene import Scene
from .test_pages import GET, WALK

SOON_S = clock.now().wall_s // 60 * 60 + 86_400
LATER_S = SOON_S + 3600

PHRASE = "the tide turns at four"
CHEAP = Cost(1024, 1, 1)


@pytest.fixture(scope="module", autouse=True)
def phrase(scene: Scene) -> None:
    """The releaser has a passphrase."""
    with scene.far.ask() as asking:
        salt = b"s" * 16
        key = stretched(PHRASE, salt, CHEAP).hex()
        link = asking.call("person_link", name="releaser")["token"]
        asking.call("passphrase", salt=salt.hex(), cost=list(CHEAP), key=key, link=link)


def release(scene: Scene, text: str, **said: str) -> str:
    """One of ours writes a text and releases it; its serial."""
    with scene.browser("releaser") as browser:
        form = {"precedence": "ROUTINE", "text": text, **said}
        page = browser.post("/line/1/write", data=form).headers["location"]
        browser.post(page, data={"act": "hand", "revision": "1"})
        shown = browser.get(f"{page}/release").text
        fields = dict(re.findall(r'name="(revision|hash)" value="([^"]+)"', shown))
        done = browser.post(f"{page}/release", data={**fields, "confirm": PHRASE})
        return done.headers["location"].rpartition("/")[2]


def answer(scene: Scene, serial: str, text: str) -> str:
    """We answer a text of theirs; the serial of the answer."""
    return release(scene, text, **{f"ref.theirs.{serial}": "on"})


def test_the_in_tray_has_what_waits_by_precedence_then_due_time_until_it_is_dealt_with(
    scene: Scene,
) -> None:
    texts: dict[str, dict[str, object]] = {
        "routine words": {},
        "flash later": {"precedence": "FLASH", "due_s": LATER_S},
        "flash sooner": {"precedence": "FLASH", "due_s": SOON_S},
        "immediate words": {"precedence": "IMMEDIATE"},
    }
    serials = {text: scene.say(text, **said) for text, said in texts.items()}
    with scene.browser("duty") as browser:
        shown = browser.get("/inbox").text
        order = sorted(serials, key=shown.index)
        assert order == ["flash sooner", "flash later", "immediate words", "routine words"]
        until(lambda: scene.there(serials["routine words"]) == ["delivered"])
        for text in ("routine words", "flash sooner"):
            browser.post(f"/line/1/theirs/{serials[text]}", data={"kind": "opened"})
        shown = browser.get("/inbox").text
        assert "routine words" not in shown
        assert "flash sooner" in shown, "it was opened and wants an answer still"
        answer(scene, serials["flash sooner"], "our answer")
        assert "flash sooner" not in browser.get("/inbox").text


def test_the_board_has_clocks_for_both_sides_and_drafts_that_wait(scene: Scene) -> None:
    serial = scene.say("answer this", due_s=SOON_S)
    release(scene, "and you this", due=dtg.group(LATER_S))
    draft = scene.draft("for release")
    with scene.browser("duty") as duty, scene.browser("drafter") as drafter:
        drafter.post(f"/draft/{draft}", data={"act": "hand", "revision": "1"})
        duty.post(f"/line/1/theirs/{serial}", data={"kind": "opened"})
        shown = " ".join(duty.get("/").text.split())
        left = r"</dt><dd><strong>[^<]+</strong> · <a [^>]+><bdi>"
        assert re.search(f">Answer by{left}{dtg.group(SOON_S)}", shown)
        assert re.search(f">They answer by{left}{dtg.group(LATER_S)}", shown)
        assert re.search(r"Waits for release</dt><dd>.*?1 ROUTINE", shown)
        drafter.post(f"/draft/{draft}", data={"act": "drop", "revision": "1"})
        answer(scene, serial, "answered")
        assert "Waits for release" not in duty.get("/").text


def test_a_message_shows_its_ladder_its_thread_and_who_of_ours_did_what(scene: Scene) -> None:
    serial = scene.say("What of the convoy?")
    page = f"/line/1/theirs/{serial}"
    with scene.browser("duty") as browser:
        browser.post(page, data={"kind": "opened"})
        browser.post(page, data={"kind": "holding", "due": "+2h"})
        shown = browser.get(page).text
        assert ('value="opened"' in shown, 'value="holding"' in shown) == (False, True)
        reply = answer(scene, serial, "The convoy passes.")
        shown = " ".join(re.sub("<[^>]+>", " ", browser.get(page).text).split())
        assert "Opened by a duty officer" in shown
        assert re.search(
            r"Holding reply.*? Answer by \d{6}Z[A-Z]{3}\d\d \d{6}Z\w+ · .*? duty", shown
        )
        assert re.search(r"Answered \d{6}Z[A-Z]{3}\d\d · \d\d:\d\d \S+ releaser", shown)
        assert f"/line/1/ours/{reply}" in browser.get(page).text
        shown = " ".join(re.sub("<[^>]+>", " ", browser.get(f"/line/1/ours/{reply}").text).split())
        assert "What of the convoy?" in shown, "the thread"
        assert re.search(r"Released \S+ · \S+ \S+ releaser", shown)
        assert "their post; it names nobody" not in shown, "nobody there has done anything yet"


def test_who_may_only_show_the_principal_may_do_just_that(scene: Scene) -> None:
    serial = scene.say("for the principal")
    page = f"/line/1/theirs/{serial}"
    with scene.browser("principal") as browser:
        shown = browser.get(page).text
        assert 'value="shown"' in shown
        assert 'value="opened"' not in shown
        assert browser.post(page, data={"kind": "opened"}).status_code == 403
        assert browser.post(page, data={"kind": "shown"}).status_code == 303
        until(lambda: scene.there(serial) == ["shown"])
    with scene.browser("drafter") as browser:
        assert 'name="kind"' not in browser.get(page).text
        assert browser.post(page, data={"kind": "shown"}).status_code == 403


def test_the_transcript_is_read_page_by_page_in_its_order_and_sifted(scene: Scene) -> None:
    said = [f"entry number {number:03}" for number in range(120)]
    with scene.near.ask() as asking:
        for text in said:
            precedence = "PRIORITY" if text.endswith("7") else "ROUTINE"
            asking.call("send", line=LINE, text=text, precedence=precedence)
    with scene.browser("principal") as browser:
        until(lambda: said[-1] in browser.get("/line/1/transcript?at=latest").text)
        assert said[0] not in browser.get("/line/1").text
        assert said[-1] in browser.get("/line/1").text
        read, page = "", "/line/1/transcript?side=theirs"
        while page:
            shown = browser.get(page).text
            read += shown
            more = re.findall(r'href="([^"]+)" rel="next"', shown)
            page = more[0].replace("&amp;", "&") if more else ""
        assert re.findall(r"entry number \d{3}", read) == said
        sifted = browser.get("/line/1/transcript?side=theirs&precedence=PRIORITY").text
        assert re.findall(r"entry number \d{3}", sifted) == [t for t in said if t.endswith("7")]
        assert "entry number" not in browser.get("/line/1/transcript?side=ours").text
        assert "entry number" not in browser.get("/line/1/transcript?until=010000ZJAN26").text
        printed = browser.get("/line/1/print").text
        assert len(said) > PRINTED_AT_ONCE
        assert re.findall(r"entry number \d{3}", printed) == said
        assert "End of the record" in printed


def test_a_search_finds_words_and_leaves_no_trace_of_them_in_an_address(scene: Scene) -> None:
    serial = scene.say("Der Konvoi steht an der STRASSE nach Süden", language="de")
    with scene.browser("duty") as browser:
        found = browser.post("/search", data={"words": "straße süden"})
        assert found.status_code == 200
        assert f"/line/1/theirs/{serial}" in found.text
        assert re.findall(r'(?:href|action)="[^"]*(?:stra|s%C3)', found.text) == []
        assert "Nothing was said" in browser.post("/search", data={"words": "stras"}).text
        narrowed = {"words": "konvoi", "line": LINE, "side": "ours"}
        assert serial not in browser.post("/search", data=narrowed).text
        assert browser.post("/search", data={"words": "x" * 300}).status_code == 400
        assert browser.post("/search", data={"words": "x", "line": "nowhere"}).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/line/1/transcript?at=x",
        "/line/1/transcript?at=1.2",
        "/line/1/transcript?side=up",
        "/line/1/transcript?precedence=URGENT",
        "/line/1/transcript?from=whenever",
        "/line/1/print?at=-1.0.0",
        "/line/99/transcript",
        "/line/99/print",
        "/line/99/page.css",
        "/line/1/theirs/²²²¹.x",
    ],
)
def test_an_address_that_says_nonsense_is_answered_in_words(scene: Scene, path: str) -> None:
    with scene.browser("duty") as browser:
        assert browser.get(path).status_code in (400, 404)
        assert browser.post("/search", data={"words": "x", "at": "1.x.2"}).status_code == 400


def test_a_print_has_the_line_and_the_page_number_on_every_sheet(scene: Scene) -> None:
    with scene.browser("duty") as browser:
        style = browser.get("/line/1/page.css")
        assert style.headers["content-type"].startswith("text/css")
        assert 'content: "Openline \\b7  other"' in style.text
        assert 'counter(page) " / " counter(pages)' in style.text
        serial = scene.say("on paper")
        for page in ("/line/1/print", f"/line/1/theirs/{serial}"):
            assert '<link rel="stylesheet" href="/line/1/page.css" media="print">' in (
                browser.get(page).text
            )


@pytest.mark.parametrize("label", ["other", 'a" } * { color: red', "\\", "\u202eМосква", "a\nb"])
def test_no_name_of_a_line_gets_out_of_the_style_of_its_pages(label: str) -> None:
    kept = quoted(label)
    assert re.fullmatch(r"(?:[A-Za-z0-9]|\\[0-9a-f]+ )*", kept)
    read = re.sub(r"\\([0-9a-f]+) ", lambda found: chr(int(found[1], 16)), kept)
    assert read == display.safe(label)


def test_an_administrator_sets_what_those_who_write_are_shown(scene: Scene) -> None:
    with scene.browser("administrator") as browser, scene.browser("drafter") as drafter:
        assert '"/line/1/address"' in browser.get("/addresses").text
        assert "Forms of address" not in drafter.get("/line/1/write").text
        said = "The Chairman; <b>never</b>\r\nby name"
        assert browser.post("/line/1/address", data={"text": said}).status_code == 303
        assert (
            "The Chairman; &lt;b&gt;never&lt;/b&gt;\nby name" in drafter.get("/line/1/write").text
        )
        assert "The Chairman" in browser.get("/line/1/address").text
        assert browser.post("/line/1/address", data={"text": "x" * 5000}).status_code == 400
        browser.post("/line/1/address", data={"text": ""})
        assert "Forms of address" not in drafter.get("/line/1/write").text


class _Words(HTMLParser):
    """Gathers the words of a page that are ours: neither data nor in a language of their own."""

    SKIPPED = ("bdi", "time", "kbd", "style", "script", "title", "option", "textarea")
    VOID = ("meta", "link", "input", "br")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._open: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        for name in ("aria-label", "title"):
            self.found += re.findall("[A-Za-z]{2,}", given.get(name) or "")
        if tag not in self.VOID:
            own = tag != "html" and ("lang" in given or "dir" in given or tag in self.SKIPPED)
            self._open.append(own)

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if not any(self._open):
            self.found += re.findall("[A-Za-z]{2,}", data)


CODES = {"FLASH", "IMMEDIATE", "PRIORITY", "ROUTINE"}
"""Words of the trade, the same in every language."""
NAMES = {LINE, "everybody", *ROLES}
"""Of lines and of people, who are named by their roles here; and roles, which are codes."""

PARTS = ("tiles", "files", "page_style")
"""Routes that answer with no page of their own."""


def unworded(browser: httpx2.Client, path: str) -> set[str]:
    """Words on a page in the pseudo-locale that never went through a catalogue."""
    shown = browser.get(path).text
    assert f'<html lang="{PSEUDO}" dir="rtl">' in shown, path
    words = _Words()
    words.feed(shown)
    return {*words.found} - CODES - NAMES


def test_every_page_runs_from_right_to_left_and_has_no_word_untranslated(scene: Scene) -> None:
    with scene.far.ask() as asking:
        asking.call("person_add", name="everybody", roles=sorted(ROLES))
    serial = scene.say("Text", subject="Subject", due_s=SOON_S)
    answer(scene, serial, "Answer")
    draft = scene.draft("as it was")
    changed = {"text": "as it is", "due": "+2h", "action": "watch", f"ref.theirs.{serial}": "on"}
    with scene.browser("drafter") as browser:
        form = {"precedence": "FLASH", "revision": "1", **changed}
        browser.post(f"/draft/{draft}/edit", data=form)
        browser.post(f"/draft/{draft}", data={"act": "comment", "text": "Is it?"})
        browser.post(f"/draft/{draft}", data={"act": "hand", "revision": "2"})
    asked = [path for name, (method, path) in WALK.items() if method == GET and name not in PARTS]
    with scene.browser("everybody") as browser:
        browser.post("/language", data={"language": PSEUDO})
        paths = [path.format(serial=serial, draft=draft) for path in (*asked, "/nowhere")]
        left = {path: unworded(browser, path) for path in paths}
    assert {path: words for path, words in left.items() if words} == {}


def test_directions_are_those_that_unicode_knows() -> None:
    for language in (*LANGUAGES, "ar", "he", "fa", "ur", "de", "zh", "yi", "ps", "sd", "ug", "el"):
        text_direction: str = Locale.parse(language).text_direction
        assert direction(language) == text_direction, language
    assert direction(PSEUDO) == "rtl"
