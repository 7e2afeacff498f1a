"""Passkeys over the pages of a real desk, with a device of our own and no JavaScript."""

from __future__ import annotations

import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from tests.authenticator import Device

from .scene import Scene
from .test_writing import fields, received


def asked(browser: httpx2.Client, what: str, **form: str) -> dict[str, Any]:
    """What a device is asked to do, as the script of a page gets it."""
    where = "/sign-in/passkey" if what == "sign_in" else "/passkey"
    answer = browser.post(where, data={**form, "what": what})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def enrol(browser: httpx2.Client, device: Device, **more: str) -> httpx2.Response:
    made = device.create(asked(browser, "passkey_add"))
    form = {"act": "passkey_add", "made": made, "label": "the blue one", **more}
    return browser.post("/passkeys", data=form)


def handed(scene: Scene, text: str) -> str:
    """The id of a draft that waits for its release."""
    draft = scene.draft(text)
    with scene.browser("drafter") as drafter:
        drafter.post(f"/draft/{draft}", data={"act": "hand", "revision": "1"})
    return draft


def touched(browser: httpx2.Client, device: Device, draft: str) -> dict[str, str]:
    """What the form of release holds once the device was touched."""
    form = {**fields(browser, draft), "draft": draft, "act": "draft_release"}
    return {**form, "answer": device.get(asked(browser, "act", **form))}


@pytest.fixture(scope="module")
def device(scene: Scene) -> Device:
    """A device with a passkey of the releaser."""
    made = Device(scene.origin)
    with scene.browser("releaser") as browser:
        assert enrol(browser, made).status_code == 303
    return made


def test_a_passkey_made_after_a_link_signs_in_without_a_name(scene: Scene, device: Device) -> None:
    with scene.browser() as browser:
        browser.cookies.set("openline", "one that has ended")
        answer = device.get(asked(browser, "sign_in"))
        assert browser.post("/sign-in", data={"answer": answer}).headers["location"] == "/"
        assert "the blue one" in browser.get("/passkeys").text
        again = browser.post("/sign-in", data={"answer": answer})
        assert again.status_code == 400
        assert "Press the button once more" in again.text


def test_a_second_passkey_is_confirmed_by_the_first(scene: Scene, device: Device) -> None:
    other = Device(scene.origin)
    with scene.browser() as browser:
        browser.post("/sign-in", data={"answer": device.get(asked(browser, "sign_in"))})
        assert enrol(browser, other).status_code == 400
        asked_first = asked(browser, "act", act="passkey_add")
        assert enrol(browser, other, answer=device.get(asked_first)).status_code == 303
        shown = browser.get("/passkeys").text
        which = re.findall(r'name="passkey" value="([0-9a-f]{8})"', shown)
        assert len(which) == 2
        form = {"act": "passkey_remove_own", "passkey": which[1]}
        assert browser.post("/passkeys", data=form).status_code == 303
        assert browser.get("/").headers["location"] == "/sign-in"
    with scene.browser() as browser:
        gone = browser.post("/sign-in", data={"answer": other.get(asked(browser, "sign_in"))})
        assert gone.status_code == 400


def test_a_touch_releases_that_draft_and_nothing_does_without(scene: Scene, device: Device) -> None:
    draft, other = handed(scene, "by touch"), handed(scene, "not meant")
    with scene.browser("releaser") as browser:
        bare = fields(browser, draft)
        assert browser.post(f"/draft/{draft}/release", data=bare).status_code == 400
        form = touched(browser, device, draft)
        elsewhere = browser.post(
            f"/draft/{other}/release", data={**fields(browser, other), "answer": form["answer"]}
        )
        assert elsewhere.status_code == 400
        assert browser.post(f"/draft/{draft}/release", data=form).status_code == 400
        form = touched(browser, device, draft)
        done = browser.post(f"/draft/{draft}/release", data=form)
        assert done.status_code == 303
        assert "by touch" in browser.get(done.headers["location"]).text
        assert "not meant" not in received(scene)
        again = browser.post(f"/draft/{draft}/release", data=form)
        assert again.headers["location"] == done.headers["location"]


def test_two_releasers_and_every_click_make_one_message(scene: Scene, device: Device) -> None:
    draft = handed(scene, "once only")
    with scene.far.ask() as asking:
        asking.call("person_add", name="second-releaser", roles=["releaser"])
    second = Device(scene.origin)
    with scene.browser("releaser") as one, scene.browser("second-releaser") as other:
        assert enrol(other, second).status_code == 303
        forms = [touched(one, device, draft)] * 3 + [touched(other, second, draft)] * 3
        browsers = [one] * 3 + [other] * 3
        ready = threading.Barrier(len(forms))

        def click(at: int) -> httpx2.Response:
            ready.wait(30)
            return browsers[at].post(f"/draft/{draft}/release", data=forms[at])

        with ThreadPoolExecutor(len(forms)) as pool:
            answers = [*pool.map(click, range(len(forms)))]
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert received(scene).count("once only") == 1


def test_who_loses_the_connection_while_releasing_finds_the_message_there(
    scene: Scene, device: Device
) -> None:
    draft = handed(scene, "cut off")
    with scene.browser("releaser") as browser:
        form = touched(browser, device, draft)
        request = browser.build_request("POST", f"/draft/{draft}/release", data=form)
        lines = [f"POST {request.url.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.headers.items()]
        with socket.create_connection((request.url.host, request.url.port)) as hasty:
            hasty.sendall("\r\n".join([*lines, "", ""]).encode() + request.read())
        done = browser.post(f"/draft/{draft}/release", data=form)
        assert done.status_code == 303
        assert "cut off" in browser.get(done.headers["location"]).text
    assert received(scene).count("cut off") == 1


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"what": "dance"},
        {"what": "act"},
        {"what": "act", "act": "stop"},
        {"what": "act", "act": "draft_release", "revision": "x"},
        {"what": "act", "act": "draft_release", "revision": "1"},
    ],
)
def test_a_device_is_asked_for_nothing_unheard_of(scene: Scene, form: dict[str, str]) -> None:
    with scene.browser("duty") as browser:
        assert browser.post("/passkey", data=form).status_code == 400
    with scene.browser() as browser:
        assert browser.post("/passkey", data=form).headers["location"] == "/sign-in"
        said = {**form, "what": "passkey_add"}
        assert browser.post("/sign-in/passkey", data=said).status_code in (400, 403)


@pytest.mark.parametrize("answer", ["{", "[]", json.dumps({"rawId": "AA"}), "x" * 100_000])
def test_nonsense_for_an_answer_is_told_in_words(scene: Scene, answer: str) -> None:
    with scene.browser() as browser:
        assert browser.post("/sign-in", data={"answer": answer}).status_code == 400
    with scene.browser("duty") as browser:
        form = {"act": "passkey_add", "made": answer, "label": "x"}
        assert browser.post("/passkeys", data=form).status_code == 400
        assert browser.post("/passkeys", data={"act": "dance"}).status_code == 400
