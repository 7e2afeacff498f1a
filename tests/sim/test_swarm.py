"""Worlds from seeds: none fails, each can be repeated, together they cover what they should."""

from __future__ import annotations

import pytest

from openline.sim.__main__ import COVERAGE_SEEDS_MIN, Coverage
from openline.sim.plan import KINDS, draw
from openline.sim.swarm import run, run_many

SAMPLE = range(1, 61)
WHOLE = range(1, 2001)
FAILED_ONCE = (
    *(1, 6, 11, 50, 54, 82, 99, 125, 126, 156, 165, 171, 203, 462, 542, 644, 882, 1077),
    *(5011, 5026, 5100),
)
"""Seeds that found something when the code was younger."""


def test_no_seed_fails(long_run: bool) -> None:
    coverage = Coverage()
    failed = {}
    for outcome in run_many(WHOLE if long_run else SAMPLE, 2 if long_run else 1):
        coverage.add(outcome)
        if outcome.failure:
            failed[outcome.seed] = outcome.failure
    assert failed == {}, "./dev sim --replay SEED shows more"
    assert coverage.wanting() == []


@pytest.mark.parametrize("seed", FAILED_ONCE)
def test_seed_that_failed_once_is_clean(seed: int) -> None:
    assert run(seed).failure == ""


@pytest.mark.parametrize("seed", [3, 7, 10, 14])
def test_same_seed_is_the_same_world(seed: int) -> None:
    once, again = run(seed), run(seed)
    assert (once.fingerprint, once.acts) == (again.fingerprint, again.acts)


def test_seeds_are_not_alike() -> None:
    assert run(3).fingerprint != run(4).fingerprint


def test_each_kind_of_fault_is_planned_often_enough() -> None:
    plans = [draw(seed) for seed in range(1, 1001)]
    for kind in KINDS:
        assert sum(kind in plan.kinds for plan in plans) >= 200, kind


def test_a_run_that_covers_too_little_says_so() -> None:
    coverage = Coverage()
    coverage.seeds, coverage.messages_min = COVERAGE_SEEDS_MIN, 49
    wanting = coverage.wanting()
    assert "a seed has only 49 messages" in wanting
    assert any("restore struck in 0" in what for what in wanting)
    assert any("never taken" in what for what in wanting)
