"""Giving: what our people let the other side have back.

Theory of operation: a HEAL of theirs is a request and changes nothing by itself. When a releaser of
ours has agreed, a few COPYs at a time are put on their way, the next when those are held, so that
what people write never waits behind a whole history and no commit grows with one. Where it stands
is state of the line, committed with what was given: a process that is killed goes on from there. A
continuity alarm ends the consent at once. Only what was asked is given: our own records up to the
number reached when the request came, and what we hold of theirs aside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

from ..core import receipts
from ..core.envelope import Record
from ..core.events import Now, Reference, Serial
from ..core.gaps import Range
from ..core.line import Line
from ..core.precedence import Precedence
from ..core.transcript import ABANDONED, OURS, THEIRS
from ..errors import LocalError
from ..ledger import LineLedger
from .bodies import GIVERS, READERS, Copy, decode_ranges, parts

_COPIES_MAX = 64
"""COPYs are released only while fewer records are on their way (R34)."""
_SLICE_BYTES = 32 * 1024
_PAGE = 256
_ASIDE, _CHAIN, _DONE = 0, 1, 2

NOTHING = Serial(0, 0)
"""The serial of no record."""

Say = Callable[[Record, Now], Serial]
"""Releases a record if there is room for it; raises LocalError."""


@dataclass
class Request:
    """What the other side asked for last, and how far we are with giving it."""

    asked: Serial = NOTHING
    """Of their HEAL; zeros: nothing was asked."""
    asked_s: int = 0
    ranges: list[Range] = field(default_factory=list)
    edge: int = 0
    """The highest number of ours that may be given."""
    actor: str = ""
    """Who agreed; empty while nobody has."""
    stage: int = _ASIDE
    after: int = 0
    """In stage _ASIDE the last arrival looked at, in stage _CHAIN our last number given."""
    theirs: int = 0
    ours: int = 0
    """How many records of theirs and of ours were given."""

    @property
    def done(self) -> bool:
        """Whether all was given."""
        return self.stage == _DONE

    def wanted(self) -> int:
        """How many of our records are asked for."""
        return sum(max(0, min(last, self.edge) - first + 1) for first, last in self.ranges)


class Giver:
    """The giving side of one line. `doubted` says whether the continuity alarm stands, `waiting`
    how many records of ours are on their way."""

    def __init__(
        self,
        line: Line,
        ledger: LineLedger,
        say: Say,
        waiting: Callable[[], int],
        doubted: Callable[[], bool],
        saved: bytes | None,
    ) -> None:
        self._line = line
        self._ledger = ledger
        self._say = say
        self._waiting = waiting
        self._doubted = doubted
        self.request = Request(**json.loads(saved)) if saved else Request()
        self.request.asked = Serial(*self.request.asked)
        self.paused = ""
        """The code of what keeps us from going on."""
        self.dirty = False

    def save(self) -> bytes:
        """What a restart needs."""
        self.dirty = False
        return json.dumps(asdict(self.request), separators=(",", ":")).encode()

    def hear(self, record: Record, now: Now) -> None:
        """A HEAL of theirs has come: the newest counts. Raises RemoteError."""
        ranges = decode_ranges(record.body)
        if self._stands() and record.number <= self.request.asked.number:
            return
        self.request = Request(record.serial, now.wall_s, ranges, self._line.number)
        self.dirty, self.paused = True, ""
        self._line.tell("heal.asked", number=record.number)

    def _stands(self) -> bool:
        """Whether their request is in the chain we follow; another post may have asked it."""
        serial = self.request.asked
        here = self._line.reception.branch.serial(serial.number)
        return bool(serial.number) and here == serial

    def missed(self) -> list[Range]:
        """Which numbers of ours they say are lost there and ask for, until all was given."""
        request = self.request
        if request.done or not self._stands():
            return []
        edge = request.edge
        return [(first, min(last, edge)) for first, last in request.ranges if first <= edge]

    def agree(self, actor: str) -> None:
        """A releaser of ours lets the other side have what it asks. Raises LocalError."""
        if self._doubted():
            raise LocalError("heal.alarm")
        if not self._stands() or self.request.asked.number > self._line.reception.contiguous:
            raise LocalError("heal.nothing_asked")
        if self.request.done:
            raise LocalError("heal.given")
        self.request.actor, self.dirty = actor, True

    @property
    def giving(self) -> bool:
        """Whether there is consent and something left to give."""
        return bool(self.request.actor) and not self.request.done

    def work(self, now: Now) -> bool:
        """Give the next few; whether more can follow at once."""
        if not self.giving:
            return False
        if self._doubted() or not self._stands():
            self.request.actor, self.dirty = "", True
            self._line.tell("heal.stopped", number=self.request.asked.number)
            return False
        self.paused = ""
        try:
            return self._give(now)
        except LocalError as error:
            self.paused = error.code
            return False

    def _give(self, now: Now) -> bool:
        """Raises LocalError when there is no room for more now."""
        request, size = self.request, 0
        for looked, (copy, stage, after) in enumerate(self._left()):
            if looked >= _PAGE:
                return True
            if copy.data and (self._waiting() >= _COPIES_MAX or size >= _SLICE_BYTES):
                return False
            if copy.data:
                self._release(copy, now)
                size += len(copy.data)
                request.theirs += copy.whose == READERS
                request.ours += copy.whose == GIVERS
            request.stage, request.after, self.dirty = stage, after, True
        self._release(Copy(GIVERS, b""), now)
        request.stage, self.dirty = _DONE, True
        self._line.tell("heal.given", ours=request.ours, theirs=request.theirs)
        details = {"number": request.asked.number, "ours": request.ours, "theirs": request.theirs}
        self._ledger.audit(request.actor, "heal_given", **details)
        return False

    def _left(self) -> Iterator[tuple[Copy, int, int]]:
        """What is still to be given, each with where we are after it; empty ones are passed over.

        Theirs come first: what people of ours did with them is in our own records.
        """
        request = self.request
        while request.stage == _ASIDE:
            page = self._ledger.aside(THEIRS, request.after, _PAGE)
            for row in page:
                wanted = row.standing == ABANDONED and row.kind not in receipts.SERVICE
                held = self._line.reception.branch.serial(row.number).incarnation
                if row.variant or held == row.incarnation:
                    wanted = False
                yield Copy(READERS, row.record if wanted else b""), _ASIDE, row.arrival
            if len(page) < _PAGE:
                yield Copy(READERS, b""), _CHAIN, 0
        for first, last in request.ranges:
            start = max(first - 1, request.after)
            for serial, data in self._ledger.following(OURS, start):
                if serial.number > min(last, request.edge):
                    break
                yield Copy(GIVERS, data), _CHAIN, serial.number

    def _release(self, copy: Copy, now: Now) -> None:
        reference, at = Reference(False, self.request.asked), now.wall_s
        for part in parts(copy.whose, copy.data) or [copy]:
            body, refers = part.encode(), (reference,)
            kind, level = receipts.COPY, Precedence.ROUTINE
            record = Record(0, 0, level, kind, "", at, at, None, refers, "", body)
            reference = Reference(True, self._say(record, now))
