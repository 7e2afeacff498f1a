"""People at the desk: added, given roles and links, signed out; the end of a shift."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2
import pytest

from tests.authenticator import Device

from .scene import Scene
from .test_passkeys import asked, enrol

PHRASE = "twelve characters or more"


@pytest.fixture(scope="module")
def device(scene: Scene) -> Device:
    """A device with a passkey of the administrator."""
    made = Device(scene.origin)
    with scene.browser("administrator") as browser:
        assert enrol(browser, made).status_code == 303
    return made


@pytest.fixture
def keeper(scene: Scene, device: Device) -> Iterator[httpx2.Client]:
    """The administrator, signed in by passkey."""
    with scene.browser() as browser:
        answer = device.get(asked(browser, "sign_in"))
        assert browser.post("/sign-in", data={"answer": answer}).status_code == 303
        yield browser


def confirmed(keeper: httpx2.Client, device: Device, path: str, **form: str) -> httpx2.Response:
    """Send a form with what the device signed for it."""
    answer = device.get(asked(keeper, "act", **form))
    return keeper.post(path, data={**form, "answer": answer})


def test_a_person_is_added_enters_by_the_link_and_gets_other_roles(
    scene: Scene, keeper: httpx2.Client, device: Device
) -> None:
    add = {"act": "person_add", "name": "night-watch", "role.duty": "on"}
    assert keeper.post("/people", data=add).status_code == 400
    added = confirmed(keeper, device, "/people", **add)
    assert added.headers["location"] == "/people/night-watch"
    page = "/people/night-watch"
    made = confirmed(keeper, device, page, act="person_link", name="night-watch")
    (link,) = re.findall(rf"{scene.origin}/enter#([0-9a-f]{{32}})", made.text)
    with scene.browser() as browser:
        assert browser.post("/enter", data={"link": link}).status_code == 303
        assert browser.get("/drafts").status_code == 403
        roles = {"act": "person_change", "name": "night-watch", "role.drafter": "on"}
        assert confirmed(keeper, device, page, **roles).status_code == 303
        assert browser.get("/drafts").status_code == 200
        assert keeper.post(page, data={"act": "sign_out"}).status_code == 303
        assert browser.get("/drafts").headers["location"] == "/sign-in"


def test_a_touch_for_one_person_is_none_for_another(keeper: httpx2.Client, device: Device) -> None:
    form = {"act": "person_link", "name": "duty"}
    answer = device.get(asked(keeper, "act", **form))
    other = keeper.post("/people/releaser", data={**form, "name": "releaser", "answer": answer})
    assert other.status_code == 400
    more = {"act": "person_add", "name": "friend", "role.releaser": "on"}
    answer = device.get(asked(keeper, "act", **{**more, "role.auditor": "on"}))
    assert keeper.post("/people", data={**more, "answer": answer}).status_code == 400
    assert keeper.get("/people/friend").status_code == 404


def test_without_javascript_the_passphrase_confirms(
    scene: Scene, keeper: httpx2.Client, device: Device
) -> None:
    said = {"act": "passphrase", "passphrase": PHRASE, "again": PHRASE}
    assert keeper.post("/passphrase", data=said).status_code == 400
    assert confirmed(keeper, device, "/passphrase", **said).headers["location"] == "/"
    with scene.browser() as browser:
        door = {"name": "administrator", "passphrase": PHRASE}
        assert browser.post("/sign-in", data=door).headers["location"] == "/"
        add = {"act": "person_add", "name": "day-watch", "role.duty": "on", "confirm": PHRASE}
        assert browser.post("/people", data={**add, "confirm": "wrong one"}).status_code == 400
        assert browser.post("/people", data=add).status_code == 303


def test_a_lost_passkey_is_taken_away_by_the_administrator(
    scene: Scene, keeper: httpx2.Client
) -> None:
    lost = Device(scene.origin)
    with scene.browser("translator") as browser:
        assert enrol(browser, lost).status_code == 303
        page = "/people/translator"
        (which,) = re.findall(r'name="passkey" value="([0-9a-f]{8})"', keeper.get(page).text)
        taken = keeper.post(page, data={"act": "passkey_remove", "passkey": which})
        assert taken.status_code == 303
        assert browser.get("/").headers["location"] == "/sign-in"
        gone = browser.post("/sign-in", data={"answer": lost.get(asked(browser, "sign_in"))})
        assert gone.status_code == 400


def test_bad_forms_about_people_are_answered_in_words(keeper: httpx2.Client) -> None:
    assert keeper.get("/people/nobody").status_code == 404
    for act in ("", "dance", "person_link", "passkey_remove", "person_change"):
        assert keeper.post("/people/duty", data={"act": act}).status_code in (400, 404), act
    assert keeper.post("/people", data={}).status_code == 400


def test_at_shift_change_everybody_is_signed_out_by_one_press(
    scene: Scene, keeper: httpx2.Client
) -> None:
    with scene.browser("duty") as duty, scene.browser("drafter") as drafter:
        shown = duty.get("/watch").text
        assert "drafter" in shown
        assert "administrator" in shown
        assert duty.post("/watch").headers["location"] == "/sign-in"
        for browser in (duty, drafter, keeper):
            assert browser.get("/").headers["location"] == "/sign-in"
