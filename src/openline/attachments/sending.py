"""Sending: how a file of ours comes into the chain, a few chunks at a time.

Theory of operation: the FILE is released with its text; the content waits in the tray. Each step
releases as many chunks as the bearers can do with, so that what people write later does not stand
in the chain behind a whole file, and erases in the same commit the portions it has used up. The
file of the most urgent text goes first, those of one precedence in the order of their release.
Where each stands is state of the line: a process that is killed goes on from there. Which chunks
are held follows from their numbers, which are kept as runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..attached import PORTION_BYTES, Attached
from ..core import limits, receipts
from ..core.envelope import Record
from ..core.events import Now, Reference, Serial
from ..core.line import Line
from ..core.precedence import Precedence
from ..core.transcript import OURS
from ..errors import LocalError
from ..ledger import LineLedger
from .bodies import STOPPED, WHOLE, Chunk, FileSaid

_SLICE = 64
"""Chunks of one step."""
_RUNS_MAX = 64
_CHUNKS_PER_PORTION = PORTION_BYTES // limits.CHUNK_BYTES

Say = Callable[[Record, Now], Serial]
"""Releases a record if there is room for it; raises LocalError."""


class Contents(Protocol):
    """Where the content of files waits."""

    def portion(self, content: str, number: int) -> bytes:
        """A portion of a file. Raises LocalError."""

    def spend(self, content: str, number: int) -> None:
        """A portion is in the record."""

    def drop(self, content: str, now: Now) -> None:
        """A file is wanted no more."""


@dataclass
class Sending:
    """A file of ours that is not known to be held in full."""

    content: str
    file: Serial
    size: int
    level: int
    """The precedence of its text."""
    next: int = 0
    """The chunk to be released next."""
    runs: list[list[int]] = field(default_factory=list)
    """[chunk, number]: from that chunk on, numbers rise by one with the chunks."""

    @property
    def chunks(self) -> int:
        """How many chunks it has."""
        return -(-self.size // limits.CHUNK_BYTES)

    @property
    def last(self) -> int:
        """The number of the chunk released last; 0 for none."""
        return self.runs[-1][1] + self.next - 1 - self.runs[-1][0] if self.runs else 0

    def held(self, acked: int) -> int:
        """How many of its chunks are held, when all up to number `acked` is."""
        ends = [run[0] for run in self.runs[1:]] + [self.next]
        for (chunk, number), end in reversed(list(zip(self.runs, ends, strict=False))):
            if number <= acked:
                return min(end, chunk + acked - number + 1)
        return self.runs[0][0] if self.runs else 0

    def released(self, number: int) -> None:
        """The next chunk has this number."""
        if not self.runs or self.last + 1 != number:
            self.runs = [*self.runs, [self.next, number]][-_RUNS_MAX:]
        self.next += 1


class Sender:
    """The sending side of one line. `room` says how many chunks may be released now."""

    def __init__(
        self,
        line: Line,
        ledger: LineLedger,
        say: Say,
        room: Callable[[], int],
        saved: bytes | None,
    ) -> None:
        self._line = line
        self._ledger = ledger
        self._say = say
        self._room = room
        self.queue = [_read(each) for each in json.loads(saved)] if saved else []
        self.contents: Contents | None = None
        """Set by who holds the files."""
        self.paused = ""
        """The code of what keeps us from going on."""
        self.dirty = False

    def save(self) -> bytes:
        """What a restart needs."""
        self.dirty = False
        return json.dumps([list(vars(each).values()) for each in self.queue]).encode()

    def _left(self) -> list[Sending]:
        return [each for each in self.queue if each.next < each.chunks]

    def attach(self, text: Serial, level: int, said: Attached, now: Now) -> Serial:
        """Release the FILE of a text just released. Raises LocalError."""
        body = FileSaid(said.size, bytes.fromhex(said.digest), said.name).encode()
        serial = self._say(_record(receipts.FILE, text, body, now), now)
        self._ledger.mark(OURS, text, receipts.FILE, serial)
        self.queue.append(Sending(said.content, serial, said.size, level))
        self.dirty = True
        return serial

    def stop(self, file: Serial, now: Now) -> None:
        """Release no more of a file, and say so. Raises LocalError("attachment.not_sending")."""
        sending = next((each for each in self._left() if each.file == file), None)
        if sending is None:
            raise LocalError("attachment.not_sending")
        self._line.release(
            _record(receipts.CHUNK, file, Chunk(sending.next, b"").encode(), now), now
        )
        self._end(sending, STOPPED)
        if self.contents is not None:
            self.contents.drop(sending.content, now)

    def stop_all(self, now: Now) -> None:
        """The line ends: nothing more of any file goes over it."""
        for sending in self._left():
            self.stop(sending.file, now)

    def _end(self, sending: Sending, mark: int) -> None:
        self.queue.remove(sending)
        self.dirty = True
        self._ledger.mark(OURS, sending.file, mark, sending.file)
        name = "file.sent" if mark == WHOLE else "file.stopped"
        self._line.tell(name, number=sending.file.number)

    def settle(self) -> None:
        """Mark what the other machine holds in full."""
        for sending in list(self.queue):
            if sending.next == sending.chunks and sending.last <= self._line.acked:
                self._end(sending, WHOLE)

    def work(self, now: Now) -> bool:
        """Release the next few chunks; whether more can follow at once."""
        self.settle()
        left = self._left()
        if not left or self.contents is None:
            return False
        self.paused = ""
        try:
            for _ in range(min(_SLICE, self._room())):
                sending = max(left, key=lambda each: each.level)
                self._release(sending, now)
                left = self._left()
                if not left:
                    return False
        except LocalError as error:
            self.paused = error.code
            return False
        return self._room() > 0

    def _release(self, sending: Sending, now: Now) -> None:
        if self.contents is None:
            return
        number, at = divmod(sending.next, _CHUNKS_PER_PORTION)
        portion = self.contents.portion(sending.content, number)
        data = portion[at * limits.CHUNK_BYTES :][: limits.CHUNK_BYTES]
        body = Chunk(sending.next, data).encode()
        serial = self._say(_record(receipts.CHUNK, sending.file, body, now), now)
        sending.released(serial.number)
        self.dirty = True
        if sending.next % _CHUNKS_PER_PORTION == 0 or sending.next == sending.chunks:
            self.contents.spend(sending.content, number)


def _record(kind: int, of: Serial, body: bytes, now: Now) -> Record:
    at, named = now.wall_s, (Reference(True, of),)
    return Record(0, 0, Precedence.ROUTINE, kind, "", at, at, None, named, "", body)


def _read(saved: list[Any]) -> Sending:
    content, file, *rest = saved
    return Sending(content, Serial(*file), *rest)
