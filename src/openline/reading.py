"""The order in which the two chains of a line are read: one stream for people.

Theory of operation: both chains are read from the store in pages and merged; nothing is kept, so
that a record of any length can be read. What of a record a reader gets is decided in views.
"""

from __future__ import annotations

from collections.abc import Iterator

from .core.envelope import decode_record
from .healing import shown
from .store.base import OURS, THEIRS, Row, Store

PAGE = 256
"""Rows read from the store at a time."""


def _chain(store: Store, line: int, side: int, after: int) -> Iterator[Row]:
    while page := store.chain(line, side, after + 1, PAGE):
        yield from page
        after = page[-1].number


def reading_order(store: Store, line: int, ours: int = 0, theirs: int = 0) -> Iterator[Row]:
    """The chained rows of a line above those numbers, merged for reading.

    Each side stays in serial order; between the sides a record stands where it and all before it
    had arrived, and after what it refers to. Both sides of a line may therefore read a different
    interleaving of the same record.
    """
    healed = "heal/take" in store.state(line)
    streams = (_chain(store, line, OURS, ours), _chain(store, line, THEIRS, theirs))
    heads = [next(stream, None) for stream in streams]
    reached = [ours, theirs]
    latest = [0, 0]
    while any(heads):
        ranked = [max(latest[side], row.arrival) if row else -1 for side, row in enumerate(heads)]
        side = OURS if heads[THEIRS] is None else THEIRS
        if all(heads):
            side = OURS if ranked[OURS] < ranked[THEIRS] else THEIRS
            if _refers(heads[side], reached[1 - side]) and not _refers(
                heads[1 - side], reached[side]
            ):
                side = 1 - side
        if healed and shown.was_lost(store, heads[THEIRS]):
            side, ranked[THEIRS] = THEIRS, latest[THEIRS]
        row = heads[side]
        if row is None:
            break
        yield row
        latest[side], reached[side] = ranked[side], row.number
        heads[side] = next(streams[side], None)


def _refers(row: Row | None, reached: int) -> bool:
    """Whether a row refers to a record of the other side beyond what was read so far."""
    if row is None:
        return False
    return any(
        not ours and serial[1] > reached for ours, serial in decode_record(row.record).references
    )
