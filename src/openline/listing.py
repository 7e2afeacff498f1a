"""What one answer lists: entries up to a bound, and what is missing between them.

Theory of operation: a text that takes a hundred bytes on the wire may take four thousand times as
many in an answer, so a page ends by its length as it will be sent, not only by its entries; whoever
asks reads on from its "next". Which entries a page has, and what they show, is decided elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from .core.gaps import Range

PAGE_BYTES = 4 << 20
"""After so much a page ends; a client takes answers of several times that."""


class Page:
    """The entries of one answer, about `entries_max` if given: what is missing before the last may
    come on top.
    """

    def __init__(self, entries_max: int | None = None) -> None:
        self.entries: list[dict[str, Any]] = []
        self._entries_max = entries_max
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether what follows belongs on the next page; never so of a page without entries,
        unless none were asked for."""
        enough = self._entries_max is not None and len(self.entries) >= self._entries_max
        return enough or self._bytes >= PAGE_BYTES

    def add(self, entry: dict[str, Any]) -> None:
        """Put an entry behind the others."""
        self.entries.append(entry)
        self._bytes += len(json.dumps(entry))

    def answer(self, next_place: object = None) -> dict[str, Any]:
        """The page as it is sent; `next_place` is where to read on, None where nothing follows."""
        return {"records": self.entries, "next": next_place}


def holes(
    line: int, label: str, first: int, last: int, lost: Iterable[Range]
) -> Iterator[dict[str, Any]]:
    """What is missing of the other side's numbers from `first` to `last`: "lost" where they are
    among the ranges of `lost`, which come in order, else "gap".
    """
    if first > last:
        return
    for lowest, highest in lost:
        low, high = max(lowest, first), min(highest, last)
        if low <= high:
            if first < low:
                yield _hole("gap", line, label, first, low - 1)
            yield _hole("lost", line, label, low, high)
            first = high + 1
    if first <= last:
        yield _hole("gap", line, label, first, last)


def _hole(kind: str, line: int, label: str, first: int, last: int) -> dict[str, Any]:
    place = {"type": kind, "line": line, "label": label, "side": "theirs"}
    return {**place, "first": first, "last": last, "count": last - first + 1}
