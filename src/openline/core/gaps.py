"""Sets of whole numbers kept as ranges: what is held beyond the contiguous number, and so what is
missing.

A set costs memory by its gaps, never by its numbers, so that a peer who jumps far ahead costs
nothing. Nothing here knows what is counted.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

Range = tuple[int, int]
"""(first, last), both included."""


class RangeSet:
    """A set of integers as sorted, disjoint, never touching ranges."""

    def __init__(self, ranges: list[Range] | None = None) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges or []:
            self.add(first, last)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._firsts, number) - 1
        return at >= 0 and number <= self._lasts[at]

    def __len__(self) -> int:
        """How many ranges there are (not how many numbers)."""
        return len(self._firsts)

    def __iter__(self) -> Iterator[Range]:
        return iter(zip(self._firsts, self._lasts, strict=True))

    def add(self, first: int, last: int | None = None) -> None:
        """Put in `first` … `last` (only `first` if no last is given)."""
        last = first if last is None else last
        if last < first:
            return
        low = bisect_right(self._lasts, first - 2)
        high = bisect_right(self._firsts, last + 1)
        if low < high:
            first = min(first, self._firsts[low])
            last = max(last, self._lasts[high - 1])
        self._firsts[low:high] = [first]
        self._lasts[low:high] = [last]

    def remove_from(self, number: int) -> None:
        """Take out every number ≥ `number`."""
        keep = bisect_right(self._firsts, number - 1)
        del self._firsts[keep:], self._lasts[keep:]
        if self._lasts and self._lasts[-1] >= number:
            self._lasts[-1] = number - 1

    def take_following(self, number: int) -> int:
        """Drop what is ≤ the contiguous number this leads to, and return that number.

        With {5–7, 9} and 4, the answer is 7 and {9} remains; with 3 it is 3.
        """
        while self._firsts and self._firsts[0] <= number + 1:
            number = max(number, self._lasts[0])
            del self._firsts[0], self._lasts[0]
        return number

    @property
    def highest(self) -> int | None:
        """The highest number, or None."""
        return self._lasts[-1] if self._lasts else None
