"""Filling datagrams: what a bearer carries next (answers, an ACK, records, pieces of a long one).

Theory of operation: a bearer asks for one datagram at a time, so that what is not yet on the wire
can still be overtaken. Answers go first, then an ACK if one is owed, then records as the outbox
picks them; a record longer than a datagram goes in pieces, between which a more urgent record may
slip in. A bearer that cuts datagrams in fragments asks between two of them whether anything more
urgent has come up (`compose` with `above`): a record of higher rank, an answer, or the ACK of a
FLASH, for which somebody waits. Call `compose` only when everything the line knows is on disk. A
bearer is tested with what every peer answers over the same bearer: a record, here one that may be
long held (R25). Nothing here is durable, and nothing here can make a record wrong, only late.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from ..core import limits
from ..core.envelope import Frame, FrameType, varint
from ..core.events import Now, Serial
from ..core.line import Line
from ..core.precedence import Precedence
from ..core.transcript import OURS
from ..errors import LocalError
from ..inputs import BearerDown, BearerUp
from .assembly import Piece
from .channel import Channel
from .entry import Entry, Outbound
from .outbox import Outbox

_ANSWERS_MAX = 64
_FLASH = Precedence.FLASH.value
_ANSWER = Precedence.IMMEDIATE.value
"""The rank of a datagram without records."""


def frame_bytes(payload_bytes: int) -> int:
    """Bytes a frame takes when it is not the last (its most)."""
    return 1 + len(varint(payload_bytes)) + payload_bytes


class Composed(NamedTuple):
    """What one datagram carries."""

    frames: list[Frame]
    rank: int
    """That of its most urgent record."""


def _together(filled: list[Entry], entry: Entry, channel: Channel) -> bool:
    """Whether a record may go into a datagram with these.

    What is less urgent than FLASH shares none with it, for a reader with a full disk refuses that;
    but where every byte counts it may with a BEGIN that was never lost.
    """
    if not filled or filled[0].rank < _FLASH or entry.rank >= _FLASH:
        return True
    narrow = channel.up is not None and channel.up.narrow
    return narrow and filled[-1].rank > _FLASH and not filled[0].repeated


@dataclass(slots=True)
class _Cut:
    """A record that is being cut in pieces for one bearer."""

    entry: Entry
    data: bytes
    sent: int = 0
    """Bytes cut off so far."""


class Dispatch:
    """Composes the datagrams of one line from its line and outbox."""

    def __init__(self, line: Line, outbox: Outbox) -> None:
        self.line = line
        self.outbox = outbox
        self._ack_due: set[str] = set()
        """Bearers that owe the other side an ACK."""
        self._ack_pressing = False
        """Whether what was heard last and not yet acknowledged is a FLASH."""
        self._answers: dict[str, deque[Frame]] = {}
        self._cuts: dict[str, dict[int, _Cut]] = {}
        """By bearer and number. A slow bearer goes on where it was when the timer has run out
        meanwhile; else it would never come to the end."""
        self._tests: dict[str, int | None] = {}
        """By bearer under test: when that was sent, None while it is to be sent."""

    def hearing(self, bearer: str, size: int) -> None:
        """A datagram of the other side opened on this bearer; the line is about to take it."""
        self.outbox.hearing, self.outbox.pieced = bearer, False
        channel = self.outbox.channels.get(bearer)
        if channel is not None:
            channel.heard_bytes += size

    def heard(self, bearer: str, now: Now, *, news: bool, flash: bool) -> None:
        """The line has taken the datagram; `news` if there was a record in it that we did not hold,
        `flash` if one of them is a FLASH."""
        self._ack_pressing = self._ack_pressing or flash
        self.outbox.hearing = None
        self.outbox.revive(now.mono_ms)
        channel = self.outbox.channels.get(bearer)
        if channel is not None:
            channel.heard_ms = now.mono_ms
            sent_ms = self._tests.get(bearer)
            if sent_ms is not None and channel.acked_ms is not None:
                del self._tests[bearer]
                self.line.tell("tested", bearer=bearer, took_ms=now.mono_ms - sent_ms)
        if self.line.owes_ack:
            self.line.owes_ack = False
            self._ack_due.add(bearer)
            if not (news or self.outbox.pieced):
                # It says again what we hold: our ACK was not heard where we said it.
                channels = self.outbox.channels
                self._ack_due.update(name for name, each in channels.items() if each.up)

    def bearer_up(self, up: BearerUp, now: Now) -> None:
        """A bearer can carry, what was lost with its last connection is due again; or it is heard
        over again or no more."""
        self._cuts.pop(up.bearer, None)
        self.outbox.bearer_up(up.bearer, up.profile, now.mono_ms, up.deaf)
        if self.line.reception.branch:
            self._ack_due.add(up.bearer)
        self.line.tell("bearer.up", bearer=up.bearer)

    def bearer_down(self, down: BearerDown, now: Now) -> None:
        """A bearer cannot carry: what was on it alone goes elsewhere at once."""
        self._tests.pop(down.bearer, None)
        self._cuts.pop(down.bearer, None)
        self._answers.pop(down.bearer, None)
        if self.outbox.bearer_down(down.bearer, down.code, down.actor, now.mono_ms):
            self.line.tell("bearer.down", bearer=down.bearer, code=down.code)

    def bearer_gone(self, bearer: str, now: Now) -> None:
        """A bearer is there no more."""
        self.bearer_down(BearerDown(0, bearer, "bearer.removed"), now)
        self.outbox.bearer_gone(bearer)

    def test(self, bearer: str) -> None:
        """Send something over this bearer alone that is answered over it; "tested" is told
        when it is. Raises LocalError."""
        channel = self.outbox.channels.get(bearer)
        if channel is None:
            raise LocalError("bearer.unknown", name=bearer)
        if channel.up is None:
            raise LocalError("bearer.not_up", name=bearer)
        self._tests[bearer] = None

    def requeue(self) -> None:
        """The other side could not read what is on the wire: send it again."""
        self._cuts.clear()
        for bearer in self.outbox.channels:
            self.outbox.drop(bearer)

    def compose(
        self, bearer: str, room: int, now: Now, *, records: bool = True, above: int | None = None
    ) -> Composed:
        """Frames for one datagram with `room` bytes; none if there is nothing to say.

        Without `records`, only answers and an ACK; `above` a rank, only if something presses more,
        and no record that does not.
        """
        channel = self.outbox.channels.get(bearer)
        if channel is None or channel.up is None:
            return Composed([], 0)
        if above is not None and not self._presses(channel, above, now):
            return Composed([], 0)
        channel.stuck = False
        frames: list[Frame] = []
        answers = self._answers_for(bearer)
        while answers and frame_bytes(len(answers[0].payload)) <= room:
            room -= frame_bytes(len(answers[0].payload))
            frames.append(answers.popleft())
        acks: list[Frame] = []
        if self._owes_ack(bearer):
            payload = self._ack(room)
            if frame_bytes(len(payload)) <= room:
                room -= frame_bytes(len(payload))
                self._ack_due.discard(bearer)
                self._ack_pressing = False
                acks.append(Frame(FrameType.ACK, payload))
        rank = _ANSWER
        if records and self._tests.get(bearer, 0) is None:
            # Alone, for a test is of the bearer and not of what waits.
            frames += self._test(channel, room, now)
        elif records:
            rank = self._fill(frames, channel, room, now, above)
        # Last, because a BEGIN among the records says what we held when it was made.
        frames += acks
        channel.asked(now.mono_ms, given=bool(frames))
        return Composed(frames, rank)

    def _presses(self, channel: Channel, above: int, now: Now) -> bool:
        """Whether something waits that goes before a datagram of this rank."""
        acked = self._ack_pressing and channel.name in self._ack_due
        if above < _ANSWER and (acked or self._answers_for(channel.name)):
            return True
        entry, _ = self._next(channel, now)
        return entry is not None and entry.rank > above

    def waits(self, channel: Channel, now: Now) -> bool:
        """Whether a record waits that this bearer would take now."""
        return self._next(channel, now)[0] is not None

    def _test(self, channel: Channel, room: int, now: Now) -> list[Frame]:
        """Our newest BEGIN, which every line has, or where it does not fit a piece of it: held or
        not, it is answered with an ACK over the bearer it came by."""
        newest = self.line.branch[-1]
        serial = Serial(newest.incarnation, newest.first)
        data = self.line.ledger.get(OURS, serial) or b""
        self._tests[channel.name], channel.acked_ms = now.mono_ms, None
        if frame_bytes(len(data)) <= room:
            return [Frame(FrameType.RECORD, data)]
        return [Frame(FrameType.PIECE, Piece.cut(serial, data, 0, 1).encode())]

    def _answers_for(self, bearer: str) -> deque[Frame]:
        """What is to be said on a bearer: every answer goes over each bearer that is up, once.

        Answers are small and none is repeated by a timer; one that is lost with a bearer that
        delivers nothing would be missed.
        """
        for frame in self.line.answers:
            for name, channel in self.outbox.channels.items():
                queue = self._answers.setdefault(name, deque(maxlen=_ANSWERS_MAX))
                if channel.up is not None and frame not in queue:
                    queue.append(frame)
        self.line.answers.clear()
        return self._answers.setdefault(bearer, deque(maxlen=_ANSWERS_MAX))

    def _owes_ack(self, bearer: str) -> bool:
        """Whether an ACK is due here, or on a bearer that has died meanwhile."""
        if self.line.owes_ack:
            self.line.owes_ack = False
            return True
        channels = self.outbox.channels
        dead = {b for b in self._ack_due if b not in channels or not channels[b].up}
        self._ack_due -= dead
        return bearer in self._ack_due or bool(dead)

    def _ack(self, room: int) -> bytes:
        """An ACK that names as much as there is room for: what it does not name comes again."""
        ack = self.line.reception.ack()
        payload = ack.encode()
        while frame_bytes(len(payload)) > room and ack.held:
            ack = ack._replace(held=ack.held[: len(ack.held) // 2])
            payload = ack.encode()
        return payload

    def _fill(
        self, frames: list[Frame], channel: Channel, room: int, now: Now, above: int | None
    ) -> int:
        """Records above a rank, most urgent first; one too long for a datagram goes in pieces. The
        rank of the first, or of one that finds no room beside answers: these then go before it."""
        filled: list[Entry] = []
        rank = _ANSWER
        while room > 0:
            entry, cut = self._next(channel, now)
            if entry is None or not _together(filled, entry, channel):
                break
            if above is not None and entry.rank <= above:
                break
            if cut is not None:
                frames += self._piece(cut, room)
                self.outbox.wait(entry, channel, now.mono_ms)
                filled.append(entry)
                break
            short = entry.bulk or frame_bytes(entry.size) <= limits.DATAGRAM_BYTES_MAX // 4
            if frames and short and room < frame_bytes(entry.size):
                rank = max(rank, entry.rank)
                break
            filled.append(entry)
            self.outbox.sent(entry, channel, now.mono_ms)
            self.line.tell("sent", number=entry.serial.number, bearer=channel.name)
            cuts = self._cuts.setdefault(channel.name, {})
            if entry.serial.number in cuts:
                continue
            data = self.line.ledger.get(OURS, entry.serial) or b""
            if frame_bytes(entry.size) > room:
                cuts[entry.serial.number] = _Cut(entry, data)
            else:
                room -= frame_bytes(entry.size)
                frames.append(Frame(FrameType.RECORD, data))
        return filled[0].rank if filled else rank

    def _next(self, channel: Channel, now: Now) -> tuple[Entry | None, _Cut | None]:
        """The record that this bearer would take now, and how far it is cut if it goes on with
        that."""
        entry, cut = self.outbox.pick(channel, now.mono_ms), self._cut(channel.name)
        if cut is not None and (entry is None or entry.rank <= cut.entry.rank):
            return cut.entry, cut
        return entry, None

    def _cut(self, bearer: str) -> _Cut | None:
        """The most urgent record that is being cut for a bearer and wanted there."""
        cuts = self._cuts.get(bearer, {})
        for number, cut in list(cuts.items()):
            whole = cut.sent == len(cut.data)
            if whole or cut.entry.state not in (Outbound.SENT, Outbound.QUEUED):
                del cuts[number]
        wanted = [cut for cut in cuts.values() if cut.entry.on(bearer)]
        return max(wanted, key=lambda cut: cut.entry.rank, default=None)

    @staticmethod
    def _piece(cut: _Cut, room: int) -> list[Frame]:
        """The next piece of a record that is being cut, if any of it fits."""
        serial = cut.entry.serial
        head = len(Piece(serial, len(cut.data), bytes(4), cut.sent, b"").encode())
        end = min(len(cut.data), cut.sent + room - head - 4)
        if end <= cut.sent:
            return []
        piece = Piece.cut(serial, cut.data, cut.sent, end)
        cut.sent = end
        return [Frame(FrameType.PIECE, piece.encode())]
