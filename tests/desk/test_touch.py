"""Passkeys in a real browser, with the authenticator that Chromium has for tests."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, CDPSession, Page, expect

from openline.i18n import catalogue

from .browser import open_link, window
from .scene import Scene
from .test_passkeys import handed
from .test_writing import PHRASE, received

t = catalogue("en").text
DEVICE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def plugged_in(page: Page) -> tuple[CDPSession, str]:
    """A device in this browser, and how to reach it."""
    wire = page.context.new_cdp_session(page)
    wire.send("WebAuthn.enable")
    made = wire.send("WebAuthn.addVirtualAuthenticator", {"options": DEVICE})
    return wire, made["authenticatorId"]


def press(page: Page, key: str, **values: str) -> None:
    """The button with these words."""
    page.get_by_role("button", name=t(key, **values), exact=True).click()


def test_from_the_link_to_a_release_by_touch(chromium: Browser, scene: Scene) -> None:
    draft = handed(scene, "touched in a browser")
    with window(chromium, scene.origin) as page:
        plugged_in(page)
        open_link(page, scene.link("releaser"))
        assert "#" not in page.url
        with page.expect_navigation():
            press(page, "desk.passkey_add")
        expect(page.get_by_text(t("desk.this_device"), exact=True)).to_be_visible()
        press(page, "desk.sign_out")
        press(page, "desk.sign_in.passkey")
        expect(page.get_by_role("heading", name=t("desk.board"), exact=True)).to_be_visible()
        page.goto(f"/draft/{draft}/check")
        page.get_by_role("link", name=t("desk.check_right")).click()
        press(page, "desk.release.touch")
        expect(page.get_by_text("touched in a browser")).to_be_visible()
        assert "/ours/" in page.url
    assert received(scene).count("touched in a browser") == 1


def test_a_device_that_does_not_answer_leaves_the_passphrase(
    chromium: Browser, scene: Scene
) -> None:
    draft = handed(scene, "nobody touched")
    with scene.browser("releaser") as browser:
        said = {"passphrase": PHRASE, "again": PHRASE}
        assert browser.post("/passphrase", data=said).headers["location"] == "/"
    with window(chromium, scene.origin) as page:
        wire, device = plugged_in(page)
        open_link(page, scene.link("releaser"))
        with page.expect_navigation():
            press(page, "desk.passkey_add")
        expect(page.get_by_text(t("desk.this_device"), exact=True).first).to_be_visible()
        page.goto(f"/draft/{draft}/release")
        verified = {"authenticatorId": device, "isUserVerified": False}
        wire.send("WebAuthn.setUserVerified", verified)
        press(page, "desk.release.touch")
        expect(page.get_by_text(t("desk.device_failed"))).to_be_visible()
        expect(page.get_by_label(t("desk.passphrase_of", name="releaser"))).to_be_visible()
    assert "nobody touched" not in received(scene)


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without JavaScript"])
def test_a_browser_that_knows_no_passkeys_offers_none(
    chromium: Browser, scene: Scene, script: bool
) -> None:
    with window(chromium, scene.origin, java_script_enabled=script) as page:
        if script:
            page.add_init_script("delete window.PublicKeyCredential")
        page.goto("/sign-in")
        expect(page.get_by_label(t("desk.your_name"))).to_be_visible()
        expect(page.locator("[data-passkey]")).to_be_hidden()
