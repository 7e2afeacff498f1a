"""The inbound half of a line: what arrives of the other side's chain, in any order, once.

Theory of operation: records are judged by their serial against the branch followed (§7): the next
one joins the chain, one further on waits on disk behind the gap, one aside of the branch is kept as
abandoned, one with a serial already held is a duplicate or a fork. A BEGIN may leave the branch at
an earlier number or pass over numbers that the author will not send again. Everything a hostile
author can do is bounded here or in limits.py. Nothing here sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..errors import RemoteError
from . import limits, receipts
from .envelope import (
    Ack,
    Reader,
    Record,
    Refusal,
    decode_record,
    malformed,
    peek_serial,
    varint,
)
from .events import Serial
from .gaps import RangeSet
from .states import INBOUND, Event, Inbound
from .transcript import (
    ABANDONED,
    CHAINED,
    FORKED,
    THEIRS,
    Ledger,
    Segment,
    find_segment,
    next_head,
    segment_end,
)


class Taken(NamedTuple):
    """A record that is new to us, and where it went: "chained", "waiting", "abandoned", "fork"."""

    record: Record
    place: str
    data: bytes


class Begin(NamedTuple):
    """The body of a BEGIN record (§7)."""

    previous: int
    floor: int
    floor_head: bytes
    reader_incarnation: int
    reader_contiguous: int

    def encode(self) -> bytes:
        """The body's bytes."""
        return (
            self.previous.to_bytes(3, "big")
            + varint(self.floor)
            + self.floor_head
            + self.reader_incarnation.to_bytes(3, "big")
            + varint(self.reader_contiguous)
        )

    @classmethod
    def decode(cls, body: bytes) -> Begin:
        """Read the body; raises RemoteError."""
        reader = Reader(body)
        begin = cls(
            reader.uint(3), reader.varint(), reader.take(32), reader.uint(3), reader.varint()
        )
        if reader.more():
            raise malformed("begin")
        return begin


class Refused(RemoteError):
    """A record that is not taken, and is answered with REFUSE `refusal`."""

    def __init__(self, refusal: Refusal, serial: Serial) -> None:
        super().__init__("refused." + refusal.name.lower(), number=serial.number)
        self.refusal = refusal
        self.serial = serial

    def encode(self) -> bytes:
        """The payload of the REFUSE frame."""
        serial = self.serial.incarnation.to_bytes(3, "big") + varint(self.serial.number)
        return serial + bytes((self.refusal,))


Admit = Callable[[Record, int, int], bool]
"""Whether there is room for a record of so many bytes at so many milliseconds (R30)."""


