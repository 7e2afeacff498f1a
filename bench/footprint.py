"""What a post costs when nothing happens: its memory, and the time it takes to start.

Theory of operation: memory is the resident set of the running daemon, as the kernel counts it, with
its line open and idle. A cold start runs from before the process is made to its line of readiness,
with a key file (a passphrase adds what Argon2id is set to cost); the program's files are in the
page cache, as they are when a service manager restarts it.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from openline import clock

from .posts import Places, Process


def cold_start_s(places: Places, runs: int) -> float:
    """Median of seconds from exec to the line of readiness."""
    taken = []
    for _ in range(runs):
        process = Process(places.far)
        began_s = clock.precise_s()
        process.start()
        taken.append(clock.precise_s() - began_s)
        process.stop()
    return median(taken)


def help_s(runs: int) -> float:
    """Median of seconds that `openline --help` takes."""
    return _command_s(["-m", "openline.cli", "--help"], runs)


def python_s(runs: int) -> float:
    """Median of seconds that Python takes to do nothing, for comparison."""
    return _command_s(["-c", ""], runs)


def _command_s(arguments: list[str], runs: int) -> float:
    taken = []
    for _ in range(runs):
        began_s = clock.precise_s()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        taken.append(clock.precise_s() - began_s)
    return median(taken)
