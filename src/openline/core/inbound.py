"""The inbound half of a line: what arrives of the other side's chain, in any order, once.

Theory of operation: records are judged by their serial against the branch followed (§7): the next
one joins the chain, one further on waits on disk behind the gap, one aside of the branch is kept as
abandoned, one with a serial already held is a duplicate or a fork. A BEGIN may leave the branch at
an earlier number or pass over numbers that the author will not send again. Everything a hostile
author can do is bounded here or in limits.py. Nothing here sends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice, pairwise, takewhile
from typing import Any, NamedTuple

from ..errors import RemoteError
from . import limits, receipts
from .envelope import Ack, Reader, Record, Refusal, decode_record, malformed, peek_serial, varint
from .events import Serial
from .gaps import RangeSet
from .states import INBOUND, Event, Inbound
from .transcript import ABANDONED, CHAINED, FORKED, THEIRS, Branch, Ledger, Segment, next_head


class Taken(NamedTuple):
    """A record and its place: "chained", "waiting", "abandoned", "fork"; or, of one that was held
    aside, "rejoined"."""

    record: Record
    place: str
    data: bytes


class Begin(NamedTuple):
    """The body of a BEGIN record (§7)."""

    floor: int
    floor_head: bytes
    reader_incarnation: int
    reader_contiguous: int
    path: tuple[Segment, ...]
    """The author's branch before this, oldest first."""

    def encode(self) -> bytes:
        """The body's bytes."""
        told = self.reader_incarnation.to_bytes(3, "big") + varint(self.reader_contiguous)
        path = b"".join(s.incarnation.to_bytes(3, "big") + varint(s.first) for s in self.path)
        return varint(self.floor) + self.floor_head + told + path

    @classmethod
    def decode(cls, record: Record) -> Begin:
        """Read the body of a BEGIN; raises RemoteError."""
        reader = Reader(record.body)
        floor, head, told = reader.varint(), reader.take(32), (reader.uint(3), reader.varint())
        path = []
        while reader.more():
            path.append(Segment(reader.uint(3), reader.varint()))
        whole = [*path, Segment(*record.serial)]
        rising = all(s.first < t.first for s, t in pairwise(whole))
        distinct = len({0, *(s.incarnation for s in whole)}) > len(whole)
        reaches = 0 < whole[0].first <= floor + 1 and bool(path) == (record.number > 1)
        if not (rising and distinct and reaches and floor < record.number):
            raise malformed("begin")
        return cls(floor, head, *told, tuple(path))


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
        self.branch = Branch()
        self.contiguous = 0
        self.head = self.genesis = genesis
        self.former: list[int] = []  # incarnations left for another branch
        self.lost = RangeSet()
        self.waiting = RangeSet()
        self._rejoined: list[Taken] = []
        self.forks = self.top = 0  # `top`: the highest number ever held, on whatever branch
        self._costly_ms = 0  # before this instant no long branch is left again
        self.differs_at: int | None = None
        """A number whose head the author gives otherwise than we hold it."""

    def save(self) -> list[Any]:
        """What a restart needs beyond the records themselves, ready for JSON."""
        counts = [self.contiguous, self.forks, self.top, self.differs_at]
        return [counts, self.head.hex(), self.branch, self.former, list(self.lost)]

    def load(self, saved: list[Any]) -> None:
        """The reverse of `save`; what waits behind gaps is asked of the ledger."""
        counts, head, branch, self.former, lost = saved
        self.contiguous, self.forks, self.top, self.differs_at = counts
        self.head = bytes.fromhex(head)
        self.branch = Branch(Segment(*pair) for pair in branch)
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
        return Ack(self.incarnation, self.contiguous, tuple(self.waiting)[: limits.GAPS_MAX])

    def arrive(self, data: bytes, now_ms: int) -> Iterable[Taken]:
        """Judge a record; what is new or rejoined. Raises Refused, RemoteError."""
        self._rejoined.clear()
        return (*self._judge(data, now_ms), *self._rejoined)

    def _judge(self, data: bytes, now_ms: int) -> Iterable[Taken]:
        serial = peek_serial(data)
        if serial.number <= self.top:
            held = self.ledger.get(THEIRS, serial)
            if held is not None:
                return self._again(serial, data, held, now_ms)
        if len(data) > limits.RECORD_BYTES_MAX:
            raise Refused(Refusal.TOO_LONG, serial)
        try:
            record = decode_record(data)
            begin = Begin.decode(record) if record.kind == receipts.BEGIN else None
        except RemoteError:
            raise Refused(Refusal.MALFORMED, serial) from None
        known = self.branch.find(serial.incarnation) is not None
        if not known and serial.incarnation not in self.former:
            if begin is None:
                raise RemoteError("begin.missing", number=serial.number)
            return self._begin(record, data, begin, now_ms)
        place = self._placing(serial)
        self._admit(record, len(data), now_ms)
        return self._keep(record, data, place)

    def _admit(self, record: Record, size: int, now_ms: int) -> None:
        """R30, as the post decides it."""
        if not self.admit(record, size, now_ms):
            raise Refused(Refusal.NO_ROOM, record.serial)

    def _again(self, serial: Serial, data: bytes, held: bytes, now_ms: int) -> Iterable[Taken]:
        """A serial that is held: a duplicate, a fork, or one whose branch is followed again."""
        if data == held:
            place = self._placing(serial)
            if place is not Event.ARRIVE_ASIDE and serial.number not in self.waiting:
                self._chain(serial, data, place, Inbound.ABANDONED)
            elif place is Event.ARRIVE_ASIDE and serial.number > self.contiguous:
                raise RemoteError("begin.missing", number=serial.number)  # R22: we went astray
            return ()
        variants = self.ledger.variants(THEIRS, serial)
        if data in variants:
            return ()
        if len(variants) >= limits.FORK_VARIANTS_MAX or self.forks >= limits.FORKS_MAX:
            raise RemoteError("fork.too_many", number=serial.number)
        try:
            record = decode_record(data)
        except RemoteError:
            raise Refused(Refusal.MALFORMED, serial) from None
        self._admit(record, len(data), now_ms)
        waiting = serial.number in self.waiting
        INBOUND.next(Inbound.WAITING if waiting else Inbound.CHAINED, Event.DIFFER)
        self.forks += 1
        self.ledger.put(THEIRS, record, data, None, FORKED)
        return (Taken(record, "fork", data),)

    def _placing(self, serial: Serial) -> Event:
        """Where a record of a known incarnation belongs. Raises Refused."""
        number = serial.number
        on_branch = self.branch.serial(number) == serial
        if not on_branch or number <= self.contiguous:
            return Event.ARRIVE_ASIDE
        if number == self.contiguous + 1:
            return Event.ARRIVE_NEXT
        if number - self.contiguous > limits.SERIAL_JUMP_MAX:
            raise Refused(Refusal.SERIAL_JUMP, serial)
        touches = number - 1 in self.waiting or number + 1 in self.waiting
        if len(self.waiting) >= limits.GAPS_MAX and not touches:
            raise Refused(Refusal.GAPS, serial)
        return Event.ARRIVE_AHEAD

    def _keep(self, record: Record, data: bytes, place: Event) -> Iterable[Taken]:
        """Put a new record on disk, and in the chain if it belongs there."""
        aside = place is Event.ARRIVE_ASIDE
        self.top = max(self.top, record.number)
        self.ledger.put(THEIRS, record, data, None, ABANDONED if aside else CHAINED)
        if aside:
            lost = record.number in self.lost
            INBOUND.next(Inbound.LOST if lost else Inbound.MISSING, place)
            return (Taken(record, "abandoned", data),)
        self._chain(record.serial, data, place, Inbound.MISSING)
        chained = place is Event.ARRIVE_NEXT
        return (Taken(record, "chained" if chained else "waiting", data),)

    def _chain(self, serial: Serial, data: bytes, place: Event, before: Inbound) -> None:
        """A record on disk joins the chain, or waits behind a gap."""
        INBOUND.next(before, place)
        if before is Inbound.ABANDONED:
            self._rejoined.append(Taken(decode_record(data), "rejoined", data))
        if place is Event.ARRIVE_NEXT:
            self._join(serial, data)
            self._fill()
        else:
            self.waiting.add(serial.number)
            if before is Inbound.ABANDONED:
                self.ledger.rehead(THEIRS, serial, None, CHAINED)

    def _join(self, serial: Serial, data: bytes) -> None:
        self.head = next_head(self.head, data)
        self.contiguous = serial.number
        self.ledger.rehead(THEIRS, serial, self.head, CHAINED)

    def _fill(self) -> None:
        """Chain what waited behind the gap that has closed, and what had been abandoned."""
        held: bytes | None = b""
        while held is not None:
            until = self.waiting.take_following(self.contiguous)
            rows = self.ledger.following(THEIRS, self.contiguous) if until > self.contiguous else ()
            for serial, data in rows:
                if serial.number > until:
                    break
                INBOUND.next(Inbound.WAITING, Event.GAP_FILLED)
                self._join(serial, data)
            serial = self.branch.serial(self.contiguous + 1)
            held = self.ledger.get(THEIRS, serial) if self.contiguous < self.top else None
            if held is not None:
                INBOUND.next(Inbound.ABANDONED, Event.ARRIVE_NEXT)
                self._rejoined.append(Taken(decode_record(held), "rejoined", held))
                self._join(serial, held)

    def _begin(self, record: Record, data: bytes, begin: Begin, now_ms: int) -> Iterable[Taken]:
        """R21: the branch followed is now the one that leads to this incarnation."""
        number = record.number
        if number - max(self.contiguous, begin.floor) > limits.SERIAL_JUMP_MAX:
            raise Refused(Refusal.SERIAL_JUMP, record.serial)
        given = [*begin.path, Segment(*record.serial)]
        branch = Branch([s for s in self.branch if s.first < given[0].first] + given)
        ahead = sum(s.first > self.contiguous for s in branch)
        if ahead + sum(first < number for first, _ in self.lost) > limits.SEGMENTS_MAX:
            raise Refused(Refusal.GAPS, record.serial)
        pairs = zip(branch, self.branch, strict=False)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        parting = min(s.first for s in branch[common:] + self.branch[common:])
        rows = islice(self.ledger.following(THEIRS, parting - 1), limits.LEAVE_RECORDS_MAX + 1)
        costly = sum(1 for _ in rows) > limits.LEAVE_RECORDS_MAX
        if costly and now_ms < self._costly_ms:
            raise Refused(Refusal.GAPS, record.serial)
        self._admit(record, len(data), now_ms)
        self._costly_ms = now_ms + limits.LEAVE_MS if costly else self._costly_ms
        self._leave(parting, begin)
        left = [s.incarnation for s in self.branch[common:] if s not in branch]
        self.former = [*self.former, *left][-limits.SEGMENTS_KEPT :]
        self.branch = branch
        self._fill()
        self._pass_floor(begin)
        taken = self._keep(record, data, self._placing(record.serial))
        while len(self.branch) > limits.SEGMENTS_KEPT and self.branch[1].first <= self.contiguous:
            del self.branch[0]
        return taken

    def _leave(self, number: int, begin: Begin) -> None:
        """Numbers from `number` on leave the branch."""
        for serial, _ in list(self.ledger.following(THEIRS, number - 1)):
            chained = serial.number <= self.contiguous
            INBOUND.next(Inbound.CHAINED if chained else Inbound.WAITING, Event.BRANCH_LEFT)
            self.ledger.rehead(THEIRS, serial, None, ABANDONED)
        self.waiting.remove_from(number)
        if self.contiguous >= number:
            head = self.genesis if number == 1 else self.ledger.head(THEIRS, number - 1)
            self.contiguous = number - 1 if head else begin.floor
            self.head = head or begin.floor_head
            self.lost.add(number, self.contiguous)
        self.lost.remove_from(self.contiguous + 1)

    def _pass_floor(self, begin: Begin) -> None:
        """Skip what the author will not send again; else hold its head against ours."""
        if begin.floor > self.contiguous:
            # What waited below the floor cannot be chained now, nor known to be of this branch.
            for serial, _ in list(self.ledger.following(THEIRS, self.contiguous)):
                if serial.number <= begin.floor:
                    INBOUND.next(Inbound.WAITING, Event.BRANCH_LEFT)
                    self.ledger.rehead(THEIRS, serial, None, ABANDONED)
            self.lost.add(self.contiguous + 1, begin.floor)
            INBOUND.next(Inbound.MISSING, Event.SKIP)
            self.contiguous, self.head = begin.floor, begin.floor_head
            self._fill()
        else:
            ours = self.ledger.head(THEIRS, begin.floor) if begin.floor else self.genesis
            if ours is not None and ours != begin.floor_head:
                self.differs_at = begin.floor
