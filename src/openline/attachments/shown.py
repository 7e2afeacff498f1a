"""What people see of the files of a text: name, length, hash, and how far each is.

Theory of operation: as in views.py, built on demand from marks and from what is in motion; nothing
is worded. A name is raw, as the other side wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core import receipts
from ..core.envelope import decode_record
from ..core.events import Serial
from ..errors import LocalError
from ..store.base import OURS, Mark, Row, Store
from .bodies import BROKEN, STOPPED, WHOLE, FileSaid

Progress = Mapping[tuple[int, Serial], int]
"""(side, serial of the FILE) → chunks held."""

_STATES = {BROKEN: "broken", STOPPED: "stopped"}


def files_of(
    store: Store, row: Row, marks: Sequence[Mark], progress: Progress | None
) -> list[dict[str, Any]]:
    """The files of the text in `row`, in the order they were released. "state" is "whole" (here; of
    ours: held there), "coming" (of ours: on its way), "broken" or "stopped".
    Without `progress` the line has ended, and nothing moves on it any more."""
    found: list[dict[str, Any]] = []
    for mark in marks:
        if mark.kind != receipts.FILE:
            continue
        serial = Serial(mark.by_incarnation, mark.by_number)
        file = store.row(row.line, row.side, serial.number, serial.incarnation)
        if file is not None:
            found.append({"file": len(found) + 1, **_shown(store, file, serial, progress)})
    return found


def _shown(store: Store, file: Row, serial: Serial, progress: Progress | None) -> dict[str, Any]:
    said = FileSaid.decode(decode_record(file.record).body)
    marks = store.marks(file.line, file.side, serial.number, serial.incarnation)
    kinds = {mark.kind for mark in marks}
    held = (progress or {}).get((file.side, serial), 0)
    if WHOLE in kinds:
        state, held = "whole", said.chunks
    else:
        state = next((name for kind, name in _STATES.items() if kind in kinds), "coming")
        if state == "coming" and progress is None:
            state = "stopped"
    return {
        "serial": str(serial),
        "name": said.name,
        "bytes": said.size,
        "sha256": said.digest.hex(),
        "chunks": said.chunks,
        "held": held,
        "percent": 100 * held // said.chunks,
        "state": state,
    }


def file_row(store: Store, row: Row, which: int) -> tuple[Row, FileSaid]:
    """The FILE numbered `which`, from 1, of the text in `row`. Raises LocalError."""
    marks = store.marks(row.line, row.side, row.number, row.incarnation)
    files = [mark for mark in marks if mark.kind == receipts.FILE]
    if not 0 < which <= len(files):
        raise LocalError("attachment.none", file=which)
    mark = files[which - 1]
    file = store.row(row.line, row.side, mark.by_number, mark.by_incarnation)
    if file is None:
        raise LocalError("attachment.none", file=which)
    return file, FileSaid.decode(decode_record(file.record).body)


def whole(store: Store, file: Row) -> None:
    """Whether all of a file of theirs is here and is what was said. Raises LocalError."""
    marks = {m.kind for m in store.marks(file.line, file.side, file.number, file.incarnation)}
    if BROKEN in marks:
        raise LocalError("attachment.broken")
    if WHOLE not in marks and file.side != OURS:
        raise LocalError("attachment.not_whole")
