"""The durable store: a post's record in one encrypted SQLite file.

Theory of operation: one connection, one writer. `commit` runs one `BEGIN IMMEDIATE` … `COMMIT` with
`synchronous=FULL`, so that it returns when the write-ahead log is synced. What every commit needs
to know (the last arrival, the end of the audit log, the totals) is read once and then carried in
memory, and replaced only after the commit. The log is moved into the database by `checkpoint` when
it has grown to `LOG_PAGES_MAX`.

When the device fails (not: is full), nobody knows what reached it, and where one page is damaged,
more may be. The store then refuses everything until it is opened anew. Which files there are, and
keys, are opening.py's concern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sqlcipher3 import dbapi2

from openline.errors import InvariantError, StoreError

from . import tables
from .audit import START, link
from .ballast import Ballast
from .base import OVERHEAD_BYTES, Audit, AuditEntry, Batch, Mark, Row
from .checkpoint import checkpoint, unmoved_pages
from .faults import DAMAGED, IO_FAILED, told_as_ours
from .lock import Lock

LOG_PAGES_MAX = 1000
"""Pages of 4 KiB in the write-ahead log at which they are moved into the database."""

_AUDIT_PAGE = 1000
_RECORD = Row._fields.index("record")

_Result = TypeVar("_Result")


class _Carried(NamedTuple):
    """What every commit needs to know and the database says only slowly."""

    totals: dict[tuple[int, int], int]
    """(line, side) → bytes_used."""
    last_arrival: int
    audit_end: tuple[int, bytes]
    """Position and hash of the last entry."""


class SqlStore:
    """A Store on SQLCipher. Made by opening.create and opening.open_store, which give it its lock.

    Calls must not overlap, but may come from different threads. Every method raises StoreError when
    the record cannot be read or written (store.damaged, store.io_failed, store.closed).
    """

    def __init__(self, connection: dbapi2.Connection, database: Path, lock: Lock, ballast: Ballast):
        self._connection = connection
        self._database = database
        self._log_pages_next = LOG_PAGES_MAX
        self._lock = lock
        self._ballast = ballast
        self._full = False
        """Whether the disk had no room for what is not urgent, when that was last tried."""
        self._refusal: StoreError | None = None
        self._carried = self._read_carried()

    # Writing

    def commit(self, batch: Batch) -> None:
        """Make the whole batch durable, or nothing of it.

        Raises StoreError (store.disk_full: nothing was written, try again when there is room;
        store.io_failed: open anew), and InvariantError (store.duplicate_row, store.no_row).
        An `urgent` batch may use the disk reserve.
        """
        if not batch:
            return
        with self._in_use():
            if not (self._ballast.held or batch.urgent or self._ballast.fill()):
                self._full = True
                raise StoreError("store.disk_full")
        self._do(lambda: self._commit(batch), urgent=batch.urgent)
        self._full = self._full and batch.urgent
        self._after_commit()

    @property
    def full(self) -> bool:
        """Whether the disk had no room for what is not urgent, and has none yet. Raises
        StoreError."""
        if self._full:
            with self._in_use():
                self._full = not self._ballast.room()
        return self._full

    def _do(self, action: Callable[[], None], *, urgent: bool) -> None:
        """Do it; if it is urgent and the disk is full, give the reserve up and do it again."""
        try:
            with self._in_use():
                action()
        except StoreError as error:
            self._full = self._full or error.code == "store.disk_full"
            if not (urgent and self._ballast.held and error.code == "store.disk_full"):
                raise
            with self._in_use():
                self._ballast.release()
                action()

    def _after_commit(self) -> None:
        """The batch is durable: nothing may say that it is not."""
        try:
            with self._in_use():
                self._checkpoint_if_due()
        except StoreError:
            # No room, or the device failed, in which case the next use says so.
            self._log_pages_next *= 2

    def _checkpoint_if_due(self) -> None:
        if unmoved_pages(self._connection) >= self._log_pages_next:
            self._checkpoint()

    def _checkpoint(self, *, cut: bool = False) -> None:
        # Written here and not in every commit, where it would cost a page each.
        self._transact(lambda cursor: _write_totals(cursor, self._carried))
        checkpoint(self._connection, self._database, cut=cut)
        self._log_pages_next = LOG_PAGES_MAX

    def _transact(self, write: Callable[[dbapi2.Cursor], _Result]) -> _Result:
        """Run `write` in one transaction; its result when that is durable."""
        cursor = self._connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            result = write(cursor)
            cursor.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise
        return result

    def _commit(self, batch: Batch) -> None:
        self._carried = self._transact(lambda cursor: self._write(cursor, batch))

    def _write(self, cursor: dbapi2.Cursor, batch: Batch) -> _Carried:
        """Write all of a batch; the result is what to carry in memory when it is durable."""
        totals, arrival = self._carried.totals, self._carried.last_arrival
        _write_state(cursor, batch)
        _write_contents(cursor, batch)
        if batch.rows:
            cursor.executemany(tables.ADD_ROW.sql, map(_row_values, count(arrival + 1), batch.rows))
            arrival += len(batch.rows)
            totals = dict(totals)
            for row in batch.rows:
                key = (row.line, row.side)
                totals[key] = totals.get(key, 0) + len(row.record) + OVERHEAD_BYTES
        if batch.heads:
            cursor.executemany(tables.SET_HEAD.sql, [_head_values(*head) for head in batch.heads])
            if cursor.rowcount != len(batch.heads):
                raise InvariantError("store.no_row")
        if batch.marks:
            cursor.executemany(tables.ADD_MARK.sql, [(None, *mark) for mark in batch.marks])
        audit_end = _write_audit(cursor, self._carried.audit_end, batch.audit)
        return _Carried(totals, arrival, audit_end)

    # Reading

    def _read_carried(self) -> _Carried:
        totals, last_arrival = {}, 0
        for line, side, used, counted in self._all(tables.TOTALS):
            totals[line, side] = used
            last_arrival = max(last_arrival, counted)
        for line, side, length, arrival in self._all(tables.UNCOUNTED, after=last_arrival):
            totals[line, side] = totals.get((line, side), 0) + length + OVERHEAD_BYTES
            last_arrival = arrival
        position, last_hash = self._one(tables.AUDIT_LAST) or (0, START)
        return _Carried(totals, last_arrival, (position, last_hash))

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        if self._refusal is not None:
            raise self._refusal
        try:
            with told_as_ours():
                yield
        except StoreError as error:
            if error.code in (IO_FAILED, DAMAGED):
                self._refusal = error
            raise

    def _all(self, statement: tables.Statement, **values: object) -> list[tuple[Any, ...]]:
        with self._in_use():
            cursor = self._connection.execute(statement.sql, statement.bind(**values))
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found

    def _one(self, statement: tables.Statement, **values: object) -> tuple[Any, ...] | None:
        found = self._all(statement, **values)
        return found[0] if found else None

    def _rows(self, statement: tables.Statement, **values: object) -> list[Row]:
        with self._in_use():
            found = self._all(statement, **values)
            for row in found:
                _checked(row[_RECORD], row[-1])
            return [Row._make(row[:-1]) for row in found]

    def lines(self) -> list[int]:
        """Numbers of the lines that have any state, ascending, without 0."""
        return [line for (line,) in self._all(tables.LINES)]

    def state(self, line: int) -> dict[str, bytes]:
        """All named blobs of a line."""
        with self._in_use():
            found = self._all(tables.STATE_OF, the_line=line)
            return {name: _checked(value, kept) for name, value, kept in found}

    def row(
        self, line: int, side: int, number: int, incarnation: int, variant: int = 0
    ) -> Row | None:
        """One row."""
        found = self._rows(
            tables.ROW,
            the_line=line,
            the_side=side,
            the_number=number,
            the_incarnation=incarnation,
            the_variant=variant,
        )
        return found[0] if found else None

    def variants(self, line: int, side: int, number: int) -> list[Row]:
        """All rows with this number, by incarnation and variant."""
        return self._rows(tables.VARIANTS, the_line=line, the_side=side, the_number=number)

    def head(self, line: int, side: int, number: int) -> bytes | None:
        """The chain head after this number, if a row of the chain holds it."""
        found = self._one(tables.HEAD, the_line=line, the_side=side, the_number=number)
        return None if found is None else found[0]

    def chain(self, line: int, side: int, first: int, limit: int) -> list[Row]:
        """Up to `limit` rows of variant 0, standing CHAINED, number ≥ first, in number order."""
        return self._rows(tables.CHAIN, the_line=line, the_side=side, first=first, count=limit)

    def arrivals(
        self,
        line: int | None,
        after: int,
        limit: int,
        *,
        side: int | None = None,
        kinds: Sequence[int] | None = None,
        newest: bool = False,
        aside: bool = False,
    ) -> list[Row]:
        """Rows with arrival > after in arrival order; `newest` gives the last `limit` of them,
        `aside` only those that are not CHAINED.
        """
        statement = tables.arrivals(
            line=line is not None,
            side=side is not None,
            kinds=None if kinds is None else len(kinds),
            newest=newest,
            aside=aside,
        )
        values = {f"kind_{place}": kind for place, kind in enumerate(kinds or ())}
        found = self._rows(
            statement, after=after, count=limit, the_line=line, the_side=side, **values
        )
        return found[::-1] if newest else found

    def unmarked(
        self, after: int, limit: int, *, side: int, kind: int, marks: Sequence[int]
    ) -> list[Row]:
        """Up to `limit` CHAINED rows with arrival > after that bear none of these marks."""
        values = {f"mark_{place}": mark for place, mark in enumerate(marks)}
        statement = tables.unmarked(len(marks))
        return self._rows(
            statement, after=after, count=limit, the_side=side, the_kind=kind, **values
        )

    def marks(self, line: int, side: int, number: int, incarnation: int) -> list[Mark]:
        """Marks on one record in the order they came."""
        found = self._all(
            tables.MARKS,
            the_line=line,
            the_side=side,
            the_number=number,
            the_incarnation=incarnation,
        )
        return list(map(Mark._make, found))

    def content(self, name: str, portion: int) -> bytes | None:
        """A portion of a file that is not in the record yet."""
        with self._in_use():
            found = self._one(tables.PORTION_OF, the_name=name, the_portion=portion)
            return None if found is None else _checked(*found)

    def bytes_used(self, line: int, side: int) -> int:
        """What the records of a line and side take, each with OVERHEAD_BYTES."""
        with self._in_use():
            return self._carried.totals.get((line, side), 0)

    def audit(self, after: int = 0) -> Iterator[AuditEntry]:
        """The audit log from after that position on; read in pages, so that commits may go on."""
        while page := self._all(tables.AUDIT_AFTER, after=after, count=_AUDIT_PAGE):
            for position, *entry, kept in page:
                yield AuditEntry(position, Audit._make(entry), kept)
            after = page[-1][0]

    def free_bytes(self) -> int:
        """Bytes that can still be written there, the disk reserve not counted."""
        with self._in_use():
            return self._ballast.free_bytes()

    def close(self) -> None:
        """Checkpoint, truncate the write-ahead log, and let the lock go; again is harmless.

        Raises StoreError if the log could not be moved: the record is whole none the less, and the
        store closed.
        """
        if self._connection is None:
            return
        try:
            if self._refusal is None:
                self._do(lambda: self._checkpoint(cut=True), urgent=True)
        finally:
            self._refusal = StoreError("store.closed")
            self._connection.close()
            self._connection = None
            self._lock.release()


def _checked(value: bytes, kept: int) -> bytes:
    if tables.checksum(value) != kept:
        raise StoreError(DAMAGED)
    return value


def _write_totals(cursor: dbapi2.Cursor, carried: _Carried) -> None:
    """Note the totals of all rows so far."""
    written = [(*key, used, carried.last_arrival) for key, used in carried.totals.items()]
    cursor.executemany(tables.SET_TOTAL.sql, written)


def _row_values(arrival: int, row: Row) -> tuple[object, ...]:
    """Parameters of ADD_ROW."""
    return (
        arrival,
        row.line,
        row.side,
        row.number,
        row.incarnation,
        row.variant,
        row.kind,
        row.precedence,
        row.standing,
        row.wall_s,
        tables.checksum(row.record),
        row.head,
        row.record,
    )


def _head_values(
    line: int, side: int, number: int, incarnation: int, head: bytes | None, standing: int
) -> tuple[object, ...]:
    """Parameters of SET_HEAD."""
    return standing, head, line, side, number, incarnation, 0


def _write_state(cursor: dbapi2.Cursor, batch: Batch) -> None:
    for (line, name), value in batch.state.items():
        if value is None:
            cursor.execute(tables.DELETE_STATE.sql, (line, name))
        else:
            cursor.execute(tables.SET_STATE.sql, (line, name, tables.checksum(value), value))


def _write_contents(cursor: dbapi2.Cursor, batch: Batch) -> None:
    for (name, portion), value in batch.contents.items():
        if value is None:
            cursor.execute(tables.DELETE_PORTION.sql, (name, portion))
        else:
            cursor.execute(tables.SET_PORTION.sql, (name, portion, tables.checksum(value), value))


def _write_audit(
    cursor: dbapi2.Cursor, end: tuple[int, bytes], entries: Sequence[Audit]
) -> tuple[int, bytes]:
    """Append entries after `end` (position, hash); the new end."""
    position, previous = end
    written = []
    for entry in entries:
        position, previous = position + 1, link(previous, entry)
        written.append((position, *entry, previous))
    if written:
        cursor.executemany(tables.ADD_AUDIT.sql, written)
    return position, previous
