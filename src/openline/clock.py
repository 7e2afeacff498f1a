"""The sole callers of time and entropy.

Everything that decides is given a `Now` and a source of random bytes; this module is where
production gets them. The simulator passes its own. A test forbids the clock and the entropy modules
everywhere else.
"""

from __future__ import annotations

import os
import time

from .core.events import Now

__all__ = ["Now", "entropy", "now", "precise_s"]


def now() -> Now:
    """The present instant."""
    return Now(time.monotonic_ns() // 1_000_000, int(time.time()))


def precise_s() -> float:
    """Monotonic seconds with the best resolution, for measuring only."""
    return time.perf_counter()


def entropy(count: int) -> bytes:
    """`count` random bytes from the operating system."""
    return os.urandom(count)
