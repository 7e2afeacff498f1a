"""`./dev screenshots`: a tour of both desks of the demonstration, as pictures, in three languages.

Theory of operation: the demonstration is run as a person would run it; what it prints says where
the desks are and who may enter. A browser enters at each desk as the officer and takes a picture of
every page that a watch sees, at the width of a desk and of a phone, by day and in a dark room. What
is shown lives with the demonstration; nothing is kept but the pictures.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from openline.i18n import LANGUAGES

from .browser import launch

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

READY = "Ctrl-C"
LINK = re.compile(r"^ +officer +((http://(\w+)\S+)/enter)#([0-9a-f]+)$", re.MULTILINE)
WIDTHS = {"desk": (1280, 900), "phone": (360, 740)}
PLACES = {
    "board": "/",
    "in-tray": "/inbox",
    "line": "/line/1",
    "message": "main tbody a[href*='/theirs/']",
    "write": "/line/1/write",
    "drafts": "/drafts",
    "draft": "main tbody a[href^='/draft/']",
    "search": "/search",
}
"""Picture → its address, or the link on the page before that leads there."""


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("build/screenshots"), show_default=True
)
def main(out: Path) -> None:
    """Write the pictures to a directory."""
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "demo", "--lang", "en"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            shown = _announced(demo)
            with sync_playwright() as play:
                chromium = launch(play)
                for address, origin, post, link in LINK.findall(shown):
                    _tour(chromium, out, post, (address, link), origin)
        finally:
            demo.send_signal(signal.SIGINT)
    click.echo(str(out))


def _announced(demo: subprocess.Popen[str]) -> str:
    """What the demonstration prints until it is ready."""
    shown = ""
    for line in demo.stdout or ():
        shown += line
        if READY in line:
            return shown
    raise ChildProcessError("the demonstration ended")


def _tour(chromium: Browser, out: Path, post: str, entry: tuple[str, str], origin: str) -> None:
    """All pictures of one desk."""
    context = chromium.new_context(base_url=origin)
    page = context.new_page()
    address, link = entry
    page.goto(address)
    page.locator("#link").fill(link)
    page.locator("main form button").click()
    page.wait_for_load_state()
    for language in LANGUAGES:
        context.add_cookies([{"name": "language", "value": language, "url": origin}])
        for name, place in PLACES.items():
            if place.startswith("/"):
                page.goto(place)
            else:
                page.locator(place).first.click()
                page.wait_for_load_state()
            _pictures(page, out / f"{post}-{name}-{language}")


def _pictures(page: Page, path: Path) -> None:
    for width, (wide, high) in WIDTHS.items():
        page.set_viewport_size({"width": wide, "height": high})
        page.emulate_media(color_scheme="dark" if width == "phone" else "light")
        page.screenshot(path=f"{path}-{width}.png", full_page=True)


if __name__ == "__main__":
    main()
