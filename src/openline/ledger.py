"""The durable record of one line as the line sees it within a step: the store, and what the step
has changed so far.

Theory of operation: changes gather in the step's `Batch`; an overlay of the changed rows makes them
visible to what comes later in the same step. `settle` is called when the batch is durable, `forget`
never: after a failed commit the whole ledger is made anew. Decides nothing.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from heapq import merge

from .core.envelope import Record
from .core.events import Serial
from .core.transcript import CHAINED, FORKED, OURS
from .store.base import OVERHEAD_BYTES, THEIRS, Audit, Batch, Mark, Row, Store

_RECENT_BYTES_MAX = 4 << 20
_PAGE = 500


class LineLedger:
    """Implements core.transcript.Ledger for one line over a store."""

    def __init__(self, store: Store, line: int) -> None:
        self._store = store
        self._line = line
        self._overlay: dict[tuple[int, int], dict[tuple[int, int], Row]] = {}
        """(side, number) → (incarnation, variant) → row as this step leaves it."""
        self._new: dict[tuple[int, Serial, int], int] = {}
        """(side, serial, variant) → where the batch has a row of this step."""
        self._recent: OrderedDict[Serial, bytes] = OrderedDict()
        self._recent_bytes = 0
        self.used = {side: store.bytes_used(line, side) for side in (OURS, THEIRS)}
        """side → what its records take of the disk, those of this step too."""
        self.batch = Batch()
        self.wall_s = 0

    def begin(self, batch: Batch, wall_s: int) -> None:
        """A step begins: write into its batch, label rows with its time."""
        self.batch, self.wall_s = batch, wall_s

    def settle(self) -> None:
        """The step's batch is durable."""
        self._overlay.clear()
        self._new.clear()

    def _changed(self, side: int, serial: Serial, variant: int = 0) -> Row | None:
        rows = self._overlay.get((side, serial.number))
        return rows.get((serial.incarnation, variant)) if rows else None

    def _row(self, side: int, serial: Serial) -> Row | None:
        return self._changed(side, serial) or self._store.row(
            self._line, side, serial.number, serial.incarnation
        )

    def get(self, side: int, serial: Serial) -> bytes | None:
        """The bytes held for a serial (its first text)."""
        if side == OURS and serial in self._recent:
            return self._recent[serial]
        row = self._row(side, serial)
        return row.record if row else None

    def head(self, side: int, number: int) -> bytes | None:
        """The head after `number` on the branch followed, if held."""
        changed = self._overlay.get((side, number))
        if not changed:
            return self._store.head(self._line, side, number)
        rows = {
            (row.incarnation, row.variant): row
            for row in self._store.variants(self._line, side, number)
        } | changed
        chained = (r.head for r in rows.values() if r.standing == CHAINED and r.head)
        return next(chained, None)

    def _stored(self, side: int, number: int) -> Iterator[Row]:
        while True:
            page = self._store.chain(self._line, side, number + 1, _PAGE)
            yield from page
            if len(page) < _PAGE:
                return
            number = page[-1].number

    def aside(self, side: int, after: int, limit: int) -> list[Row]:
        """Up to `limit` rows of a side off the chain that arrived after `after`, as of the last
        commit, in order of arrival."""
        return self._store.arrivals(self._line, after, limit, side=side, aside=True)

    def following(self, side: int, number: int) -> Iterator[tuple[Serial, bytes]]:
        """Records on the branch numbered above `number`, ascending."""
        changed = {
            (row.number, row.incarnation): row
            for (row_side, row_number), rows in self._overlay.items()
            if row_side == side and row_number > number
            for row in rows.values()
            if row.variant == 0
        }
        stored = (
            row
            for row in self._stored(side, number)
            if (row.number, row.incarnation) not in changed
        )
        news = sorted(changed.values(), key=lambda row: row.number)
        for row in merge(news, stored, key=lambda row: row.number):
            if row.standing == CHAINED:
                yield Serial(row.incarnation, row.number), row.record

    def variants(self, side: int, serial: Serial) -> list[bytes]:
        """The other texts (forks) held for a serial."""
        changed = self._overlay.get((side, serial.number), {})
        rows = {
            (row.incarnation, row.variant): row
            for row in self._store.variants(self._line, side, serial.number)
        } | changed
        return [
            row.record
            for (incarnation, variant), row in rows.items()
            if variant and incarnation == serial.incarnation
        ]

    def put(
        self, side: int, record: Record, data: bytes, head: bytes | None, standing: int
    ) -> None:
        """Keep a record."""
        variant = len(self.variants(side, record.serial)) + 1 if standing == FORKED else 0
        row = Row(
            self._line,
            side,
            record.number,
            record.incarnation,
            data,
            head,
            self.wall_s,
            record.kind,
            record.precedence,
            standing,
            variant,
        )
        self._new[side, record.serial, variant] = len(self.batch.rows)
        self.batch.rows.append(row)
        self.used[side] += len(data) + OVERHEAD_BYTES
        self._overlay.setdefault((side, row.number), {})[row.incarnation, variant] = row
        if side == OURS and standing == CHAINED:
            self._remember(record.serial, data)

    def _remember(self, serial: Serial, data: bytes) -> None:
        self._recent[serial] = data
        self._recent_bytes += len(data)
        while self._recent_bytes > _RECENT_BYTES_MAX:
            _, old = self._recent.popitem(last=False)
            self._recent_bytes -= len(old)

    def rehead(self, side: int, serial: Serial, head: bytes | None, standing: int) -> None:
        """Set head and standing of a record held."""
        row = self._row(side, serial)
        if row is None:
            return
        row = row._replace(head=head, standing=standing)
        new = self._new.get((side, serial, 0))
        if new is not None:
            self.batch.rows[new] = row
        else:
            self.batch.heads.append(
                (self._line, side, serial.number, serial.incarnation, head, standing)
            )
        self._overlay.setdefault((side, row.number), {})[row.incarnation, 0] = row

    def mark(
        self,
        side: int,
        serial: Serial,
        kind: int,
        by: Serial,
        due_s: int | None = None,
        line: int | None = None,
    ) -> None:
        """Mark a record: a record `by` of the other side, or of ours, says something of it. `line`
        is that of the record, if it is one before this."""
        of, given = (serial.number, serial.incarnation), (by.number, by.incarnation)
        mark = Mark(line or self._line, side, *of, kind, self.wall_s, due_s, *given)
        self.batch.marks.append(mark)

    def audit(self, actor: str, act: str, **details: object) -> None:
        """Enter into the audit log what became of an act of people."""
        values = json.dumps({"line": self._line, **details})
        self.batch.audit.append(Audit(self.wall_s, actor, act, values))
