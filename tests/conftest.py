"""What every test can ask for: whether this run is the long one.

A usual run samples; `./dev test --long` (or OPENLINE_LONG=1) runs every bar in full. A test scales
its sample by the fixture `long_run`; one that makes sense only in full carries the mark `long` and
is left out of a usual run.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# How long something takes is measured in bench/: no test fails because a machine is busy.
settings.register_profile("openline", deadline=None)
settings.load_profile("openline")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --long."""
    parser.addoption("--long", action="store_true", help="run every bar in full, not a sample")


def is_long(config: pytest.Config) -> bool:
    """Whether this run was asked to be the long one."""
    return bool(config.getoption("--long")) or os.environ.get("OPENLINE_LONG", "") not in ("", "0")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests marked `long` out of a usual run."""
    if not is_long(config):
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def long_run(pytestconfig: pytest.Config) -> bool:
    """True if bars are to be run in full."""
    return is_long(pytestconfig)
