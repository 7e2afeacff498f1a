"""The line: the one public machine of the core, synchronous and pure.

Theory of operation: frames that were opened go in through `hear`, acts of our people through `release`, time through `tick`; what to put
into the next datagram of a bearer comes out of `compose`, the next deadline out of `deadline`. Everything durable goes through the
ledger and `save`, within the step that the post commits before it asks for anything to send; so an ACK is composed only when what it names is on disk,
and a record only when its release is. After a failed commit the line is thrown away and loaded again. Sealing, bearers and stores are not
known here; outbox.py chooses what to send, inbound.py judges what arrives, compare.py compares records.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import LocalError, RemoteError
from . import limits, receipts
from .compare import Comparer
from .envelope import (
    Ack,
    Frame,
    FrameType,
    Piece,
    Reader,
    Record,
    Refusal,
    decode_frames,
    encode_record,
    frame_bytes,
    malformed,
    varint,
)
from .events import BearerDown, BearerUp, Now, Reference, Serial
from .inbound import Begin, Reception, Refused, Taken
from .outbox import Channel, Entry, Outbox
from .precedence import Precedence
from .transcript import CHAINED, OURS, THEIRS, Ledger, Segment, find_segment, next_head, segment_end

_PATIENCE_MS = 60_000
_CONTROL_FRAMES_MAX = 64
_TEMPORARY = (Refusal.GAPS, Refusal.NO_ROOM, Refusal.PIECES)


class Line:
    """One line, from our side. Numbers, not names; bytes, not meaning.

    `genesis` holds head(0) of our chain and of theirs; `saved` is what `save` gave last, or None for a new line.
    """

    def __init__(
        self,
        ledger: Ledger,
        line_id: bytes,
        genesis: tuple[bytes, bytes],
        entropy: Callable[[int], bytes],
        saved: bytes | None,
        *,
        first: bool,
    ) -> None:
        self.ledger = ledger
        self.entropy = entropy
        self.outbox = Outbox()
        self.reception = Reception(ledger, genesis[THEIRS])
        self.comparer = Comparer(ledger, line_id, first=first)
        self.channels: dict[str, Channel] = {}
        self.number = 0
        self.head = genesis[OURS]
        self.branch: list[Segment] = []
        self.used_bytes = 0
        self.faults: Counter[str] = Counter()
        self.events: list[tuple[str, dict[str, object]]] = []
        self.runs: list[tuple[int, bytes]] = []
        """RUN and REOPEN heard, for sealing to take."""
        self.dirty = False
        """Whether `save` would give something else than last time."""
        self._begun = False
        self._begun_ms: int | None = None
        self._gap_ms: int | None = None
        self._ends_with_begin = False
        self._control: deque[Frame] = deque()
        self._ack_due: set[str] = set()
        self._cut: dict[str, tuple[Entry, bytes, int]] = {}
        if saved is not None:
            self._load(json.loads(saved))

    # -- durable state ------------------------------------------------------------------------

    def save(self) -> bytes:
        """What a restart needs beyond the records themselves."""
        self.dirty = False
        peer = self.reception
        return json.dumps(
            {
                "number": self.number,
                "head": self.head.hex(),
                "branch": self.branch,
                "acked": self.outbox.acked,
                "ends_with_begin": self._ends_with_begin,
                "peer_branch": peer.branch,
                "contiguous": peer.contiguous,
                "peer_head": peer.head.hex(),
                "former": peer.former,
                "lost": list(peer.lost),
                "forks": peer.forks,
            },
            separators=(",", ":"),
        ).encode()

    def _load(self, saved: dict[str, object]) -> None:
        state: dict[str, list[list[int]]] = saved  # type: ignore[assignment]
        peer = self.reception
        self.number, self.outbox.acked = int(str(saved["number"])), int(str(saved["acked"]))
        self.head, peer.head = (
            bytes.fromhex(str(saved["head"])),
            bytes.fromhex(str(saved["peer_head"])),
        )
        self.branch = [Segment(*pair) for pair in state["branch"]]
        self._ends_with_begin = bool(saved["ends_with_begin"])
        peer.branch = [Segment(*pair) for pair in state["peer_branch"]]
        peer.contiguous, peer.forks = int(str(saved["contiguous"])), int(str(saved["forks"]))
        peer.former = list(state["former"])  # type: ignore[arg-type]
        for first, last in state["lost"]:
            peer.lost.add(first, last)
        for serial, _ in self.ledger.following(THEIRS, peer.contiguous):
            peer.waiting.add(serial.number)
        for serial, data in self.ledger.following(OURS, self.outbox.acked):
            precedence = Precedence(data[3 + len(varint(serial.number))] >> 6)
            self.outbox.add(serial, precedence, len(data))

    # -- our side -----------------------------------------------------------------------------

    def start(self, now: Now) -> None:
        """A process begins: say so, unless the last thing said was just that (R20)."""
        if not self._ends_with_begin:
            self._begin(now)

    def release(self, record: Record, now: Now, *, deflate: bool = False) -> Serial:
        """Give a record its serial and put it in the chain and the outbox. Raises LocalError.

        The serial, incarnation and filing time of `record` are filled in here.
        """
        machinery = receipts.is_machinery(record.kind)
        urgent = machinery or record.precedence is Precedence.FLASH
        if len(self.outbox.entries) >= limits.OUTBOX_RECORDS_MAX and not urgent:
            raise LocalError("outbox.full", records_max=limits.OUTBOX_RECORDS_MAX)
        ceiling = self.reception.quota_bytes + (self.reception.reserve_bytes if urgent else 0)
        if self.used_bytes + len(record.body) > ceiling:
            raise LocalError("store.no_room", bytes_max=ceiling)
        encode_record(replace(record, incarnation=1, number=1, filed_s=now.wall_s))
        if not self._begun:
            self._begin(now)
        return self._append(record, now, deflate=deflate)

    def _append(self, record: Record, now: Now, *, deflate: bool = False) -> Serial:
        record = replace(
            record,
            incarnation=self.branch[-1].incarnation,
            number=self.number + 1,
            filed_s=now.wall_s,
        )
        data = encode_record(record, deflate=deflate)
        self.head = next_head(self.head, data)
        self.number += 1
        self.used_bytes += len(data)
        self.ledger.put(OURS, record, data, self.head, CHAINED)
        self.outbox.add(record.serial, record.precedence, len(data))
        self._ends_with_begin = record.kind == receipts.BEGIN
        self.dirty = True
        self._tell("released", number=record.number, precedence=record.precedence.name)
        return record.serial

    def _begin(self, now: Now) -> None:
        """Start an incarnation (R20)."""
        incarnation = 0
        while not incarnation or find_segment(self.branch, incarnation) is not None:
            incarnation = int.from_bytes(self.entropy(3), "big")
        floor = self.outbox.acked
        floor_head = self.ledger.head(OURS, floor) if floor else None
        begin = Begin(
            self.branch[-1].incarnation if self.branch else 0,
            floor,
            floor_head or bytes(32),
            self.reception.incarnation,
            self.reception.contiguous,
        )
        self.branch.append(Segment(incarnation, self.number + 1))
        if len(self.branch) > 64 and self.branch[1].first <= floor:
            del self.branch[0]
        self._begun, self._begun_ms = True, now.mono_ms
        self._append(self.service(receipts.BEGIN, begin.encode(), now), now)
        self._tell("begin", number=self.number)

    @staticmethod
    def service(
        kind: int, body: bytes, now: Now, references: Sequence[Reference] = ()
    ) -> Record:
        """A record that machines write, at FLASH so that nothing waits for it."""
        return Record(
            0, 0, Precedence.FLASH, kind, "", now.wall_s, now.wall_s, None, tuple(references), "", body
        )

    def resume(self, before: Line) -> None:
        """Take over from the line this one replaces in the same process, after a commit failed."""
        self.channels = before.channels
        self.faults = before.faults
        self.reception.quota_bytes = before.reception.quota_bytes
        self.reception.reserve_bytes = before.reception.reserve_bytes
        if before._begun and self.branch and self.branch[-1] in before.branch[-1:]:
            self._begun, self._begun_ms = True, before._begun_ms
        if self.reception.branch:
            self._ack_due |= {name for name, channel in self.channels.items() if channel.up}

    def requeue(self) -> None:
        """The other side could not read what is on the wire: send it again."""
        for bearer in self.channels:
            self.outbox.bearer_down(bearer)

    # -- their side ---------------------------------------------------------------------------

    def hear(self, inner: bytes, bearer: str, now: Now) -> list[Taken]:
        """Take the frames of a datagram that opened; the records that are new.

        What breaks the protocol is counted in `faults` and shown; frames before it stand (R16).
        """
        self.outbox.revive()
        channel = self.channels.get(bearer)
        if channel is not None:
            channel.heard_ms = now.mono_ms
        taken: list[Taken] = []
        try:
            for frame in decode_frames(inner):
                try:
                    taken += self._frame(frame, bearer, now)
                except Refused as refused:
                    self.fault(refused)
                    self._refuse(refused)
                except RemoteError as error:
                    self.fault(error)
                    if error.code == "wire.malformed" and frame.type != FrameType.RECORD:
                        break
                    if error.code == "begin.missing":
                        self._ask_begin(now)
        except RemoteError as error:
            self.fault(error)
        return taken

    def _frame(self, frame: Frame, bearer: str, now: Now) -> Sequence[Taken]:
        kind, payload = frame
        if kind in (FrameType.RUN, FrameType.REOPEN):
            if len(payload) != 4:
                raise malformed("run")
            self.runs.append((kind, payload))
        if kind == FrameType.RECORD:
            return self._arrive(payload, bearer, now)
        if kind == FrameType.PIECE:
            whole = self.reception.piece(Piece.decode(payload), now.mono_ms)
            return self._arrive(whole, bearer, now) if whole is not None else ()
        if kind == FrameType.ACK:
            self._acknowledged(Ack.decode(payload), now)
        elif kind == FrameType.REFUSE:
            self._refused(payload)
        elif kind == FrameType.CLAIM:
            self._answer(self.comparer.claim(payload, now))
            self._tell("compared", agree=self.comparer.told)
        elif kind == FrameType.LOOK:
            self._answer(self.comparer.look(payload, now))
        elif kind == FrameType.HEADS:
            self._answer(self.comparer.heads(payload))
        return ()

    def _arrive(self, data: bytes, bearer: str, now: Now) -> Sequence[Taken]:
        self._ack_due.add(bearer)
        lost = len(self.reception.lost)
        taken = tuple(self.reception.arrive(data, now.mono_ms))
        for record, place in taken:
            self.dirty = True
            self._tell(
                "arrived", number=record.number, precedence=record.precedence.name, place=place
            )
            if place == "fork":
                self._tell_fork(record, data, now)
            if record.kind == receipts.BEGIN and place != "abandoned":
                self._begun_there(record, now)
        if len(self.reception.lost) != lost:
            self._tell("lost", ranges=list(self.reception.lost))
        if not self.reception.waiting:
            self._gap_ms = None
        elif self._gap_ms is None:
            self._gap_ms = now.mono_ms
        return taken

    def _tell_fork(self, record: Record, data: bytes, now: Now) -> None:
        """R24: tell the author, once for each differing text, what we hold."""
        held = self.ledger.get(THEIRS, record.serial) or b""
        body = next_head(b"", held) + next_head(b"", data)
        self._tell("fork", number=record.number)
        reference = Reference(False, record.serial)
        self.release(self.service(receipts.FORK, body, now, [reference]), now)

    def _begun_there(self, record: Record, now: Now) -> None:
        """R23: what the other side says it holds of ours, against what it had acknowledged."""
        begin = Begin.decode(record.body)
        if self.reception.differs_at is not None:
            self._tell("differs", number=self.reception.differs_at)
        at = find_segment(self.branch, begin.reader_incarnation)
        if at is None and begin.reader_incarnation:
            return
        end = segment_end(self.branch, at, self.number) if at is not None else 0
        if min(begin.reader_contiguous, end) < self.outbox.acked:
            self.outbox.forget()
            self._begin(now)

    def _ask_begin(self, now: Now) -> None:
        """R22: records we cannot place come; say what we hold, so that the author begins anew."""
        if self._begun_ms is None or now.mono_ms - self._begun_ms >= _PATIENCE_MS:
            self._begin(now)

    def _acknowledged(self, ack: Ack, now: Now) -> None:
        at = find_segment(self.branch, ack.incarnation)
        if at is None:
            return
        end = segment_end(self.branch, at, self.number)
        top = ack.held[-1][1] if ack.held else ack.contiguous
        if top > end and at == len(self.branch) - 1:
            self.fault(RemoteError("ack.beyond", number=top))
        before = self.outbox.acked
        for entry in self.outbox.acknowledge(ack, end, self.channels, now.mono_ms):
            self._tell("held", number=entry.serial.number, precedence=entry.precedence.name)
        self.dirty |= self.outbox.acked != before

    def _refused(self, payload: bytes) -> None:
        reader = Reader(payload)
        serial, code = Serial(reader.uint(3), reader.varint()), reader.uint(1)
        entry = self.outbox.entries.get(serial.number)
        if reader.more():
            raise malformed("refuse")
        if entry is None or entry.serial != serial:
            raise RemoteError("refuse.unknown", number=serial.number)
        if self.outbox.refuse(serial.number, code, final=code not in _TEMPORARY):
            self._tell("refused", number=serial.number, code=code)

    def _refuse(self, refused: Refused) -> None:
        payload = (
            refused.serial.incarnation.to_bytes(3, "big")
            + varint(refused.serial.number)
            + bytes((refused.refusal,))
        )
        self._answer([Frame(FrameType.REFUSE, payload)])

    def _answer(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if len(self._control) < _CONTROL_FRAMES_MAX and frame not in self._control:
                self._control.append(frame)

    def control(self, kind: FrameType, payload: bytes) -> None:
        """Queue a frame that sealing wants said (RUN, REOPEN)."""
        self._answer([Frame(kind, payload)])

    def fault(self, error: RemoteError) -> None:
        """Count what the other side did wrong."""
        if error.code in self.faults or len(self.faults) < limits.FAULTS_KEPT_MAX:
            self.faults[error.code] += 1
        self._tell("fault", code=error.code)

    def _tell(self, name: str, **values: object) -> None:
        self.events.append((name, values))

    # -- comparing ----------------------------------------------------------------------------

    def compare(self, now: Now) -> None:
        """Ask the other side whether the records agree up to what both are known to hold. Raises LocalError."""
        frame = self.comparer.ask(*self.held_serials(), now)
        if frame is None:
            raise LocalError("compare.nothing")
        self._answer([frame])

    def held_serials(self) -> tuple[Serial, Serial]:
        """Up to where both sides are known to hold everything: (ours, theirs)."""
        return (
            self._at(self.branch, self.outbox.acked),
            self._at(self.reception.branch, self.reception.contiguous),
        )

    @staticmethod
    def _at(branch: list[Segment], number: int) -> Serial:
        for segment in reversed(branch):
            if segment.first <= number:
                return Serial(segment.incarnation, number)
        return Serial(0, number)

    # -- bearers and time ---------------------------------------------------------------------

    def bearer_up(self, up: BearerUp) -> None:
        """A bearer can carry: what was lost with its last connection is due again."""
        channel = self.channels.setdefault(up.bearer, Channel())
        channel.up, channel.code = up, ""
        self.outbox.bearer_down(up.bearer)
        if self.reception.branch:
            self._ack_due.add(up.bearer)
        self._tell("bearer.up", bearer=up.bearer)

    def bearer_down(self, down: BearerDown) -> None:
        """A bearer cannot carry: what was on it alone goes elsewhere at once."""
        channel = self.channels.setdefault(down.bearer, Channel())
        was_up, channel.up, channel.code = channel.up, None, down.code
        self.outbox.bearer_down(down.bearer)
        self._cut.pop(down.bearer, None)
        if was_up:
            self._tell("bearer.down", bearer=down.bearer, code=down.code)

    def tick(self, now: Now) -> None:
        """Let timers run out."""
        self.outbox.expire(now.mono_ms)
        if self._gap_ms is not None and now.mono_ms - self._gap_ms >= _PATIENCE_MS:
            self._gap_ms = now.mono_ms
            if not self._begun:
                self._begin(now)

    def deadline(self) -> int | None:
        """When to call `tick` next, monotonic milliseconds; None if nothing waits."""
        gap = self._gap_ms + _PATIENCE_MS if self._gap_ms is not None else None
        return min((at for at in (self.outbox.deadline(), gap) if at is not None), default=None)

    # -- sending ------------------------------------------------------------------------------

    def compose(self, bearer: str, room: int, now: Now) -> list[Frame]:
        """Frames for one datagram of `room` bytes on this bearer; empty if there is nothing to say.

        Call it only when everything the line knows is on disk.
        """
        channel = self.channels.get(bearer)
        if channel is None or channel.up is None:
            return []
        frames: list[Frame] = []
        left = room
        while self._control and frame_bytes(len(self._control[0].payload)) <= left:
            frames.append(self._control.popleft())
            left -= frame_bytes(len(frames[-1].payload))
        if self._owes_ack(bearer):
            payload = self.reception.ack().encode()
            if frame_bytes(len(payload)) <= left:
                self._ack_due.discard(bearer)
                frames.append(Frame(FrameType.ACK, payload))
                left -= frame_bytes(len(payload))
        self._fill(frames, bearer, channel, left, now)
        return frames

    def _owes_ack(self, bearer: str) -> bool:
        if bearer in self._ack_due:
            return True
        dead = {b for b in self._ack_due if b not in self.channels or not self.channels[b].up}
        self._ack_due -= dead
        return bool(dead)

    def _fill(
        self, frames: list[Frame], bearer: str, channel: Channel, left: int, now: Now
    ) -> None:
        """Records, most urgent first; one too long for a datagram goes in pieces."""
        while left > 0:
            entry = self.outbox.pick(self.channels, bearer)
            cut = self._cut.get(bearer)
            if cut and (entry is None or entry.precedence <= cut[0].precedence):
                piece, size = self._piece(bearer, cut, left)
                if piece is not None:
                    frames.append(piece)
                return
            if entry is None:
                return
            if frame_bytes(entry.size) > left:
                if frames and entry.size <= limits.DATAGRAM_BYTES_MAX // 4:
                    return
                data = self.ledger.get(OURS, entry.serial) or b""
                self._cut[bearer] = (entry, data, 0)
                self._sent(entry, channel, now)
                continue
            data = self.ledger.get(OURS, entry.serial) or b""
            frames.append(Frame(FrameType.RECORD, data))
            left -= frame_bytes(len(data))
            self._sent(entry, channel, now)

    def _piece(
        self, bearer: str, cut: tuple[Entry, bytes, int], left: int
    ) -> tuple[Frame | None, int]:
        entry, data, offset = cut
        head = len(Piece(entry.serial, len(data), offset, b"").encode())
        size = min(len(data) - offset, left - head - 4)
        if size <= 0:
            return None, 0
        piece = Piece(entry.serial, len(data), offset, data[offset : offset + size])
        if offset + size == len(data):
            del self._cut[bearer]
        else:
            self._cut[bearer] = (entry, data, offset + size)
        return Frame(FrameType.PIECE, piece.encode()), size

    def _sent(self, entry: Entry, channel: Channel, now: Now) -> None:
        self.outbox.sent(entry, channel, now.mono_ms)
        up = channel.up
        self._tell(
            "sent", number=entry.serial.number, bearer=up.bearer if up else "", attempt=entry.attempts
        )
