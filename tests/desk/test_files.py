"""Files at the desk: laid in by a form, handed out as bytes, pictures only as drawn anew."""

from __future__ import annotations

import asyncio
import io
import re
from base64 import b64encode
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from playwright.sync_api import Browser, Route, expect
from starlette.requests import Request

from bench.posts import until
from openline.attached import PORTION_BYTES
from openline.desk import picture
from openline.desk.app import FORM_BYTES_MAX
from openline.desk.filing import SANDBOX, offered
from openline.desk.uploading import FORMS_MAX, Uploading
from openline.errors import LocalError
from openline.rights import ROLES, rights_of

from .browser import open_link, window
from .scene import Scene

TRAP = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


def png(size: tuple[int, int] = (60, 40)) -> bytes:
    """A picture with a text hidden in it."""
    from PIL.PngImagePlugin import PngInfo

    told, made = PngInfo(), io.BytesIO()
    told.add_text("Comment", "hidden")
    Image.new("RGB", size, "red").save(made, "PNG", pnginfo=told)
    return made.getvalue()


def sent(scene: Scene, text: str, **files: bytes) -> str:
    """The other side sends a text with files; its serial, once all of them are here."""
    named = []
    with scene.near.ask() as asking:
        for name, data in files.items():
            file = asking.call("file_begin", name=name.replace("_", "."), bytes=len(data))["file"]
            for at in range(0, len(data), PORTION_BYTES):
                portion = b64encode(data[at : at + PORTION_BYTES]).decode()
                asking.call("file_portion", file=file, at=at, data=portion)
            digest = sha256(data).hexdigest()
            named.append(
                {"file": file, "name": name.replace("_", "."), "bytes": len(data), "sha256": digest}
            )
    serial = scene.say(text, files=named)
    with scene.browser("duty") as browser:
        page = f"/line/1/theirs/{serial}/files"
        until(lambda: browser.get(page).text.count("/file/") == len(files))
    return serial


def keeping(shown: str) -> dict[str, str]:
    """The fields of a form that keep its files, as a browser sends them."""
    return {
        name: unescape(said)
        for name, said in re.findall(r'name="(keep\.\w+)" value="([^"]+)" checked', shown)
    }


def test_a_form_without_javascript_lays_files_in_and_a_release_sends_them(scene: Scene) -> None:
    data = bytes(range(256)) * 400
    fields = {"precedence": "ROUTINE", "text": "With a map."}
    files = [("attach", ("../the map.png", png())), ("attach", ("list.bin", data))]
    with scene.browser("drafter") as browser:
        made = browser.post("/line/1/write", data=fields, files=files)
        place = made.headers["location"]
        shown = browser.get(place).text
        assert "the map.png" in shown
        assert sha256(data).hexdigest() in shown
        form = browser.get(f"{place}/edit").text
        kept = keeping(form)
        assert len(kept) == 2
        more = {**fields, "revision": "1", **dict([kept.popitem()])}
        assert (
            browser.post(f"{place}/edit", data=more, files={"attach": ("", b"")}).status_code == 303
        )
        shown = browser.get(place).text
        assert "list.bin" in shown
        assert browser.post(place, data={"act": "hand", "revision": "2"}).status_code == 303
    with scene.browser("releaser") as browser:
        assert "list.bin" in browser.get(f"{place}/check").text


def test_a_file_is_handed_out_as_bytes_to_be_saved_and_to_nobody_else(scene: Scene) -> None:
    serial = sent(scene, "A trap.", trap_svg=TRAP * 3000)
    page = f"/line/1/theirs/{serial}"
    for role in ROLES:
        with scene.browser(role) as browser:
            answer = browser.get(f"{page}/file/1")
            assert (answer.status_code == 200) == ("read" in rights_of([role]))
    with scene.browser("duty") as browser:
        answer = browser.get(f"{page}/file/1")
        assert answer.content == TRAP * 3000
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["content-security-policy"] == SANDBOX
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert browser.get(f"{page}/picture/1").status_code == 400
        assert browser.get(f"{page}/file/2").status_code == 400
        assert browser.get(f"{page}/file/0").status_code == 400
        shown = browser.get(page).text
        assert "trap.svg" in shown
        assert "<img" not in shown, "its name is that of no picture we draw"


def test_a_picture_is_shown_only_as_drawn_anew(scene: Scene) -> None:
    serial = sent(scene, "A picture.", view_png=png((3000, 1000)), false_png=TRAP)
    page = f"/line/1/theirs/{serial}"
    with scene.browser("duty") as browser:
        assert f'src="{page}/picture/1"' in browser.get(page).text
        answer = browser.get(f"{page}/picture/1")
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["content-security-policy"] == SANDBOX
        assert b"hidden" not in answer.content
        with Image.open(io.BytesIO(answer.content)) as drawn:
            assert (drawn.format, drawn.size) == ("PNG", (2000, 667))
        assert browser.get(f"{page}/picture/2").status_code == 400
    with scene.browser("administrator") as browser:
        assert browser.get(f"{page}/picture/1").status_code == 403


