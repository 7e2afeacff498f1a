"""Offers and answers keep their paces, and the one that counts is answered in the end."""

from __future__ import annotations

import pytest

from openline.lane import Lane
from tests.hostile import lane
from tests.pair import LinePair


@pytest.fixture
def pair() -> LinePair:
    made = LinePair()
    made.flow()
    return made


def by_rank(pair: LinePair) -> tuple[Lane, Lane]:
    """The lanes of the first and of the second party."""
    first, second = sorted((lane(pair, name) for name in "ab"), key=lambda each: not each.kit.first)
    return first, second


def lose_roots(leader: Lane) -> None:
    """The first party is put back to before its rekeys."""
    leader.seal.roots.later.clear()
    leader.seal.roots.offer = None


def test_an_offer_that_comes_too_soon_is_answered_when_its_time_has_come(pair: LinePair) -> None:
    first, second = by_rank(pair)
    agreed = second.seal.roots.later[0].id
    lose_roots(first)
    pair.wait(1)
    pair.flow()
    assert first.seal.roots.offer is not None
    assert second.seal.roots.later[0].id == agreed
    due_ms = second.deadline()
    assert due_ms is not None
    assert due_ms - pair.now.mono_ms <= 60_000
    pair.wait(60)
    pair.flow()
    assert first.seal.roots.offer is None
    assert first.seal.roots.later[0].id == second.seal.roots.later[0].id != agreed


def test_of_several_offers_the_newest_is_answered_once(pair: LinePair) -> None:
    first, second = by_rank(pair)
    held = len(second.seal.roots.later)
    for _ in range(3):
        lose_roots(first)
        pair.wait(1)
        pair.flow()
    pair.wait(60)
    pair.flow()
    assert len(second.seal.roots.later) == held + 1
    assert first.seal.roots.later[0].id == second.seal.roots.later[0].id
