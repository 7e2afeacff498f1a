"""How the work for something grows with its size: what is hostile must not cost its square."""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time

TIMES = 16
"""How much bigger the big one is."""

GROWTH_MAX = 100.0
"""Times the work for it, at most: between TIMES, and TIMES squared."""


def grows_no_faster(work: Callable[[int], object], size: int) -> bool:
    """Whether `work` for a size TIMES as big costs about as many times as much, and not its square;
    in processor time, with room for a busy machine.
    """
    small = min(_cost_s(work, size) for _ in range(5))
    return _cost_s(work, TIMES * size) < GROWTH_MAX * small


def _cost_s(work: Callable[[int], object], size: int) -> float:
    began_s = thread_time()
    work(size)
    return thread_time() - began_s
