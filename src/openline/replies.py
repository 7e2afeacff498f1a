"""Replies due: texts that say by when they want an answer, and have none yet, on both sides.

Theory of operation: records are read once, in order of arrival, and only what is still open is
kept. A text with a due time starts a clock; a text of the other side that refers to it, or its
refusal, stops the clock; a holding reply sets it to the time promised, and starts one where there
was none. All this is read from what is on disk, so that nothing has to be undone after a failed
commit, and a post that starts reads its record anew, some records at each look. Bounded: the other
side may write as many due times as it likes. Times and places only; wording and texts live
elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from .core import receipts
from .core.envelope import Record, decode_record
from .core.events import Serial
from .store.base import CHAINED, Row, Store

LOOK_ROWS_MAX = 2_000
"""Records read at one look, some ten milliseconds' worth."""
CLOCKS_MAX = 1_000
"""Clocks kept for one side of one line."""
AHEAD_MAX = 1_000
"""Answers remembered that came before what they answer, as they do when a record is healed."""

_KINDS = (receipts.TEXT, receipts.DECLINED, receipts.HOLDING)
_Key = tuple[str, int, Serial]
"""(label, side, serial): answers may come on the line that succeeded the one of the text."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A text of `side` that waits for an answer of the other until `due_s`, unix seconds."""

    line: int
    side: int
    serial: Serial
    precedence: int
    due_s: int
    promised: bool
    """The time is that of a holding reply."""


class Look(NamedTuple):
    """What stands open. `complete` is False while part of the record is still to be read."""

    clocks: list[Clock]
    """Soonest first."""
    complete: bool


class Replies:
    """The replies due at one post; `label` names a line, `named` finds the lines of that name."""

    def __init__(
        self, store: Store, label: Callable[[int], str], named: Callable[[str], list[int]]
    ) -> None:
        self._store = store
        self._label = label
        self._former = named
        self._after = 0
        self._open: dict[_Key, Clock] = {}
        self._kept: dict[tuple[int, int], int] = {}
        """(line, side) → clocks kept."""
        self._ahead: dict[_Key, None] = {}

    def look(self, limit: int = CLOCKS_MAX) -> Look:
        """Read on, and say what stands open: the `limit` clocks that end soonest."""
        rows = self._store.arrivals(None, self._after, LOOK_ROWS_MAX, kinds=_KINDS)
        for row in rows:
            self._after = row.arrival
            if row.standing == CHAINED and row.variant == 0:
                self._read(row)
        return Look([*islice(self._standing(), limit)], len(rows) < LOOK_ROWS_MAX)

    def _standing(self) -> Iterator[Clock]:
        """The open clocks of texts that are on the chain still, soonest first."""
        for key, clock in sorted(self._open.items(), key=lambda item: item[1].due_s):
            serial = clock.serial
            row = self._store.row(clock.line, clock.side, serial.number, serial.incarnation)
            if row is not None and row.standing == CHAINED:
                yield clock
            else:
                self._stop(key)

    def _read(self, row: Row) -> None:
        label = self._label(row.line)
        record = decode_record(row.record)
        for same_side, serial in record.references:
            if not same_side:
                self._answered((label, 1 - row.side, serial), row, record)
        if record.kind == receipts.TEXT and record.due_s is not None:
            self._start((label, row.side, record.serial), row, record.due_s, promised=False)

    def _answered(self, key: _Key, by: Row, record: Record) -> None:
        if record.kind == receipts.HOLDING:
            text = self._text(key, by.line)
            if text is not None and record.due_s is not None:
                self._start(key, text, record.due_s, promised=True)
        elif key in self._open:
            self._stop(key)
        elif self._text(key, by.line) is None and len(self._ahead) < AHEAD_MAX:
            self._ahead[key] = None

    def _text(self, key: _Key, line: int) -> Row | None:
        """The record of that key, if it is held; `line` is that of who speaks of it."""
        _, side, serial = key
        held = self._store.row(line, side, serial.number, serial.incarnation)
        if held is not None:
            return held
        former = (n for n in self._former(key[0]) if n != line)
        rows = (self._store.row(n, side, serial.number, serial.incarnation) for n in former)
        return next((row for row in rows if row is not None), None)

    def _start(self, key: _Key, row: Row, due_s: int, *, promised: bool) -> None:
        if self._ahead.pop(key, "") is None:
            return
        place = row.line, row.side
        if key not in self._open:
            if self._kept.get(place, 0) >= CLOCKS_MAX:
                return
            self._kept[place] = self._kept.get(place, 0) + 1
        serial = Serial(row.incarnation, row.number)
        self._open[key] = Clock(*place, serial, row.precedence, due_s, promised)

    def _stop(self, key: _Key) -> None:
        clock = self._open.pop(key)
        self._kept[clock.line, clock.side] -= 1
