"""One desk for the tests of a module, and a browser for those that want one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from bench.browser import launch, missing

from .scene import Scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A desk that runs."""
    made = Scene(Path(tmp_path_factory.mktemp("desk")))
    try:
        made.start()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A real browser; the test is skipped aloud where there is none."""
    if (lacking := missing()) is not None:
        pytest.skip(lacking)
    # No wider than a module: while playwright runs, this thread can run no other event loop.
    with sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()
