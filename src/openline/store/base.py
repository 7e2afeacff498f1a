"""The store's contract: what the post needs of a durable record, and nothing of how it is kept.

Theory of operation: a step of the post gathers all it changes in one `Batch`; `commit` makes the
whole batch durable or leaves nothing of it and raises StoreError. After `commit` returns, the batch
survives SIGKILL and power loss. Reads see committed state only. A store belongs to one process.
State is small named blobs per line (line 0 is the post itself); rows are the records in both
directions; marks are what receipts said of a record; contents are files on their way into the
record, in portions. Deciding does not live here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

OURS = 0
THEIRS = 1

CHAINED = 0
"""Row.standing: in the chain, or waiting for a gap before it to be filled (head None)."""
ABANDONED = 1
"""Row.standing: off the branch the chain follows (R21, R22)."""
FORKED = 2
"""Row.standing: another text for a serial already held (R24)."""

OVERHEAD_BYTES = 256
"""What a record counts beside its own bytes, since it takes more of the disk than those.

Measured on SQLCipher: 110 with its head and its places in the indexes, 60 more with a mark; at the
worst, records of half a page each, a page for every one.
"""


class Row(NamedTuple):
    """One record as kept. Its key is (line, side, number, incarnation, variant)."""

    line: int
    side: int
    number: int
    incarnation: int
    record: bytes
    head: bytes | None
    """32 bytes: chain head after this record; None while a gap precedes it or it is off the chain.
    """
    wall_s: int
    """Label: when it was released or arrived."""
    kind: int
    """Copied out of the record, for queries."""
    precedence: int
    standing: int = CHAINED
    variant: int = 0
    """0 for the first text of a serial, 1… for forks."""
    arrival: int = 0
    """Set by the store on reading: rises with every row committed, over all lines."""


class Mark(NamedTuple):
    """A receipt about record (side, incarnation, number): `by_side` says whose people, `kind` what
    they did.
    """

    line: int
    side: int
    number: int
    incarnation: int
    kind: int
    wall_s: int
    due_s: int | None = None
    by_number: int = 0
    by_incarnation: int = 0


class Audit(NamedTuple):
    """A local act as logged: the store adds position and hash chain (hash = SHA-256(previous ‖
    entry)).
    """

    wall_s: int
    actor: str
    act: str
    details: str
    """A JSON object of safe values: serials, counts, line numbers; never text."""


@dataclass
class Batch:
    """All one step changes, committed as one."""

    state: dict[tuple[int, str], bytes | None] = field(default_factory=dict)
    """(line, name) → value; None deletes."""
    rows: list[Row] = field(default_factory=list)
    """New rows. A key that exists already is an InvariantError."""
    heads: list[tuple[int, int, int, int, bytes | None, int]] = field(default_factory=list)
    """(line, side, number, incarnation, head, standing) to set on variant 0 of existing rows (or
    rows of this batch).
    """
    marks: list[Mark] = field(default_factory=list)
    """New marks; one equal in (line, side, number, incarnation, kind, by_number, by_incarnation) to
    an existing one is ignored.
    """
    audit: list[Audit] = field(default_factory=list)
    contents: dict[tuple[str, int], bytes | None] = field(default_factory=dict)
    """(name, portion) → a portion of a file that is not in the record yet; None deletes."""

    urgent: bool = False
    """The batch must pass (acks, FLASH): it may use the disk reserve when the disk is full."""

    def left(self, line: int, state: Mapping[str, bytes]) -> dict[str, bytes]:
        """The named state of a line as this batch leaves it."""
        changed = {name: value for (each, name), value in self.state.items() if each == line}
        named = {**state, **changed}.items()
        return {name: value for name, value in named if value is not None}

    def __bool__(self) -> bool:
        changed = (self.state, self.rows, self.heads, self.marks, self.audit, self.contents)
        return any(changed)


class AuditEntry(NamedTuple):
    """One entry of the audit log as read back."""

    position: int
    entry: Audit
    hash: bytes


class Store(Protocol):
    """A durable record. Every method may raise StoreError."""

    def commit(self, batch: Batch) -> None:
        """Make the whole batch durable, or nothing of it (StoreError)."""

    def lines(self) -> list[int]:
        """Numbers of the lines that have any state, ascending, without 0."""

    def state(self, line: int) -> dict[str, bytes]:
        """All named blobs of a line."""

    def row(
        self, line: int, side: int, number: int, incarnation: int, variant: int = 0
    ) -> Row | None:
        """One row."""

    def variants(self, line: int, side: int, number: int) -> list[Row]:
        """All rows with this number: incarnations and forks."""

    def head(self, line: int, side: int, number: int) -> bytes | None:
        """The chain head after this number, if a row of the chain holds it (standing CHAINED, head
        set).
        """

    def chain(self, line: int, side: int, first: int, limit: int) -> list[Row]:
        """Up to `limit` rows of variant 0, standing CHAINED, number ≥ first, in number order (head
        may be None).
        """

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
        """Rows with arrival > after in arrival order; `newest` gives the last `limit` of them
        (still ascending), `aside` only those that are not CHAINED, without reading the others.
        """

    def unmarked(
        self, after: int, limit: int, *, side: int, kind: int, marks: Sequence[int]
    ) -> list[Row]:
        """Up to `limit` CHAINED rows with arrival > after, in arrival order, that bear none of
        these marks: what still waits for somebody. Its cost is that of the rows passed over, so
        `after` should be where the last answer began.
        """

    def marks(self, line: int, side: int, number: int, incarnation: int) -> list[Mark]:
        """Marks on one record in the order they came."""

    def content(self, name: str, portion: int) -> bytes | None:
        """A portion of a file that is not in the record yet."""

    def bytes_used(self, line: int, side: int) -> int:
        """What the records of a line and side take: of each its bytes and OVERHEAD_BYTES. Called
        at start; the post counts on from there.
        """

    def audit(self, after: int = 0) -> Iterator[AuditEntry]:
        """The audit log from after that position on."""

    @property
    def full(self) -> bool:
        """Whether the disk had no room for what is not urgent, and has none yet."""

    def free_bytes(self) -> int:
        """Bytes that can still be written where the record is kept."""

    def close(self) -> None:
        """Checkpoint, truncate the write-ahead log, and let the lock go."""
