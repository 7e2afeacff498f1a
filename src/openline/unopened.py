"""Texts of the other sides that nobody of ours has opened, most urgent first.

Theory of operation: the record is read once, in order of arrival, some at each look; from then on
every commit is followed. So a board costs the same however long the record is, and however many
texts wait: no flood of ROUTINE can push a FLASH out of sight, since each precedence is kept,
counted and listed by itself. A flood may be millions within the quota: of each text only its
arrival is kept, eight bytes, and what is listed is read from the record. Only what is on disk is
followed, so nothing has to be undone after a failed commit. Places and times only, never texts.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from heapq import merge
from itertools import chain, islice
from typing import NamedTuple

from .core import receipts
from .core.envelope import decode_record
from .core.events import Serial
from .core.precedence import Precedence
from .store.base import CHAINED, THEIRS, Batch, Row, Store

FLASHES_MAX = 20
"""FLASH of one line that are listed one by one; counted are all."""

LOOK_ROWS_MAX = 2_000
"""Texts read at one look, some ten milliseconds' worth."""

LISTED_MAX = 2_000
"""Texts remembered as they are listed, so that a board seen again reads none of them."""

HANDLED = (receipts.OPENED, receipts.SHOWN, receipts.DECLINED, receipts.HOLDING)
"""What ends waiting, each the act of a person."""


class Text(NamedTuple):
    """A text that waits; times in unix seconds."""

    line: int
    serial: Serial
    precedence: Precedence
    arrived_s: int
    due_s: int | None


class Unopened:
    """What nobody has opened at one post."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._after = 0
        self._waiting: dict[tuple[int, Precedence], array[int]] = {}
        """(line, precedence) → arrivals of what waits, rising; none is empty."""
        self._text = lru_cache(LISTED_MAX)(self._read)

    def look(self) -> bool:
        """Read on; whether all of the record has been read."""
        newest = self._store.arrivals(None, self._after, 1, newest=True)
        rows = self._store.unmarked(
            self._after, LOOK_ROWS_MAX, side=THEIRS, kind=receipts.TEXT, marks=HANDLED
        )
        for row in rows:
            self._set(row, waits=True)
        complete = len(rows) < LOOK_ROWS_MAX
        if rows and not complete:
            self._after = rows[-1].arrival
        elif newest:
            self._after = newest[0].arrival
        return complete

    def follow(self, batch: Batch) -> None:
        """Take note of what was committed; new texts are found at the next look."""
        changed = {
            (mark.line, mark.number, mark.incarnation)
            for mark in batch.marks
            if mark.side == THEIRS and mark.kind in HANDLED
        }
        for line, side, number, incarnation, _head, _standing in batch.heads:
            if side == THEIRS:
                changed.add((line, number, incarnation))
        for key in changed:
            self._settle(*key)

    def texts(self, limit: int) -> list[Text]:
        """Those that wait, the most urgent precedence first, the oldest first within it."""
        urgent = chain.from_iterable(merge(*self._of(each)) for each in reversed(Precedence))
        return [self._text(arrival) for arrival in islice(urgent, limit)]

    def flashes(self) -> list[Text]:
        """The FLASH among them, the newest first and FLASHES_MAX of one line at most, so that no
        line can hide those of another.
        """
        newest = chain.from_iterable(each[-FLASHES_MAX:] for each in self._of(Precedence.FLASH))
        return [self._text(arrival) for arrival in sorted(newest, reverse=True)]

    def counts(self) -> dict[tuple[int, Precedence], int]:
        """(line, precedence) → how many wait."""
        return {place: len(arrivals) for place, arrivals in self._waiting.items()}

    def _of(self, precedence: Precedence) -> Iterator[array[int]]:
        """What waits of a precedence, line by line."""
        return (found for (_, each), found in self._waiting.items() if each is precedence)

    def _settle(self, line: int, number: int, incarnation: int) -> None:
        """A text was handled, left the chain or came back to it: see whether it waits."""
        row = self._store.row(line, THEIRS, number, incarnation)
        if row is None or row.kind != receipts.TEXT or row.arrival > self._after:
            return
        marks = self._store.marks(line, THEIRS, number, incarnation)
        handled = any(mark.kind in HANDLED for mark in marks)
        self._set(row, waits=row.standing == CHAINED and not handled)

    def _set(self, row: Row, *, waits: bool) -> None:
        place = row.line, Precedence(row.precedence)
        arrivals = self._waiting.setdefault(place, array("Q"))
        at = bisect_left(arrivals, row.arrival)
        waited = at < len(arrivals) and arrivals[at] == row.arrival
        if waits and not waited:
            arrivals.insert(at, row.arrival)
        elif waited and not waits:
            del arrivals[at]
        if not arrivals:
            del self._waiting[place]

    def _read(self, arrival: int) -> Text:
        """The text that came at `arrival`."""
        (row,) = self._store.arrivals(None, arrival - 1, 1)
        record = decode_record(row.record)
        serial = Serial(row.incarnation, row.number)
        return Text(row.line, serial, record.precedence, row.wall_s, record.due_s)
