"""Running the demonstration as a process, and looking at what it leaves behind.

Theory of operation: `start` gives the process with its output in pipes; `processes_in` finds, by
their working directory, those that belong to a run. Linux only, where /proc tells. What is expected
of a run stands in the tests.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def start(*args: str, cwd: Path = ROOT, **env: str) -> subprocess.Popen[str]:
    """A demonstration that runs; standard output and standard error in pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "demo", *args],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100", "OPENLINE_LANG": "en", **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """What it prints up to and with the line that holds `text`."""
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return seen
    raise AssertionError(seen + (process.stderr.read() if process.stderr else ""))


def directory_of(output: str) -> Path:
    """The directory of a run, from its first lines."""
    said = re.search(r"\S+/openline-\w+", output)
    assert said is not None, output
    return Path(said[0])


def processes_in(directory: Path) -> list[str]:
    """The processes whose working directory is this one, there or removed."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cwd"):
        try:
            where = os.readlink(each)
        except OSError:
            continue
        if where.removesuffix(" (deleted)") == str(directory):
            found.append(each.parent.name)
    return found
