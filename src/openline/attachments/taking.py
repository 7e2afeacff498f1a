"""Taking: how the files of the other side are counted, and found to be what was said of them.

Theory of operation: FILEs and CHUNKs are records of the other side's chain like any other, kept as
they came; nothing is put together here. When the chain has reached them they are read in its order,
by a cursor that is kept with what it found: a FILE is marked on its text, and of each file that is
coming only the count of its chunks is kept, for they come in order. The last one starts the
checking of the hash, a slice in each step, and reading goes on when that has ended: so a file that
is all here is never among those given up because too many are coming. The mark on the FILE then
says what it is. What refers
to nothing, does not fit or comes out of order changes nothing but the count of faults. A branch
that is left, or records that were lost and are restored, make the cursor go back; chunks that are
counted already are passed over.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from ..core import limits, receipts
from ..core.envelope import Record, decode_record
from ..core.events import Serial
from ..core.line import Line
from ..core.transcript import THEIRS
from ..errors import RemoteError
from ..ledger import LineLedger
from ..store.base import Store
from .bodies import BROKEN, STOPPED, WHOLE, Chunk, FileSaid

_ROWS = 256
"""Records read, and chunks hashed, in one step."""
_ENDED = {WHOLE, BROKEN, STOPPED}
_FOR_WANT_OF_OTHERS = ("file.reference", "chunk.reference", "chunk.order")


@dataclass
class _Coming:
    """A file of theirs that is coming, or is all here and being checked."""

    said: FileSaid
    count: int = 0


@dataclass
class _Check:
    """A file that is being hashed."""

    file: Serial
    made: Any
    after: int
    """The number of theirs up to which its chunks were read."""
    index: int = 0


class Taker:
    """The taking side of one line."""

    def __init__(
        self, line: Line, ledger: LineLedger, store: Store, number: int, saved: bytes | None
    ) -> None:
        self._line = line
        self._ledger = ledger
        self._store = store
        self._number = number
        self._coming: dict[Serial, _Coming] = {}
        """By the serial of the FILE, the one begun first at the front."""
        self._cursor = line.reception.contiguous
        """Up to where their chain was read."""
        self._top = 0
        """The highest number of a FILE or CHUNK that came; above the cursor, it is to be read."""
        self._check: _Check | None = None
        self.dirty = False
        if saved is not None:
            self._cursor, self._top, coming = json.loads(saved)
            for incarnation, number_of, count in coming:
                serial = Serial(incarnation, number_of)
                record = decode_record(ledger.get(THEIRS, serial) or b"")
                self._coming[serial] = _Coming(FileSaid.decode(record.body), count)

    def save(self) -> bytes:
        """What a restart needs."""
        self.dirty = False
        coming = [[*serial, each.count] for serial, each in self._coming.items()]
        return json.dumps([self._cursor, self._top, coming]).encode()

    def counts(self) -> dict[Serial, int]:
        """How many chunks are here of each file that is coming."""
        return {serial: each.count for serial, each in self._coming.items()}

    def hear(self, record: Record) -> None:
        """A FILE or CHUNK of theirs is in the chain, or waits before a gap."""
        contiguous = self._line.reception.contiguous
        if self._top <= self._cursor:
            # Nothing was to be read: the cursor goes along with the chain.
            self._cursor = contiguous
        self._cursor = min(self._cursor, contiguous, record.number - 1)
        self._top = max(self._top, record.number)
        self.dirty = True

    def work(self) -> bool:
        """Read on and check; whether more can be done at once."""
        more = False
        if self._top > self._cursor and self._complete() is None:
            more = self._read_on()
        self._start_check()
        return self._hash_on() or more

    # -- reading the chain --------------------------------------------------------------------

    def _read_on(self) -> bool:
        contiguous = self._line.reception.contiguous
        self._cursor = min(self._cursor, contiguous)
        if self._cursor == contiguous:
            return False
        end = min(contiguous, self._top)
        for rows, (serial, data) in enumerate(self._ledger.following(THEIRS, self._cursor)):
            if serial.number > end:
                break
            if rows >= _ROWS:
                return True
            self._cursor, self.dirty = serial.number, True
            record = decode_record(data)
            try:
                if record.kind == receipts.FILE:
                    self._file(record)
                elif record.kind == receipts.CHUNK:
                    self._chunk(record)
                    if self._complete() is not None:
                        return True
            except RemoteError as error:
                # Where records are lost, what is missing is nobody's mistake.
                if not (self._line.reception.lost and error.code in _FOR_WANT_OF_OTHERS):
                    self._line.fault(error)
        self._cursor, self.dirty = end, True
        return False

    def _named(self, record: Record, kind: int, code: str) -> Record:
        """The one record of its own author that a record refers to. Raises RemoteError."""
        of = _of(record)
        data = self._ledger.get(THEIRS, of) if of is not None else None
        named = decode_record(data) if data is not None else None
        if named is None or named.kind != kind or named.number >= record.number:
            raise RemoteError(code, number=record.number)
        return named

    def _marks(self, serial: Serial) -> list[tuple[int, Serial]]:
        """The marks on a record of theirs, those of this step too: (kind, by)."""
        place = (self._number, THEIRS, serial.number, serial.incarnation)
        marks = self._store.marks(*place)
        marks += [mark for mark in self._ledger.batch.marks if mark[:4] == place]
        return [(mark.kind, Serial(mark.by_incarnation, mark.by_number)) for mark in marks]

    def _file(self, record: Record) -> None:
        FileSaid.decode(record.body)
        text = self._named(record, receipts.TEXT, "file.reference")
        files = {by for kind, by in self._marks(text.serial) if kind == receipts.FILE}
        if record.serial not in files:
            if len(files) >= limits.FILES_MAX:
                raise RemoteError("file.too_many", number=record.number)
            self._ledger.mark(THEIRS, text.serial, receipts.FILE, record.serial)
            self._line.tell("file", number=record.number)

    def _chunk(self, record: Record) -> None:
        chunk, file = Chunk.decode(record.body), _of(record)
        coming = self._coming.get(file) if file is not None else None
        if coming is None:
            coming = self._begun(record, chunk)
        if coming is None or file is None:
            return
        if not chunk.data:
            self._end(file, STOPPED)
        elif chunk.at < coming.count:
            return
        elif chunk.at > coming.count:
            raise RemoteError("chunk.order", number=record.number)
        elif len(chunk.data) != coming.said.length(chunk.at):
            raise RemoteError("chunk.length", number=record.number)
        else:
            coming.count += 1

    def _begun(self, record: Record, chunk: Chunk) -> _Coming | None:
        """A file that is not coming yet begins with its first chunk; None for one that has ended.
        Raises RemoteError."""
        file = self._named(record, receipts.FILE, "chunk.reference")
        said = FileSaid.decode(file.body)
        ended = {kind for kind, _ in self._marks(file.serial)} & _ENDED
        if ended:
            if chunk.data and ended == {STOPPED}:
                raise RemoteError("chunk.order", number=record.number)
            return None
        text = _of(file)
        if text is None or (receipts.FILE, file.serial) not in self._marks(text):
            raise RemoteError("chunk.reference", number=record.number)
        if len(self._coming) >= limits.FILES_OPEN_MAX:
            # An honest sender has a few at most; the rest of this one will be out of order.
            self._coming.pop(next(iter(self._coming)))
        coming = self._coming[file.serial] = _Coming(said)
        return coming

    def _end(self, file: Serial, mark: int) -> None:
        self._coming.pop(file, None)
        self.dirty = True
        self._ledger.mark(THEIRS, file, mark, file)
        name = {WHOLE: "file.whole", BROKEN: "file.broken"}.get(mark, "file.stopped")
        self._line.tell(name, number=file.number)

    # -- checking -----------------------------------------------------------------------------

    def _start_check(self) -> None:
        file = self._complete()
        if self._check is None and file is not None:
            self._check = _Check(file, sha256(), file.number)

    def _complete(self) -> Serial | None:
        """A file of which all chunks are here, if there is one."""
        coming = self._coming.items()
        return next((file for file, each in coming if each.count == each.said.chunks), None)

    def _hash_on(self) -> bool:
        check = self._check
        coming = self._coming.get(check.file) if check is not None else None
        if check is None or coming is None:
            self._check = None
            return False
        for rows, (serial, data) in enumerate(self._ledger.following(THEIRS, check.after)):
            if rows >= _ROWS:
                return True
            check.after = serial.number
            part = part_of(decode_record(data), check.file, check.index, coming.said)
            if part:
                check.made.update(part)
                check.index += 1
            if check.index == coming.said.chunks:
                good = check.made.digest() == coming.said.digest
                self._check = None
                self._end(check.file, WHOLE if good else BROKEN)
                if not good:
                    self._line.fault(RemoteError("file.hash", number=check.file.number))
                return True
        # They left the branch it stood on: it comes again, or is counted anew from what is there.
        coming.count, self._check, self.dirty = check.index, None, True
        return True


def part_of(record: Record, file: Serial, index: int, said: FileSaid) -> bytes:
    """The data of chunk `index` of a file, if the record is this chunk; else nothing."""
    if record.kind != receipts.CHUNK or _of(record) != file:
        return b""
    try:
        chunk = Chunk.decode(record.body)
    except RemoteError:
        return b""
    fits = chunk.at == index and len(chunk.data) == said.length(index)
    return chunk.data if fits else b""


def _of(record: Record) -> Serial | None:
    """The one record of its own author that a record refers to."""
    of = record.references[0] if len(record.references) == 1 else None
    return of.serial if of is not None and of.ours else None
