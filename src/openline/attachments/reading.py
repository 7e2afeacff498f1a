"""A file out of the record: portion by portion, so that it is nowhere whole in memory.

Theory of operation: the chunks stand in the chain behind the FILE, in order; those of a branch that
was left stand aside and are looked for when the chain does not have them. Who reads on names where
the last portion ended. The hash of a file of theirs was checked when it was whole; whoever writes
it somewhere checks it again. Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..attached import PORTION_BYTES
from ..core import receipts
from ..core.envelope import decode_record
from ..errors import LocalError
from ..store.base import Row, Store
from .bodies import FileSaid
from .taking import part_of

_PAGE = 64
_LOOKED_MAX = 1_024
"""Records read for one portion; what is found by then is the portion, and may be nothing."""


class Portion(NamedTuple):
    """A portion of a file, and where to read on: None at the end."""

    data: bytes
    at: tuple[int, int, int] | None


def portion(store: Store, row: Row, said: FileSaid, at: Sequence[int] = ()) -> Portion:
    """What follows in the file whose FILE is `row` after `at`, (stage, chunk, place), from its
    beginning if that is empty. Raises LocalError("attachment.not_whole")."""
    stage, index, place = at or (0, 0, row.number)
    serial, data, looked = decode_record(row.record).serial, b"", 0
    while index < said.chunks and len(data) < PORTION_BYTES:
        for found in _rows(store, row, stage, place):
            place, looked = found.arrival if stage else found.number, looked + 1
            part = part_of(decode_record(found.record), serial, index, said)
            if part:
                data, index = data + part, index + 1
                break
            if looked >= _LOOKED_MAX:
                return Portion(data, (stage, index, place))
        else:
            if stage:
                raise LocalError("attachment.not_whole")
            stage, place = 1, 0
    return Portion(data, (stage, index, place) if index < said.chunks else None)


def _rows(store: Store, file: Row, stage: int, after: int) -> Iterator[Row]:
    """The records after a number in the chain, or those aside after an arrival."""
    while True:
        if stage:
            page = store.arrivals(
                *(file.line, after, _PAGE), side=file.side, kinds=[receipts.CHUNK], aside=True
            )
        else:
            page = store.chain(file.line, file.side, after + 1, _PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].arrival if stage else page[-1].number
