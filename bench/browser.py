"""The browser of this machine, for benchmarks, pictures and tests: what it is, how it starts.

Theory of operation: it is the system's own Chromium, driven by playwright, which belongs to the
group of development and is imported only where it is used. `missing()` says what is not here. What
is done in a browser does not live here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

PROGRAMS = ("chromium", "google-chrome")


@cache
def program() -> str:
    """The path of a browser that runs, "" if there is none."""
    for name in PROGRAMS:
        if (path := shutil.which(name)) is not None:
            ended = subprocess.run([path, "--version"], check=False, capture_output=True)
            if ended.returncode == 0:
                return path
    return ""


def missing() -> str | None:
    """What this machine lacks for a real browser, or None if there is one."""
    if find_spec("playwright") is None:
        return "playwright is not installed: ./dev test brings it"
    if not program():
        return "no browser here: sudo apt-get install chromium"
    return None


def launch(playwright: Playwright) -> Browser:
    """Chromium, without a screen."""
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=program(), args=as_root)
