"""Texts of the other sides that nobody of ours has opened, most urgent first.

Theory of operation: the record is read once, in order of arrival, some at each look; from then on
every commit is followed. So a board costs the same however long the record is, and however many
texts wait: no flood of ROUTINE can push a FLASH out of sight, since each precedence is kept,
counted and listed by itself. Only what is on disk is followed, so nothing has to be undone after a
failed commit. Places and times only, never texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
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

HANDLED = (receipts.OPENED, receipts.SHOWN, receipts.DECLINED, receipts.HOLDING)
"""What ends waiting, each the act of a person."""

_Key = tuple[int, int, int]
"""(line, number, incarnation)."""


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
        self._texts: dict[Precedence, dict[_Key, Text]] = {each: {} for each in Precedence}
        self._counts: dict[tuple[int, Precedence], int] = {}

    def look(self) -> bool:
        """Read on; whether all of the record has been read."""
        newest = self._store.arrivals(None, self._after, 1, newest=True)
        rows = self._store.unmarked(
            self._after, LOOK_ROWS_MAX, side=THEIRS, kind=receipts.TEXT, marks=HANDLED
        )
        for row in rows:
            self._add(row)
        complete = len(rows) < LOOK_ROWS_MAX
        if rows and not complete:
            self._after = rows[-1].arrival
        elif newest:
            self._after = newest[0].arrival
        return complete

    def follow(self, batch: Batch) -> None:
        """Take note of what was committed; new texts are found at the next look."""
        for mark in batch.marks:
            if mark.side == THEIRS and mark.kind in HANDLED:
                self._drop((mark.line, mark.number, mark.incarnation))
        for line, side, number, incarnation, _, standing in batch.heads:
            if side == THEIRS:
                self._placed((line, number, incarnation), standing)

    def texts(self, limit: int) -> list[Text]:
        """Those that wait, the most urgent precedence first, the oldest first within it."""
        return list(islice(self._urgent(), limit))

    def flashes(self) -> list[Text]:
        """The FLASH among them, the newest first and FLASHES_MAX of one line at most, so that no
        line can hide those of another.
        """
        listed: list[Text] = []
        of_line: Counter[int] = Counter()
        for text in reversed(self._texts[Precedence.FLASH].values()):
            if of_line[text.line] < FLASHES_MAX:
                of_line[text.line] += 1
                listed.append(text)
        return listed

    def counts(self) -> dict[tuple[int, Precedence], int]:
        """(line, precedence) → how many wait."""
        return self._counts

    def _urgent(self) -> Iterator[Text]:
        return chain.from_iterable(self._texts[each].values() for each in reversed(Precedence))

    def _placed(self, key: _Key, standing: int) -> None:
        """A text left the chain or came back to it."""
        if standing != CHAINED:
            self._drop(key)
        elif not any(key in texts for texts in self._texts.values()):
            line, number, incarnation = key
            row = self._store.row(line, THEIRS, number, incarnation)
            if row is None or row.kind != receipts.TEXT or row.arrival > self._after:
                return
            marks = self._store.marks(line, THEIRS, number, incarnation)
            if not any(mark.kind in HANDLED for mark in marks):
                self._add(row)

    def _add(self, row: Row) -> None:
        record = decode_record(row.record)
        serial = Serial(row.incarnation, row.number)
        text = Text(row.line, serial, record.precedence, row.wall_s, record.due_s)
        key = (row.line, row.number, row.incarnation)
        if key not in self._texts[text.precedence]:
            self._texts[text.precedence][key] = text
            place = row.line, text.precedence
            self._counts[place] = self._counts.get(place, 0) + 1

    def _drop(self, key: _Key) -> None:
        for precedence, texts in self._texts.items():
            if texts.pop(key, None) is not None:
                place = key[0], precedence
                self._counts[place] -= 1
                if not self._counts[place]:
                    del self._counts[place]