def test_a_transcript_and_its_print_name_each_file_with_its_hash(scene: Scene) -> None:
    data = png()
    sent(scene, "For the record.", map_png=data, list_bin=b"list")
    with scene.browser("duty") as browser:
        for page in ("transcript", "print"):
            shown = browser.get(f"/line/1/{page}").text
            first = f"File 1: map.png, {len(data)} bytes, SHA-256 {sha256(data).hexdigest()}"
            assert first in shown
            assert f"File 2: list.bin, 4 bytes, SHA-256 {sha256(b'list').hexdigest()}" in shown


def test_bombs_and_strange_formats_are_no_pictures() -> None:
    bomb, eps = io.BytesIO(), io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(bomb, "PNG")
    Image.new("RGB", (9, 9)).save(eps, "EPS")
    for data in (bomb.getvalue(), eps.getvalue(), TRAP, b"", png()[:-30]):
        with pytest.raises(LocalError, match=r"desk.no_picture"):
            asyncio.run(picture.drawn(data))
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"):
        made = io.BytesIO()
        Image.new("RGB", (20, 10), "blue").save(made, kind)
        assert asyncio.run(picture.drawn(made.getvalue())).startswith(b"\x89PNG")


def test_a_name_is_offered_without_anything_unusual_in_it() -> None:
    assert offered("карта 1.png") == "карта 1.png"
    assert offered("..\u202egnp.exe\r\n\"';<x>") == "_gnp.exe______x_"
    assert offered("...") == "file"


def test_a_form_that_is_refused_keeps_its_files(scene: Scene) -> None:
    fields = {"precedence": "ROUTINE", "text": "With maps."}
    names = ["one.map", "two & 'three'.map"]
    with scene.browser("drafter") as browser:
        files = [("attach", (name, name.encode())) for name in names]
        place = browser.post("/line/1/write", data=fields, files=files).headers["location"]
        bad = {**fields, "due": "soonish", **keeping(browser.get(f"{place}/edit").text)}
        bad["revision"] = "1"
        refused = browser.post(f"{place}/edit", data=bad, files={"attach": ("new.map", b"new")})
        assert refused.status_code == 400
        kept = keeping(refused.text)
        assert [said.split(" ", 2)[2] for said in kept.values()] == [*names, "new.map"]
        good = {**fields, "revision": "1", **kept}
        saved = browser.post(f"{place}/edit", data=good, files={"attach": ("", b"")})
        assert saved.headers["location"] == place
        assert len(keeping(browser.get(f"{place}/edit").text)) == 3
        # What is kept is compared with what the post holds.
        false = {**good, "revision": "2", **{name: f"9{said}" for name, said in kept.items()}}
        assert browser.post(f"{place}/edit", data=false).status_code == 400


def test_a_file_that_is_refused_leaves_the_text_and_the_other_files(scene: Scene) -> None:
    fields = {"precedence": "FLASH", "text": "Typed for an hour.", "subject": "Kept"}
    good = ("attach", ("good.map", b"good"))
    wrong = {
        "The file void.map is empty.": ("void.map", b""),
        "A file may have 1 to": ("long.map", bytes((16 << 20) + 1)),
        "A file needs a name": ("\x1b", b"x"),
    }
    with scene.browser("drafter") as browser:
        for told, bad in wrong.items():
            files = [good, ("attach", bad)]
            refused = browser.post("/line/1/write", data=fields, files=files)
            assert refused.status_code == 400
            assert told in refused.text
            for typed in ("Typed for an hour.", 'value="Kept"', 'value="FLASH" checked'):
                assert typed in refused.text
            kept = keeping(refused.text)
            assert [said.rpartition(" ")[2] for said in kept.values()] == ["good.map"]
        saved = browser.post("/line/1/write", data={**fields, **kept})
        assert "good.map" in browser.get(saved.headers["location"]).text


BOUNDARY = "b"
TYPED = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="text"\r\n\r\nAt once.\r\n'
BEGUN = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="attach"; filename="x"\r\n\r\nx'
UNUSED = (
    f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="attach"; filename=""\r\n\r\n\r\n'
    f"--{BOUNDARY}--\r\n"
)


class Sender:
    """A browser that sends so much of a form, and then no more until it is let go."""

    def __init__(self, *parts: str) -> None:
        self._parts = [part.encode() for part in parts]
        self.waits, self.gone = asyncio.Event(), asyncio.Event()
        kind = f"multipart/form-data; boundary={BOUNDARY}".encode()
        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", kind)]}
        self.request = Request(scope, self._receive)

    async def _receive(self) -> dict[str, Any]:
        if not self._parts:
            self.waits.set()
            await self.gone.wait()
            return {"type": "http.disconnect"}
        part = self._parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": not part.endswith(b"--\r\n")}


async def _nobody(*_said: object, **_more: object) -> Any:
    raise AssertionError("the post is not asked")


