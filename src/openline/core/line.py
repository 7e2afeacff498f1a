"""The line: the one public machine of the core, synchronous and pure.

Theory of operation: frames that were opened go in through `hear`, acts of our people through
`release`, time through `tick`; what to answer gathers in `answers` and `owes_ack`. Everything
durable goes through the ledger and `save`, within the step that the post commits before anything is
sent; so an ACK is composed only when what it names is on disk, and a record only when its release
is. After a failed commit the line is thrown away and loaded again. When and over what a record
travels is the business of `Delivery`, which the line only tells what is released, held, refused or
forgotten. Sealing, bearers and stores are not known here.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from ..errors import RemoteError
from . import limits, receipts
from .envelope import Ack, Frame, FrameType, Reader, Record, decode_frames, encode_record, malformed
from .events import Now, Reference, Serial
from .inbound import Admit, Begin, Reception, Refused, Taken
from .precedence import Precedence
from .transcript import CHAINED, OURS, THEIRS, Branch, Ledger, Segment, next_head

_PATIENCE_MS = 60_000
_ASK_WAIT_MS_MAX = 3_600_000
_ANSWERS_MAX = 64


class Delivery(Protocol):
    """What carries our records to the other machine, as the line tells it of them."""

    def add(self, serial: Serial, data: bytes) -> None:
        """A record is released, or not yet held after a restart."""

    def acknowledge(self, ack: Ack, end: int, now_ms: int) -> list[int]:
        """The other machine holds what the ACK names, up to `end`; the numbers that is news of."""

    def refuse(self, serial: Serial, code: int) -> bool:
        """The other side did not take a record; whether it was on its way."""

    def forget(self) -> None:
        """The other side may have lost what it held beyond the acknowledged number."""

    def piece(self, payload: bytes, now_ms: int) -> bytes | None:
        """A PIECE of a record of theirs; the record when it is whole. Raises RemoteError."""


class Line:
    """One line, from our side. Numbers, not names; bytes, not meaning.

    `genesis` holds head(0) of our chain and of theirs; `saved` is what `save` gave last, None for a
    new line.
    """

    def __init__(
        self,
        ledger: Ledger,
        delivery: Delivery,
        genesis: tuple[bytes, bytes],
        entropy: Callable[[int], bytes],
        admit: Admit,
        saved: bytes | None,
    ) -> None:
        self.ledger = ledger
        self.delivery = delivery
        self.entropy = entropy
        self.reception = Reception(ledger, genesis[THEIRS], admit)
        self.number = self.acked = 0
        self.head = self.genesis = genesis[OURS]
        self.branch = Branch()
        self.faults: Counter[str] = Counter()
        self.events: list[tuple[str, dict[str, object]]] = []
        self.answers: deque[Frame] = deque()
        """Frames to send that are not records: any bearer takes them."""
        self.asides: list[Frame] = []
        """Frames heard that concern sealing and comparing, for the layer above to take."""
        self.owes_ack = False
        self.dirty = False
        """Whether `save` would give something else than last time."""
        self.begun = False
        """Whether this process has an incarnation of its own."""
        self._ack: Ack | None = None  # the last one of the datagram that is being heard (R25)
        self.impersonated = False
        """Whether the other side holds what we never said: a thief's, or our own and lost (R14)."""
        self._begun_ms = -_PATIENCE_MS
        self._again_ms: int | None = None  # when to begin anew, if that could not be at once
        self._unheard = 0  # the number of our latest BEGIN, until it is known to be held
        self._gap: tuple[int, int] | None = None
        """The number before the gap, and until when to wait for it to be mended (R22)."""
        self._asked, self._ask_wait_ms = 0, _PATIENCE_MS  # what we held then, and the pace (R22)
        self._floor, self._ends_with_begin = -1, False
        if saved is not None:
            self._load(json.loads(saved))

    def save(self) -> bytes:
        """What a restart needs beyond the records themselves."""
        self.dirty = False
        own = [self.number, self.head.hex(), self.branch, self.acked, self._ends_with_begin]
        state = {"own": own, "peer": self.reception.save()}
        return json.dumps(state, separators=(",", ":")).encode()

    def _load(self, saved: dict[str, Any]) -> None:
        self.number, head, branch, self.acked, self._ends_with_begin = saved["own"]
        self.head = bytes.fromhex(head)
        self.branch = Branch(Segment(*pair) for pair in branch)
        self.reception.load(saved["peer"])
        for serial, data in self.ledger.following(OURS, self.acked):
            self.delivery.add(serial, data)

    def start(self, now: Now) -> None:
        """A process begins: say so, unless the last thing said was just that (R20)."""
        self._mind_gap(now)
        if not self._ends_with_begin:
            self._begin(now)

    def resume(self, before: Line) -> None:
        """Take over from the line this one replaces in the same process, after a failed commit."""
        self.faults = before.faults
        self.owes_ack = bool(self.reception.branch)
        if before.begun and self.branch and self.branch[-1] in before.branch[-1:]:
            self.begun, self._begun_ms = True, before._begun_ms
            self._unheard, self._again_ms = before._unheard, before._again_ms

    def release(self, record: Record, now: Now) -> Serial:
        """Give a record its serial and put it in the chain. Raises LocalError and changes nothing.

        The serial and filing time of `record` are filled in here.
        """
        if not self.begun:
            encode_record(record._replace(incarnation=1, number=1, filed_s=now.wall_s))
            self._begin(now)
        return self._append(record, now)

    def _append(self, record: Record, now: Now) -> Serial:
        incarnation, number = self.branch[-1].incarnation, self.number + 1
        record = record._replace(incarnation=incarnation, number=number, filed_s=now.wall_s)
        data = encode_record(record)
        self.number = number
        self.head = next_head(self.head, data)
        self.ledger.put(OURS, record, data, self.head, CHAINED)
        self.delivery.add(record.serial, data)
        self._ends_with_begin = record.kind == receipts.BEGIN
        self.dirty = True
        self.tell("released", number=record.number, precedence=record.precedence.name)
        return record.serial

    def _begin(self, now: Now) -> None:
        """Start an incarnation (R20)."""
        incarnation = 0
        while not incarnation or self.branch.find(incarnation) is not None:
            incarnation = int.from_bytes(self.entropy(3), "big")
        telling = sum(s.first <= self.acked for s in self.branch) - 1
        telling = min(telling, len(self.branch) - limits.SEGMENTS_TOLD)
        begin = Begin(
            self.acked,
            (self.ledger.head(OURS, self.acked) if self.acked else self.genesis) or bytes(32),
            self.reception.incarnation,
            self.reception.contiguous,
            tuple(self.branch[max(telling, 0) :]),
        )
        self.branch.append(Segment(incarnation, self.number + 1))
        if len(self.branch) > limits.SEGMENTS_KEPT and self.branch[1].first <= self.acked:
            del self.branch[0]
        self.begun, self._begun_ms, self._floor = True, now.mono_ms, self.acked
        self._again_ms = None
        self._unheard = self._append(self.service(receipts.BEGIN, begin.encode(), now), now).number
        self.tell("begin", number=self.number)

    @staticmethod
    def service(kind: int, body: bytes, now: Now, references: Sequence[Reference] = ()) -> Record:
        """A record that machines write, at FLASH so that nothing waits for it."""
        at = now.wall_s
        return Record(0, 0, Precedence.FLASH, kind, "", at, at, None, tuple(references), "", body)

    def hear(self, inner: bytes, now: Now) -> list[Taken]:
        """Take the frames of a datagram that opened; the records that are new.

        What breaks the protocol is counted in `faults` and shown; frames before it stand (R16).
        """
        taken: list[Taken] = []
        self._ack = None
        try:
            for frame in decode_frames(inner):
                try:
                    taken += self._frame(frame, now)
                except Refused as refused:
                    self.fault(refused)
                    self.answer(Frame(FrameType.REFUSE, refused.encode()))
                except RemoteError as error:
                    if error.code == "begin.missing":
                        self._ask_begin(now)
                    if error.code == "wire.malformed" and frame.type != FrameType.RECORD:
                        raise
                    self.fault(error)
        except RemoteError as error:
            self.fault(error)
        if self._ack is not None:
            # Once, whatever number of them there was: each costs a look at all that is on its way.
            self._acknowledged(self._ack, now)
        return taken

    def _frame(self, frame: Frame, now: Now) -> Sequence[Taken]:
        kind, payload = frame
        if kind == FrameType.RECORD:
            return self._arrive(payload, now)
        if kind == FrameType.PIECE:
            self.owes_ack = True
            whole = self.delivery.piece(payload, now.mono_ms)
            return self._arrive(whole, now) if whole is not None else ()
        if kind == FrameType.ACK:
            self._ack = Ack.decode(payload)
        elif kind == FrameType.REFUSE:
            self._refused(payload)
        elif FrameType.RUN <= kind <= FrameType.HEADS:
            self.asides.append(frame)
        return ()

    def _arrive(self, data: bytes, now: Now) -> Sequence[Taken]:
        self.owes_ack = self.dirty = True
        lost = self.reception.lost.highest or 0
        taken = tuple(self.reception.arrive(data, now.mono_ms))
        self.impersonated |= (self.reception.lost.highest or 0) > lost
        for record, place, _ in taken:
            told = {"number": record.number, "precedence": record.precedence.name, "place": place}
            self.tell("rejoined" if place == "rejoined" else "arrived", **told)
            if record.kind == receipts.BEGIN and place in ("chained", "waiting"):
                self._begun_there(record, now)
        self._mind_gap(now)
        return taken

    def _mind_gap(self, now: Now) -> None:
        before = self.reception.contiguous
        if not self.reception.waiting:
            self._gap = None
        elif self._gap is None or self._gap[0] != before:
            self._gap = before, now.mono_ms + _PATIENCE_MS

    def _begun_there(self, record: Record, now: Now) -> None:
        """R23: what the other side says it holds of ours, against what it had acknowledged."""
        begin = Begin.decode(record)
        if begin.floor > 0 and self.reception.lost:
            self.tell("lost", ranges=list(self.reception.lost))
        self.delivery.forget()  # what was held beyond the contiguous number, an ACK says anew
        at = self.branch.find(begin.reader_incarnation)
        if at is None and begin.reader_incarnation:
            self.impersonated = True
            self._begin_anew(now)
            return
        end = self.branch.end(at, self.number) if at is not None else 0
        if min(begin.reader_contiguous, end) < self.acked:
            fresh = self._floor != self.acked or self.number == self.acked
            (self._begin if fresh else self._ask_begin)(now)

    def _ask_begin(self, now: Now) -> None:
        """R22: say what we hold, that the author begins anew; more seldom if it changes nothing."""
        if self._asked != self.reception.contiguous:
            self._asked, self._ask_wait_ms = self.reception.contiguous, _PATIENCE_MS
        if now.mono_ms - self._begun_ms >= self._ask_wait_ms and not self._unheard:
            self._ask_wait_ms = min(2 * self._ask_wait_ms, _ASK_WAIT_MS_MAX)
            self._begin(now)

    def _begin_anew(self, now: Now) -> None:
        """R23: the other side holds what we never said; it may tell us no second time."""
        self._unheard = 0
        self._again_ms = max(now.mono_ms, self._begun_ms + _PATIENCE_MS)
        self.tick(now)

    def _acknowledged(self, ack: Ack, now: Now) -> None:
        at = self.branch.find(ack.incarnation)
        if at is None:
            if ack.incarnation:
                self.impersonated = True
                self._begin_anew(now)
            return
        end = self.branch.end(at, self.number)
        top = ack.held[-1][1] if ack.held else ack.contiguous
        if top > end and at == len(self.branch) - 1:
            # The other side lies, or we were put back while running: it holds what we said before.
            self.fault(RemoteError("ack.beyond", number=top))
            self._begin_anew(now)
            return
        if min(ack.contiguous, end) > self.acked:
            self.acked = min(ack.contiguous, end)
            self.dirty = True
        for number in self.delivery.acknowledge(ack, end, now.mono_ms):
            if number == self._unheard:
                self._unheard = 0
            self.tell("held", number=number)

    def _refused(self, payload: bytes) -> None:
        reader = Reader(payload)
        serial, code = Serial(reader.uint(3), reader.varint()), reader.uint(1)
        if reader.more():
            raise malformed("refuse")
        if self.delivery.refuse(serial, code):
            self.tell("refused", number=serial.number, code=code)

    def answer(self, frame: Frame) -> None:
        """Queue a frame that is not a record; more than a peer can honestly cause are dropped."""
        if len(self.answers) < _ANSWERS_MAX and frame not in self.answers:
            self.answers.append(frame)

    def fault(self, error: RemoteError) -> None:
        """Count what the other side did wrong."""
        if error.code in self.faults or len(self.faults) < limits.FAULTS_KEPT_MAX:
            self.faults[error.code] += 1
        self.tell("fault", code=error.code)

    def tell(self, name: str, **values: object) -> None:
        """Note something that happened, for logs and displays."""
        self.events.append((name, values))

    def tick(self, now: Now) -> None:
        """A gap that stays makes us begin, and so say what we hold (R22)."""
        if self._gap is not None and now.mono_ms >= self._gap[1]:
            self._ask_begin(now)
            self._gap = self._gap[0], now.mono_ms + self._ask_wait_ms
        if self._again_ms is not None and now.mono_ms >= self._again_ms:
            self._begin(now)

    def deadline(self) -> int | None:
        """When to call `tick` next, monotonic milliseconds; None if nothing waits."""
        waits = [self._again_ms, self._gap and self._gap[1]]
        return min((at_ms for at_ms in waits if at_ms is not None), default=None)
