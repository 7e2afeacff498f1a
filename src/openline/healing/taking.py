"""Taking: how what the other side gives back finds its place.

Theory of operation: COPYs are records of the other side's chain like any other; when the chain has
reached them they are read in order, a few in each step, by a cursor that is kept with what it
brought. Our own records come to stand aside, for only the other side's word vouches for them. The
other side's records stand aside until a whole lost range is there and its heads lead from what we
hold before it to what we hold after it; then they join the chain, again a few in each step. What
does not fit, or was never asked for, changes nothing but the count of faults.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import NamedTuple

from ..core import limits, receipts
from ..core.envelope import Record, decode_record
from ..core.events import Now, Serial
from ..core.gaps import Range, RangeSet
from ..core.line import Line
from ..core.precedence import Precedence
from ..core.states import INBOUND, Event, Inbound
from ..core.transcript import ABANDONED, CHAINED, FORKED, OURS, THEIRS, Branch, Segment, next_head
from ..errors import LocalError, RemoteError
from ..ledger import LineLedger
from .bodies import GIVERS, Copy, encode_ranges
from .giving import NOTHING, Say

_ROWS = 256
_BYTES = 1 << 20
_TOLD = receipts.RECEIPTS | receipts.ATTACHED
"""What joins the chain and says something of other records."""


@dataclass
class Proof:
    """A lost range whose heads are being followed, or (`proven`) whose records join the chain."""

    first: int
    last: int
    start: int
    """Their number before the COPY of `first`; once proven, before the next to join."""
    next: int
    """The next number of the range."""
    head: str
    """Hex: the head before `next`; "" if the one before the range is not held."""
    proven: bool = False


@dataclass
class Question:
    """What we asked for last, and what came of it."""

    asked: Serial = NOTHING
    """Of our HEAL; zeros: nothing is asked."""
    asked_s: int = 0
    actor: str = ""
    """Who asked."""
    ranges: list[Range] = field(default_factory=list)
    start: Serial = NOTHING
    """Where their chain stood when we asked."""
    cursor: Serial = NOTHING
    """Up to where it was read for COPYs."""
    complete: bool = False
    """Whether they said that this is all."""
    theirs: int = 0
    ours: int = 0
    """How many records of theirs and of ours came."""
    unproven: list[Range] = field(default_factory=list)
    proof: Proof | None = None
    spent: list[str] = field(default_factory=list)
    """Incarnations (hex) of records of ours that we had lost: none is ever used again (R20)."""


class _Found(NamedTuple):
    """A record that one or two COPYs carry."""

    copy: Copy
    by: Serial
    """The serial of the COPY, of the first if they are two."""


class Taker:
    """The taking side of one line. `doubted` says whether the continuity alarm stands."""

    def __init__(
        self,
        line: Line,
        ledger: LineLedger,
        say: Say,
        doubted: Callable[[], bool],
        saved: bytes | None,
    ) -> None:
        self._line = line
        self._ledger = ledger
        self._say = say
        self._doubted = doubted
        self.question = _read(saved) if saved else Question()
        self.dirty = False

    def save(self) -> bytes:
        """What a restart needs."""
        self.dirty = False
        return json.dumps(asdict(self.question), separators=(",", ":")).encode()

    @property
    def spent(self) -> list[str]:
        """Incarnations (hex) that we must never use again."""
        return self.question.spent

    def ask(self, actor: str, now: Now) -> Serial:
        """Ask for what is lost here, and for what they hold of ours aside. Raises LocalError."""
        if self._doubted():
            raise LocalError("heal.alarm")
        reception, at = self._line.reception, now.wall_s
        ranges = list(reception.lost)[: limits.HEAL_RANGES_MAX]
        body, level = encode_ranges(ranges), Precedence.ROUTINE
        record = Record(0, 0, level, receipts.HEAL, "", at, at, None, (), "", body)
        serial = self._say(record, now)
        here = reception.branch.serial(reception.contiguous)
        self.question = Question(serial, at, actor, ranges, here, here, spent=self.spent)
        self.dirty = True
        return serial

    def hear(self, record: Record) -> None:
        """A COPY of theirs has come. Raises RemoteError if it answers nothing that is asked."""
        if self.question.complete or not self._answers(record):
            raise RemoteError("heal.unasked", number=record.number)

    def _answers(self, record: Record) -> bool:
        """Whether a COPY refers to our question, or to a COPY before it."""
        if not self.question.asked.number or len(record.references) != 1:
            return False
        theirs, serial = record.references[0]
        return theirs or serial == self.question.asked

    def work(self) -> tuple[list[Record], bool]:
        """Read on, or let a proven range join: (receipts and files of theirs that are in the chain
        again, whether more can be done at once)."""
        question = self.question
        proven = question.proof is not None and question.proof.proven
        if not question.asked.number or (question.complete and not proven):
            return [], False
        if self._doubted():
            # Nobody knows who gives now; what came waits in the chain until people have checked.
            return [], False
        return self._join() if proven else ([], self._read_on())

    # -- reading COPYs ------------------------------------------------------------------------

    def _read_on(self) -> bool:
        question, branch = self.question, self._line.reception.branch
        if branch.serial(question.cursor.number) != question.cursor:
            # They went back behind it: read the new branch from where we asked.
            question.cursor = branch.serial(question.start.number)
            question.proof, self.dirty = None, True
        if question.cursor.number >= self._line.reception.contiguous:
            return False
        rows = size = 0
        for number, found in self._copies(question.cursor.number):
            if found is not None:
                self._take(found)
            question.cursor, self.dirty = branch.serial(number), True
            rows, size = rows + 1, size + len(found.copy.data if found else b"")
            proven = question.proof is not None and question.proof.proven
            if question.complete or proven or rows >= _ROWS or size >= _BYTES:
                return True
        return False

    def _copies(self, after: int) -> Iterator[tuple[int, _Found | None]]:
        """Their chain above `after`: up to which number, and what the COPY there carries. A first
        part is read again with the record behind it, and given up if that is not its second."""
        contiguous = self._line.reception.contiguous
        first: _Found | None = None
        for serial, data in self._ledger.following(THEIRS, after):
            if serial.number > contiguous:
                return
            before, first = first, None
            found = self._found(serial, data, before)
            if found is None or not found.copy.continued:
                yield serial.number, found
                continue
            first = found
            if before is not None:
                yield serial.number - 1, None

    def _found(self, serial: Serial, data: bytes, first: _Found | None) -> _Found | None:
        """What a record of theirs carries for us, with the part before it."""
        record = decode_record(data)
        if record.kind != receipts.COPY or not self._answers(record):
            return None
        try:
            copy = Copy.decode(record.body)
        except RemoteError as error:
            self._line.fault(error)
            return None
        if not record.references[0].ours:
            return _Found(copy, serial)
        if first is None or record.references[0].serial != first.by or copy.continued:
            return None
        return _Found(Copy(copy.whose, first.copy.data + copy.data), first.by)

    def _take(self, found: _Found) -> None:
        """Put what a COPY carries where it belongs."""
        copy, by = found
        if not copy.data:
            self.question.complete = True
            self._line.tell("heal.complete", number=by.number)
            return
        try:
            if len(copy.data) > limits.RECORD_BYTES_MAX:
                raise RemoteError("heal.outside", number=by.number)
            record = decode_record(copy.data)
            if copy.whose == GIVERS:
                self._take_theirs(record, copy.data, by)
            else:
                self._take_ours(record, copy.data, by)
        except RemoteError as error:
            self._line.fault(error)

    def _take_ours(self, record: Record, data: bytes, by: Serial) -> None:
        """A record of ours that we had lost. Raises RemoteError."""
        spent, incarnation = self.spent, f"{record.incarnation:06x}"
        if self._ledger.get(OURS, record.serial) is None:
            branch = self._line.branch
            # What would be ours and is not here cannot have been said: its serial is still free.
            free = branch.serial(record.number) == record.serial
            if free or record.incarnation == branch[-1].incarnation:
                raise RemoteError("heal.outside", number=by.number)
            if incarnation not in spent:
                if len(spent) >= limits.HEAL_INCARNATIONS_MAX:
                    raise RemoteError("heal.outside", number=by.number)
                spent.append(incarnation)
            self.question.ours += 1
        self._keep(OURS, record, data, by)

    def _take_theirs(self, record: Record, data: bytes, by: Serial) -> None:
        """A record of theirs that was lost here. Raises RemoteError."""
        number, question, reception = record.number, self.question, self._line.reception
        lost = next(((a, b) for a, b in reception.lost if a <= number <= b), None)
        held = self._ledger.get(THEIRS, record.serial)
        if lost is None or not any(a <= number <= b for a, b in question.ranges):
            if held != data:
                raise RemoteError("heal.outside", number=by.number)
            return
        if held is None:
            INBOUND.next(Inbound.LOST, Event.ARRIVE_ASIDE)
            question.theirs += 1
        kept, proof = self._keep(THEIRS, record, data, by), question.proof
        if number == lost[0]:
            head = self._head_before(number) or b""
            proof = Proof(*lost, question.cursor.number, number, head.hex())
        elif proof is not None and (number != proof.next or lost != (proof.first, proof.last)):
            proof = None
        question.proof = proof if kept else None
        if question.proof is not None:
            self._follow(question.proof, data)

    def _keep(self, side: int, record: Record, data: bytes, by: Serial) -> bool:
        """Put a record aside, marked as restored; whether these bytes are what is held. Raises
        RemoteError for a fork beyond the bounds."""
        held = self._ledger.get(side, record.serial)
        if held is None:
            self._ledger.put(side, record, data, None, ABANDONED)
            self._ledger.mark(side, record.serial, receipts.COPY, by)
        if held is None or held == data:
            return True
        variants, reception = self._ledger.variants(side, record.serial), self._line.reception
        if data not in variants:
            full = len(variants) >= limits.FORK_VARIANTS_MAX or reception.forks >= limits.FORKS_MAX
            if full:
                raise RemoteError("fork.too_many", number=record.number)
            reception.forks, self._line.dirty = reception.forks + 1, True
            self._ledger.put(side, record, data, None, FORKED)
            self._line.tell("fork", number=record.number)
        return False

    # -- proof and place ----------------------------------------------------------------------

    def _follow(self, proof: Proof, data: bytes) -> None:
        """One record further; at the end of the range its head must lead to what is held there."""
        proof.head = next_head(bytes.fromhex(proof.head), data).hex() if proof.head else ""
        proof.next += 1
        if proof.next <= proof.last:
            return
        if self._fits(bytes.fromhex(proof.head), proof.last):
            proof.next, proof.proven = proof.first, True
            proof.head = (self._head_before(proof.first) or b"").hex()
        else:
            self._doubt(proof)

    def _doubt(self, proof: Proof) -> None:
        """The range is not what we hold goes on from: it stays aside, shown as such."""
        question = self.question
        question.unproven = [*question.unproven, (proof.first, proof.last)]
        question.unproven = question.unproven[-limits.HEAL_RANGES_MAX :]
        question.proof, self.dirty = None, True
        self._line.fault(RemoteError("heal.unproven", number=proof.first))

    def _head_before(self, number: int) -> bytes | None:
        if number == 1:
            return self._line.reception.genesis
        return self._ledger.head(THEIRS, number - 1)

    def _fits(self, head: bytes, last: int) -> bool:
        """Whether what we hold beyond number `last` goes on from `head`."""
        reception = self._line.reception
        if reception.contiguous == last:
            return head == reception.head
        serial, data = next(self._ledger.following(THEIRS, last), (NOTHING, b""))
        after = self._ledger.head(THEIRS, last + 1)
        return bool(head) and serial.number == last + 1 and next_head(head, data) == after

    def _join(self) -> tuple[list[Record], bool]:
        """The next records of a proven range join the chain."""
        question, proof = self.question, self.question.proof
        self.dirty = True
        if proof is None or (proof.next, proof.last) not in list(self._line.reception.lost):
            question.proof = None  # they left that branch meanwhile
            return [], True
        head, joined, rows = bytes.fromhex(proof.head), list[Record](), 0
        for number, found in self._copies(proof.start):
            record = _record(found) if found else None
            if found is not None and record is not None and record.number == proof.next:
                head = next_head(head, found.copy.data)
                INBOUND.next(Inbound.ABANDONED, Event.ARRIVE_NEXT)
                self._ledger.rehead(THEIRS, record.serial, head, CHAINED)
                joined.append(record)
                proof.next += 1
            proof.start, rows = number, rows + 1
            if proof.next > proof.last or rows >= _ROWS:
                break
        else:
            self._doubt(proof)
        proof.head = head.hex()
        if joined:
            self._settle([record.serial for record in joined])
        if proof.next > proof.last:
            question.proof = None
            count = proof.last - proof.first + 1
            self._line.tell("healed", first=proof.first, last=proof.last)
            self._ledger.audit(question.actor, "healed", first=proof.first, records=count)
        return [record for record in joined if record.kind in _TOLD], True

    def _settle(self, joined: Sequence[Serial]) -> None:
        """The numbers are no longer lost, and the branch is what their serials say."""
        reception, end = self._line.reception, joined[-1].number
        branch = [s for s in reception.branch if s.first < joined[0].number]
        branch += [Segment(*serial) for serial in joined]
        branch.append(Segment(reception.branch.serial(end + 1).incarnation, end + 1))
        branch += [s for s in reception.branch if s.first > end]
        merged = Branch(branch[:1])
        for segment in branch[1:]:
            if segment.incarnation != merged[-1].incarnation:
                merged.append(segment)
        while len(merged) > limits.SEGMENTS_KEPT and merged[1].first <= reception.contiguous:
            del merged[0]
        lost = reception.lost
        reception.branch, reception.lost = merged, RangeSet()
        for first, last in lost:
            reception.lost.add(max(first, end + 1) if first <= end <= last else first, last)
        self._line.dirty = True


def _record(found: _Found) -> Record | None:
    """The record of theirs that COPYs carry, if it is one."""
    try:
        return decode_record(found.copy.data) if found.copy.whose == GIVERS else None
    except RemoteError:
        return None


def _read(saved: bytes) -> Question:
    fields = json.loads(saved)
    for name in ("asked", "start", "cursor"):
        fields[name] = Serial(*fields[name])
    for name in ("ranges", "unproven"):
        fields[name] = [(first, last) for first, last in fields[name]]
    fields["proof"] = fields["proof"] and Proof(**fields["proof"])
    return Question(**fields)
