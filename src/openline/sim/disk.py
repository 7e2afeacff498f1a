"""A store in memory for the simulator: the store's contract, a world's faults, no files.

Theory of operation: a `MemoryStore` is one process's handle on a `_Disk`, which outlives it.
`commit` checks the whole batch, then applies it in one piece; a batch is on the disk or it is not.
The world may crash the post at the two instants that differ, through `fault`: before the batch is
durable, and after it is durable but before the post knows. It may put back old state with
`snapshot` and `restore`, fill the disk with `full`, and start the next process with `reopen`. What
lies below the contract (torn pages, lying caches) is not simulated here: tests/store does that to
the real store.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile

from openline.errors import InvariantError, StoreError
from openline.store.audit import START, link
from openline.store.base import CHAINED, OVERHEAD_BYTES, Audit, AuditEntry, Batch, Mark, Row

CAPACITY_BYTES = 1 << 40
"""What an empty simulated disk has free."""

_Key = tuple[int, int, int, int, int]


def _key(row: Row) -> _Key:
    return row.line, row.side, row.number, row.incarnation, row.variant


@dataclass
class _Disk:
    """What survives a process."""

    state: dict[int, dict[str, bytes]] = field(default_factory=dict)
    contents: dict[tuple[str, int], bytes] = field(default_factory=dict)
    rows: dict[_Key, Row] = field(default_factory=dict)
    arrivals: list[Row] = field(default_factory=list)
    """As committed, in order; `rows` has the present head and standing of each."""
    numbers: dict[tuple[int, int], list[tuple[int, int, int]]] = field(default_factory=dict)
    """(line, side) → sorted (number, incarnation, variant)."""
    used: dict[tuple[int, int], int] = field(default_factory=dict)
    marks: dict[tuple[int, int, int, int], list[Mark]] = field(default_factory=dict)
    said: set[tuple[int, ...]] = field(default_factory=set)
    audit: list[Audit] = field(default_factory=list)
    last_arrival: int = 0

    def copy(self) -> _Disk:
        return _Disk(
            {line: dict(named) for line, named in self.state.items()},
            dict(self.contents),
            dict(self.rows),
            list(self.arrivals),
            {place: list(numbers) for place, numbers in self.numbers.items()},
            dict(self.used),
            {place: list(marks) for place, marks in self.marks.items()},
            set(self.said),
            list(self.audit),
            self.last_arrival,
        )


@dataclass(frozen=True)
class Snapshot:
    """The whole of a disk at one instant, to be given to `MemoryStore.restore`; opaque."""

    disk: _Disk


class MemoryStore:
    """A Store in memory. `fault` and `full` are the world's to set."""

    def __init__(self) -> None:
        self._disk = _Disk()
        self._closed = False
        self._hashes: list[bytes] = []
        self.fault: Callable[[str], None] = lambda _instant: None
        """Called with "before" and "after" at each commit; what it raises leaves `commit`."""
        self.full = False
        """While true, a commit raises StoreError("store.disk_full") and changes nothing."""

    # The world's side

    def snapshot(self) -> Snapshot:
        """A copy of everything durable."""
        return Snapshot(self._disk.copy())

    def restore(self, snapshot: Snapshot) -> None:
        """Put back what `snapshot` held; it may be used again."""
        self._disk = snapshot.disk.copy()
        self._hashes = []

    def erase(self, line: int, names: Sequence[str]) -> None:
        """Take named blobs of a line away from the disk, as if they had never been there."""
        for name in names:
            del self._disk.state[line][name]

    def reopen(self) -> MemoryStore:
        """The store as the next process finds it; this handle is closed."""
        following = MemoryStore()
        following._disk, following.fault, following.full = self._disk, self.fault, self.full
        self._closed = True
        return following

    # Writing

    def commit(self, batch: Batch) -> None:
        """Make the whole batch durable, or raise and leave nothing of it.

        Raises StoreError (store.disk_full, store.closed), InvariantError (store.duplicate_row,
        store.no_row) and what `fault` raises.
        """
        self._check_open()
        if not batch:
            return
        self._check_batch(batch)
        if self.full:
            raise StoreError("store.disk_full")
        self.fault("before")
        self._apply(batch)
        self.fault("after")

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("store.closed")

    def _check_batch(self, batch: Batch) -> None:
        held, fresh = self._disk.rows, set[_Key]()
        for row in batch.rows:
            key = _key(row)
            if key in fresh or key in held:
                raise InvariantError(
                    "store.duplicate_row", line=row.line, side=row.side, number=row.number
                )
            fresh.add(key)
        for line, side, number, incarnation, _head, _standing in batch.heads:
            key = (line, side, number, incarnation, 0)
            if key not in fresh and key not in held:
                raise InvariantError("store.no_row", line=line, side=side, number=number)

    def _apply(self, batch: Batch) -> None:
        disk = self._disk
        for (line, name), value in batch.state.items():
            if value is not None:
                disk.state.setdefault(line, {})[name] = value
            elif line in disk.state:
                disk.state[line].pop(name, None)
                if not disk.state[line]:
                    del disk.state[line]
        for named, portion in batch.contents.items():
            disk.contents.pop(named, None)
            if portion is not None:
                disk.contents[named] = portion
        for row in batch.rows:
            self._add(row)
        for line, side, number, incarnation, head, standing in batch.heads:
            key = (line, side, number, incarnation, 0)
            disk.rows[key] = disk.rows[key]._replace(head=head, standing=standing)
        for mark in batch.marks:
            place = mark[:4]
            said = (*mark[:5], mark.by_number, mark.by_incarnation)
            if said not in disk.said:
                disk.said.add(said)
                disk.marks.setdefault(place, []).append(mark)
        disk.audit.extend(batch.audit)

    def _add(self, row: Row) -> None:
        disk = self._disk
        disk.last_arrival += 1
        row = row._replace(arrival=disk.last_arrival)
        disk.rows[_key(row)] = row
        disk.arrivals.append(row)
        place = (row.line, row.side)
        insort(disk.numbers.setdefault(place, []), (row.number, row.incarnation, row.variant))
        disk.used[place] = disk.used.get(place, 0) + len(row.record) + OVERHEAD_BYTES

    # Reading

    def lines(self) -> list[int]:
        """Numbers of the lines that have any state, ascending, without 0."""
        self._check_open()
        return sorted(line for line in self._disk.state if line)

    def state(self, line: int) -> dict[str, bytes]:
        """All named blobs of a line."""
        self._check_open()
        return dict(self._disk.state.get(line, {}))

    def row(
        self, line: int, side: int, number: int, incarnation: int, variant: int = 0
    ) -> Row | None:
        """One row."""
        self._check_open()
        return self._disk.rows.get((line, side, number, incarnation, variant))

    def variants(self, line: int, side: int, number: int) -> list[Row]:
        """All rows with this number, by incarnation and variant."""
        following = self._from(line, side, number)
        return list(takewhile(lambda row: row.number == number, following))

    def head(self, line: int, side: int, number: int) -> bytes | None:
        """The chain head after this number, if a row of the chain holds it."""
        for row in self.variants(line, side, number):
            if row.standing == CHAINED and row.head is not None:
                return row.head
        return None

    def chain(self, line: int, side: int, first: int, limit: int) -> list[Row]:
        """Up to `limit` rows of variant 0, standing CHAINED, number ≥ first, in number order."""
        chained: list[Row] = []
        for row in self._from(line, side, first):
            if len(chained) >= limit:
                break
            if row.standing == CHAINED and row.variant == 0:
                chained.append(row)
        return chained

    def _from(self, line: int, side: int, first: int) -> Iterator[Row]:
        self._check_open()
        numbers = self._disk.numbers.get((line, side), [])
        for index in range(bisect_left(numbers, (first, -1, -1)), len(numbers)):
            yield self._disk.rows[(line, side, *numbers[index])]

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
        """Rows with arrival > after in arrival order; `newest` gives the last `limit` of them."""
        self._check_open()
        arrivals = self._disk.arrivals
        start = bisect_right(arrivals, after, key=lambda row: row.arrival)
        places = range(start, len(arrivals))
        found: list[Row] = []
        for place in reversed(places) if newest else places:
            if len(found) >= limit:
                break
            row = arrivals[place]
            if (
                (line is None or row.line == line)
                and (side is None or row.side == side)
                and (kinds is None or row.kind in kinds)
                and not (aside and self._disk.rows[_key(row)].standing == CHAINED)
            ):
                found.append(self._disk.rows[_key(row)])
        return found[::-1] if newest else found

    def unmarked(
        self, after: int, limit: int, *, side: int, kind: int, marks: Sequence[int]
    ) -> list[Row]:
        """Up to `limit` CHAINED rows with arrival > after that bear none of these marks."""
        self._check_open()
        rows = (self._disk.rows[_key(row)] for row in self._disk.arrivals if row.arrival > after)
        found = (
            row
            for row in rows
            if (row.side, row.kind, row.standing) == (side, kind, CHAINED)
            if not any(mark.kind in marks for mark in self._disk.marks.get(_key(row)[:4], []))
        )
        return list(islice(found, limit))

    def marks(self, line: int, side: int, number: int, incarnation: int) -> list[Mark]:
        """Marks on one record in the order they came."""
        self._check_open()
        return list(self._disk.marks.get((line, side, number, incarnation), []))

    def content(self, name: str, portion: int) -> bytes | None:
        """A portion of a file that is not in the record yet."""
        self._check_open()
        return self._disk.contents.get((name, portion))

    def bytes_used(self, line: int, side: int) -> int:
        """What the records of a line and side take, each with OVERHEAD_BYTES."""
        self._check_open()
        return self._disk.used.get((line, side), 0)

    def audit(self, after: int = 0) -> Iterator[AuditEntry]:
        """The audit log from after that position on; hashes are made when first asked for."""
        self._check_open()
        entries, hashes = self._disk.audit, self._hashes
        for entry in entries[len(hashes) :]:
            hashes.append(link(hashes[-1] if hashes else START, entry))
        for place in range(after, len(entries)):
            yield AuditEntry(place + 1, entries[place], hashes[place])

    def free_bytes(self) -> int:
        """Bytes that can still be written."""
        return 0 if self.full else CAPACITY_BYTES - sum(self._disk.used.values())

    def close(self) -> None:
        """End this process's use of the store; `reopen` gives the next one's."""
        self._closed = True
