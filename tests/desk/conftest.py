"""One desk for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