def test_files_that_stall_keep_no_text_waiting() -> None:
    async def run() -> None:
        uploading = Uploading(_nobody, FORM_BYTES_MAX)
        stalled = [Sender(TYPED, BEGUN) for _ in range(FORMS_MAX + 1)]
        reading = [asyncio.create_task(uploading.form(each.request, "")) for each in stalled]
        for each in stalled[:FORMS_MAX]:
            await each.waits.wait()
        form = await uploading.form(Sender(TYPED, UNUSED).request, "")
        assert (form.fields["text"], form.files, form.wrong) == ("At once.", [], None)
        assert not stalled[-1].waits.is_set(), "one with a file waits for its place"
        stalled[0].gone.set()
        await stalled[-1].waits.wait()
        for each in stalled:
            each.gone.set()
        await asyncio.gather(*reading)

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_form_that_stalls_gives_its_place_up_and_what_was_typed_back() -> None:
    async def run() -> None:
        uploading = Uploading(_nobody, FORM_BYTES_MAX, patience_s=0.01)
        stalled = [Sender(TYPED, BEGUN) for _ in range(2 * FORMS_MAX)]
        forms = await asyncio.gather(*(uploading.form(each.request, "") for each in stalled))
        for form in forms:
            assert form.fields == {"text": "At once."}
            assert form.wrong is not None
            assert form.wrong.code == "attachment.stalled"
        form = await uploading.form(Sender(TYPED).request, "")
        assert form.wrong is not None
        assert form.wrong.code == "desk.form"

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_file_without_a_name_is_bounded_as_a_field() -> None:
    async def run() -> None:
        uploading = Uploading(_nobody, FORM_BYTES_MAX)
        nameless = UNUSED.replace('""\r\n\r\n', '""\r\n\r\n' + "x" * FORM_BYTES_MAX)
        form = await uploading.form(Sender(TYPED, nameless).request, "")
        assert form.fields == {"text": "At once."}
        assert form.wrong is not None
        assert form.wrong.code == "desk.form"

    asyncio.run(asyncio.wait_for(run(), 20))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n"),
        ("multipart/form-data; boundary=b", b'--b\r\ncontent-disposition: form-data; name="text"'),
        ("multipart/form-data; boundary=b", b"--b\r\nx: " + b"y" * 400_000),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\n\xff\r\n--b--\r\n',
        ),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\ncontent-disposition: form-data; name="a"\r\n\r\nx\r\n' * 80 + b"--b--\r\n",
        ),
    ],
)
def test_a_form_that_is_none_is_refused_in_words(scene: Scene, kind: str, body: bytes) -> None:
    with scene.browser("drafter") as browser:
        answer = browser.post("/line/1/write", content=body, headers={"Content-Type": kind})
        assert answer.status_code == 400


def test_files_beyond_the_bounds_are_refused_while_they_stream(scene: Scene) -> None:
    fields = {"precedence": "ROUTINE", "text": "Too much."}
    with scene.browser("drafter") as browser:
        for files in (
            [("attach", ("long", bytes((16 << 20) + 1)))],
            [("attach", (f"{n}", b"x")) for n in range(9)],
            [("attach", ("\x1b", b"x"))],
        ):
            assert browser.post("/line/1/write", data=fields, files=files).status_code == 400
        assert "Too much." not in browser.get("/drafts").text


def test_a_real_browser_attaches_watches_and_shows(
    scene: Scene, chromium: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "the view.png"
    path.write_bytes(png())
    with window(chromium, scene.origin) as page:
        open_link(page, scene.link("drafter"))
        page.goto("/line/1/write")
        page.get_by_label("Text", exact=True).fill("See the view.")
        page.get_by_label("Add files").set_input_files(path)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("the view.png")).to_be_visible()
        serial = sent(scene, "Theirs.", view_png=png(), other_bin=bytes(300_000))
        page.goto(f"/line/1/theirs/{serial}")
        shown = page.get_by_role("img", name="view.png, redrawn")
        expect(shown).to_be_visible()
        assert shown.evaluate("each => each.naturalWidth") == 60
        with page.expect_download() as saved:
            page.get_by_role("link", name="Save").nth(1).click()
        saved.value.save_as(tmp_path / "saved")
        assert (tmp_path / "saved").read_bytes() == bytes(300_000)


def test_a_page_follows_its_files_until_they_are_here_and_holds_no_stream(
    scene: Scene, chromium: Browser
) -> None:
    serial = sent(scene, "Followed.", map_png=png())
    place, asked = f"/line/1/theirs/{serial}", list[str]()

    def still_coming(route: Route) -> None:
        answer = route.fetch()
        files = '<ul class="files">'
        body = answer.text().replace(files, f"{files}<li><progress></progress></li>")
        route.fulfill(response=answer, body=body)

    with window(chromium, scene.origin) as page:
        open_link(page, scene.link("duty"))
        page.on("request", lambda request: asked.append(urlsplit(request.url).path))
        page.route(f"**{place}", still_coming)
        page.goto(place)
        expect(page.locator("#files progress")).to_have_count(0)
    assert asked.count(f"{place}/files") == 1
    assert "/live" not in asked