class Reception:
    """Follows the other side's chain; all numbers are theirs."""

    def __init__(self, ledger: Ledger, genesis: bytes, admit: Admit) -> None:
        self.ledger = ledger
        self.admit = admit
        self.branch: list[Segment] = []
        self.contiguous = 0
        self.head = genesis
        self.former: list[int] = []
        """Incarnations left for another branch."""
        self.lost = RangeSet()
        self.waiting = RangeSet()
        self.forks = 0
        self.differs_at: int | None = None
        """A number whose head the author gives otherwise than we hold it."""

    def save(self) -> list[Any]:
        """What a restart needs beyond the records themselves, ready for JSON."""
        lost = list(self.lost)
        return [self.contiguous, self.head.hex(), self.branch, self.former, lost, self.forks]

    def load(self, saved: list[Any]) -> None:
        """The reverse of `save`; what waits behind gaps is asked of the ledger."""
        self.contiguous, head, branch, self.former, lost, self.forks = saved
        self.head = bytes.fromhex(head)
        self.branch = [Segment(*pair) for pair in branch]
        self.lost = RangeSet([(first, last) for first, last in lost])
        for serial, _ in self.ledger.following(THEIRS, self.contiguous):
            self.waiting.add(serial.number)

    @property
    def highest(self) -> int:
        """The highest number held on the branch."""
        return max(self.contiguous, self.waiting.highest or 0)

    @property
    def incarnation(self) -> int:
        """The newest incarnation on the branch; 0 if nothing was ever taken."""
        return self.branch[-1].incarnation if self.branch else 0

    def ack(self) -> Ack:
        """What we hold, as an ACK says it."""
        held = tuple(self.waiting)[: limits.ACK_RANGES_MAX]
        return Ack(self.incarnation, self.contiguous, held)

    def arrive(self, data: bytes, now_ms: int) -> Iterable[Taken]:
        """Judge a record's bytes; what is new, or nothing for a duplicate. Raises Refused,
        RemoteError."""
        serial = peek_serial(data)
        newest = bool(self.branch) and serial.incarnation == self.branch[-1].incarnation
        if not newest or serial.number <= self.highest:
            held = self.ledger.get(THEIRS, serial)
            if held == data:
                return ()
            if held is not None:
                return self._fork(serial, data, now_ms)
        if len(data) > limits.RECORD_BYTES_MAX:
            raise Refused(Refusal.TOO_LONG, serial)
        try:
            record = decode_record(data)
            begin = Begin.decode(record.body) if record.kind == receipts.BEGIN else None
        except RemoteError:
            raise Refused(Refusal.MALFORMED, serial) from None
        known = find_segment(self.branch, serial.incarnation)
        if known is None and serial.incarnation not in self.former:
            if begin is None:
                raise RemoteError("begin.missing", number=serial.number)
            self._admit(record, len(data), now_ms)
            return self._begin(record, data, begin)
        self._admit(record, len(data), now_ms)
        if known is not None and begin is not None:
            self._split(known, record, begin)
            known = find_segment(self.branch, record.incarnation)
        return self._place(record, data, known)

    def _fork(self, serial: Serial, data: bytes, now_ms: int) -> Iterable[Taken]:
        variants = self.ledger.variants(THEIRS, serial)
        if data in variants:
            return ()
        full = len(variants) >= limits.FORK_VARIANTS_MAX or self.forks >= limits.FORKS_MAX
        if full:
            raise RemoteError("fork.too_many", number=serial.number)
        try:
            record = decode_record(data)
        except RemoteError:
            raise Refused(Refusal.MALFORMED, serial) from None
        self._admit(record, len(data), now_ms)
        waiting = serial.number > self.contiguous
        INBOUND.next(Inbound.WAITING if waiting else Inbound.CHAINED, Event.DIFFER)
        self.forks += 1
        self.ledger.put(THEIRS, record, data, None, FORKED)
        return (Taken(record, "fork", data),)

    def _aside(self, record: Record, data: bytes, before: Inbound) -> Iterable[Taken]:
        INBOUND.next(before, Event.ARRIVE_ASIDE)
        self.ledger.put(THEIRS, record, data, None, ABANDONED)
        return (Taken(record, "abandoned", data),)

    def _place(self, record: Record, data: bytes, at: int | None) -> Iterable[Taken]:
        number = record.number
        if at is None or not (
            self.branch[at].first <= number <= segment_end(self.branch, at, 1 << 62)
        ):
            return self._aside(record, data, Inbound.MISSING)
        if number <= self.contiguous:
            return self._aside(record, data, Inbound.LOST)
        if number == self.contiguous + 1:
            self._join(record.serial, data)
            self.ledger.put(THEIRS, record, data, self.head, CHAINED)
            self._fill()
            return (Taken(record, "chained", data),)
        if number - self.contiguous > limits.SERIAL_JUMP_MAX:
            raise Refused(Refusal.SERIAL_JUMP, record.serial)
        touches = number - 1 in self.waiting or number + 1 in self.waiting
        if len(self.waiting) >= limits.GAPS_MAX and not touches:
            raise Refused(Refusal.GAPS, record.serial)
        INBOUND.next(Inbound.MISSING, Event.ARRIVE_AHEAD)
        self.ledger.put(THEIRS, record, data, None, CHAINED)
        self.waiting.add(number)
        return (Taken(record, "waiting", data),)

    def _join(self, serial: Serial, data: bytes) -> None:
        INBOUND.next(Inbound.MISSING, Event.ARRIVE_NEXT)
        self.head = next_head(self.head, data)
        self.contiguous = serial.number

    def _fill(self) -> None:
        """Chain what waited behind the gap that has closed."""
        until = self.waiting.take_following(self.contiguous)
        if until == self.contiguous:
            return
        for serial, data in self.ledger.following(THEIRS, self.contiguous):
            if serial.number > until:
                break
            INBOUND.next(Inbound.WAITING, Event.GAP_FILLED)
            self.head = next_head(self.head, data)
            self.contiguous = serial.number
            self.ledger.rehead(THEIRS, serial, self.head, CHAINED)

    def _admit(self, record: Record, size: int, now_ms: int) -> None:
        """R30, as the post decides it."""
        if not self.admit(record, size, now_ms):
            raise Refused(Refusal.NO_ROOM, record.serial)

    def _begin(self, record: Record, data: bytes, begin: Begin) -> Iterable[Taken]:
        """R21: a new incarnation continues the branch, perhaps from an earlier number."""
        number = record.number
        if number - self.contiguous > limits.SERIAL_JUMP_MAX or begin.floor >= number:
            raise Refused(Refusal.SERIAL_JUMP, record.serial)
        if (begin.previous == 0) != (number == 1):
            raise Refused(Refusal.MALFORMED, record.serial)
        if sum(s.first > self.contiguous for s in self.branch) >= limits.SEGMENTS_MAX:
            raise Refused(Refusal.GAPS, record.serial)
        at = find_segment(self.branch, begin.previous)
        if at is not None:
            end = segment_end(self.branch, at, 1 << 62)
            if not self.branch[at].first <= number - 1 <= end:
                return self._aside_incarnation(record, data)
        elif begin.previous in self.former:
            return self._aside_incarnation(record, data)
        elif begin.previous and begin.floor <= self.contiguous:
            raise RemoteError("begin.missing", number=number)
        if self.branch and (self.highest >= number or self.branch[-1].first >= number):
            self._leave(number)
        if at is None and begin.floor < number - 1:
            self.branch.append(Segment(begin.previous, begin.floor + 1))
        self.branch.append(Segment(record.incarnation, number))
        self._pass_floor(begin)
        taken = self._place(record, data, len(self.branch) - 1)
        self._forget_old()
        return taken

    def _split(self, at: int, record: Record, begin: Begin) -> None:
        """A BEGIN inside a segment known only from a later BEGIN: what is before it is another
        incarnation's."""
        first = self.branch[at].first
        if first < record.number and find_segment(self.branch, begin.previous) is None:
            self.branch[at] = Segment(record.incarnation, record.number)
            self.branch.insert(at, Segment(begin.previous, first))

    def _aside_incarnation(self, record: Record, data: bytes) -> Iterable[Taken]:
        self.former.append(record.incarnation)
        return self._aside(record, data, Inbound.MISSING)

    def _leave(self, number: int) -> None:
        """Numbers from `number` on are no longer on the branch: the author went back."""
        for serial, _ in list(self.ledger.following(THEIRS, number - 1)):
            chained = serial.number <= self.contiguous
            INBOUND.next(Inbound.CHAINED if chained else Inbound.WAITING, Event.BRANCH_LEFT)
            self.ledger.rehead(THEIRS, serial, None, ABANDONED)
        self.former += [s.incarnation for s in self.branch if s.first >= number]
        self.branch = [s for s in self.branch if s.first < number]
        self.waiting.remove_from(number)
        self.lost.remove_from(number)
        if self.contiguous >= number:
            self.contiguous = number - 1
            self.head = self._head_at(number - 1)

    def _head_at(self, number: int) -> bytes:
        head = self.ledger.head(THEIRS, number)
        if head is None:
            raise RemoteError("begin.unreachable", number=number)
        return head

    def _pass_floor(self, begin: Begin) -> None:
        """Skip what the author will not send again; else hold its head against ours."""
        if begin.floor > self.contiguous:
            first = self.contiguous + 1
            for gap_first, gap_last in [*self.waiting.missing(self.contiguous)]:
                self.lost.add(gap_first, min(gap_last, begin.floor))
            top = self.waiting.highest or self.contiguous
            self.lost.add(max(first, top + 1), begin.floor)
            INBOUND.next(Inbound.MISSING, Event.SKIP)
            self.contiguous = begin.floor
            self.head = begin.floor_head
            self._fill()
        else:
            ours = self.ledger.head(THEIRS, begin.floor) if begin.floor else None
            if ours is not None and ours != begin.floor_head:
                self.differs_at = begin.floor

    def _forget_old(self) -> None:
        """Segments that ended long before the contiguous number need no memory."""
        while len(self.branch) > limits.SEGMENTS_KEPT and self.branch[1].first <= self.contiguous:
            del self.branch[0]
        del self.former[: -limits.SEGMENTS_KEPT]
