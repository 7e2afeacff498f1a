"""Facts about ranges: they hold what a plain set of numbers would."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from openline.core.gaps import RangeSet
from openline.status import missing

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=25)


def both(pairs: list[tuple[int, int]]) -> tuple[RangeSet, set[int]]:
    """Ranges and the set they stand for."""
    ranges, model = RangeSet(), set[int]()
    for first, more in pairs:
        ranges.add(first, first + more)
        model |= set(range(first, first + more + 1))
    return ranges, model


def numbers(ranges: RangeSet) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def check(ranges: RangeSet, model: set[int]) -> None:
    assert numbers(ranges) == model
    listed = list(ranges)
    assert all(first <= last for first, last in listed)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(listed))
    assert len(ranges) == len(listed)
    assert ranges.highest == (max(model) if model else None)
    assert all((number in ranges) == (number in model) for number in range(-1, 80))


@given(RANGES)
def test_it_holds_what_was_put_in(pairs: list[tuple[int, int]]) -> None:
    check(*both(pairs))


@given(RANGES)
def test_it_reads_as_it_was_listed(pairs: list[tuple[int, int]]) -> None:
    ranges, model = both(pairs)
    check(RangeSet(list(ranges)), model)


@given(RANGES, st.integers(0, 75))
def test_what_is_taken_out_from_a_number_on_is_gone(
    pairs: list[tuple[int, int]], number: int
) -> None:
    ranges, model = both(pairs)
    ranges.remove_from(number)
    check(ranges, {n for n in model if n < number})


@given(RANGES, st.integers(0, 75))
def test_following_leads_to_the_last_number_without_a_hole(
    pairs: list[tuple[int, int]], number: int
) -> None:
    ranges, model = both(pairs)
    reached = ranges.take_following(number)
    expected = number
    while expected + 1 in model:
        expected += 1
    assert reached == expected
    check(ranges, {n for n in model if n > reached})


@given(RANGES, st.integers(0, 75))
def test_missing_is_what_lies_between(pairs: list[tuple[int, int]], after: int) -> None:
    ranges, model = both(pairs)
    gaps = {n for first, last in missing(ranges, after) for n in range(first, last + 1)}
    highest = max(model, default=0)
    assert gaps == {n for n in range(after + 1, highest) if n not in model}


def test_a_jump_costs_one_range() -> None:
    ranges = RangeSet([(1, 2**60), (2**61, 2**62)])
    assert len(ranges) == 2
    assert list(missing(ranges, 0)) == [(2**60 + 1, 2**61 - 1)]


def test_nothing_is_put_in_backwards() -> None:
    ranges = RangeSet()
    ranges.add(5, 4)
    assert len(ranges) == 0
    assert ranges.highest is None
