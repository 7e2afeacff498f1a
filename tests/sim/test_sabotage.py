"""The checker is checked: deliberate bugs in production code are found."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from openline.sim.sabotage import SABOTAGES
from openline.sim.swarm import run_many, run_sabotaged

CATCHING: dict[str, Sequence[int]] = {
    "ack-before-commit": (1,),
    "send-before-commit": (1,),
    "duplicates-forgotten": (1,),
    "serial-reused": (2,),
    "run-restored": (2,),
    "gap-never-mended": (3,),
    "head-not-extended": (2,),
    "failed-commit-ignored": (3,),
    "foreign-branch-taken": (10,),
    "floor-too-high": (3,),
    "run-not-kept": (1,),
    "never-repeated": (3,),
    "restore-unnoticed": (3,),
    "ahead-not-kept": (1,),
    "replays-answered": (16,),
    "death-unreported": (2,),
    "salt-fixed": (3,),
    "page-kept": (2,),
    "foreign-answered": (16,),
    "tag-unchecked": (1,),
    "place-unproven": (1,),
    "flash-waits": (8,),
    "bag-counted-sent": (49,),
    "half-taken": (2,),
}
"""Seeds that catch each sabotage soon; another world may be needed when the code changes."""

SEEDS_MAX = 500


def test_every_sabotage_has_its_seeds() -> None:
    assert CATCHING.keys() == SABOTAGES.keys()
    assert len(SABOTAGES) >= 24


@pytest.mark.parametrize("name", SABOTAGES)
def test_sabotage_is_caught(name: str) -> None:
    known = any(run_sabotaged(name, seed).failure for seed in CATCHING[name])
    assert known or any(outcome.failure for outcome in run_many(range(1, SEEDS_MAX + 1), 1, name))


@pytest.mark.long
@pytest.mark.parametrize("name", SABOTAGES)
def test_sabotage_is_caught_from_the_first_seed_on(name: str) -> None:
    assert any(outcome.failure for outcome in run_many(range(1, SEEDS_MAX + 1), 2, name))
