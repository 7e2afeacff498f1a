"""Worlds from seeds: none fails, each can be repeated, together they cover what they should."""

from __future__ import annotations

import pytest

from openline.sim.coverage import COVERAGE_SEEDS_MIN, PAIRS_SEEDS_MIN, Coverage
from openline.sim.plan import KINDS, draw, draw_plain, kind_of
from openline.sim.swarm import run, run_many

SAMPLE = range(1, 61)
WHOLE = range(1, 2_001)
FAILED_ONCE = {
    54: "a post that was rolled back stayed behind the numbers it had used before",
    56: "two posts answered each other at the speed of the wire while one's disk was full",
    96: "what a post said after a rollback passed for held, and never came",
    254: "a BEGIN that came days late led a silent reader astray, and its author was not told",
    531: "pieces of two texts of one serial were put together into one that nobody wrote",
    697: "of two bearers each carried one way; ACKs went back where nobody heard them",
    929: "FLASH held behind many gaps went unnamed, and came again for ever before all else",
    1610: "who was heard again and again, and answered nothing, was hurried after for ever",
    1723: "who was told only once, and too soon, that it was put back never began anew",
    2022: "an author whose newest BEGIN was held on a branch left never began again",
    2477: "an old OFFER was answered, the one that counted ignored, and the alarm rang for an hour",
    3903: "a hostile author on a forged path was told what we hold each minute for days",
    7389: "a head that came in a BEGIN was taken for the author's, who was put back behind it",
    7510: "what answered a bag of days ago was counted as an answer to a flood",
}
"""Seeds that found something when the code was younger, and what it was; their worlds have neither
narrow wires nor parcels. (Those of the simulator's first version meant other worlds; what they
found is told in the tests of the line and of sealing.)"""

FAILED_ONCE_FURTHER = {
    1422: "a FLASH waited on a narrow wire for one fragment too long while a run was shown",
    9487: "the bound took a stick for the fastest wire, beside a relay that carries 2 kB/s",
    2376: "a line by stick had some OFFER or ANSWER on its way for 84 days on end",
    6182: "late parcels of a folder were answered while a relay repeated old datagrams",
}
"""And of those that have them."""


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
    assert run(seed, draw_plain).failure == ""


@pytest.mark.parametrize("seed", FAILED_ONCE_FURTHER)
def test_seed_with_further_bearers_that_failed_once_is_clean(seed: int) -> None:
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


def test_bearers_of_every_kind_are_mixed_and_some_worlds_have_thousands_of_messages() -> None:
    plans = [draw(seed) for seed in range(1, 1001)]
    kinds = {kind_of(bearer.name) for plan in plans for bearer in plan.bearers}
    assert kinds == {"tcp", "relay", "radio", "courier", "narrow", "stick", "folder"}
    assert {1, 2, 3, 5} <= {len(plan.bearers) for plan in plans}
    assert any(plan.messages >= 1_000 for plan in plans)


@pytest.mark.parametrize("kind", ["narrow", "stick", "folder"])
def test_wires_of_fragments_and_parcels_carry_alone_and_with_others(kind: str) -> None:
    worlds = [[bearer.name for bearer in draw(seed).bearers] for seed in range(1, 1001)]
    assert [kind] in worlds
    for other in ("tcp", "relay"):
        assert any(kind in names and other in names for names in worlds)


@pytest.mark.parametrize("name", ["narrow", "stick", "folder"])
def test_a_line_lives_by_one_such_wire_alone(name: str) -> None:
    plans = map(draw, range(1, 1001))
    alone = (p.seed for p in plans if [b.name for b in p.bearers] == [name] and not p.hostile)
    outcome = run(next(alone))
    assert outcome.failure == ""
    assert outcome.messages > 50


def test_a_flash_passes_what_leaves_on_a_narrow_wire() -> None:
    narrow = (seed for seed in range(1, 1001) if [b.name for b in draw(seed).bearers] == ["narrow"])
    assert any(run(seed).overtakings for seed in narrow)


def test_a_run_that_covers_too_little_says_so() -> None:
    coverage = Coverage()
    coverage.seeds, coverage.messages_min = COVERAGE_SEEDS_MIN, 49
    wanting = coverage.wanting()
    assert "a seed has only 49 messages" in wanting
    assert any("restore struck in 0" in what for what in wanting)
    assert any("never taken" in what for what in wanting)


def test_a_large_run_that_never_has_two_kinds_together_says_so() -> None:
    coverage = Coverage()
    coverage.seeds = PAIRS_SEEDS_MIN
    assert "loss and duplication never struck together" in coverage.wanting()
