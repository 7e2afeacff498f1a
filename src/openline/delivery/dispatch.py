"""Filling datagrams: what a bearer carries next (answers, an ACK, records, pieces of a long one).

Theory of operation: a bearer asks for one datagram at a time, so that what is not yet on the wire
can still be overtaken. Answers go first, then an ACK if one is owed, then records as the outbox
picks them; a record longer than a datagram goes in pieces, between which a more urgent record may
slip in. Call `compose` only when everything the line knows is on disk. Nothing here is durable, and
nothing here can make a record wrong, only late.
"""

from __future__ import annotations

from collections import deque

from ..core import limits
from ..core.envelope import Frame, FrameType, varint
from ..core.events import Now
from ..core.line import Line
from ..core.precedence import Precedence
from ..core.transcript import OURS
from ..inputs import BearerDown, BearerUp
from .assembly import Piece
from .outbox import Channel, Entry, Outbox

_ANSWERS_MAX = 64


def frame_bytes(payload_bytes: int) -> int:
    """Bytes a frame takes when it is not the last (its most)."""
    return 1 + len(varint(payload_bytes)) + payload_bytes


class Dispatch:
    """Composes the datagrams of one line from its line and outbox."""

    def __init__(self, line: Line, outbox: Outbox) -> None:
        self.line = line
        self.outbox = outbox
        self._ack_due: set[str] = set()
        """Bearers that owe the other side an ACK."""
        self._answers: dict[str, deque[Frame]] = {}
        self._cut: dict[str, tuple[Entry, bytes, int]] = {}
        """Bearer → (entry, its bytes, how many are sent)."""

    def heard(self, bearer: str, now: Now) -> None:
        """A datagram of the other side opened on this bearer, and the line has taken it."""
        self.outbox.revive(now.mono_ms)
        channel = self.outbox.channels.get(bearer)
        if channel is not None:
            channel.heard_ms = now.mono_ms
        if self.line.owes_ack:
            self.line.owes_ack = False
            self._ack_due.add(bearer)

    def bearer_up(self, up: BearerUp) -> None:
        """A bearer can carry: what was lost with its last connection is due again."""
        channel = self.outbox.channels.setdefault(up.bearer, Channel())
        channel.up, channel.code = up, ""
        self.outbox.bearer_down(up.bearer)
        if self.line.reception.branch:
            self._ack_due.add(up.bearer)
        self.line.tell("bearer.up", bearer=up.bearer)

    def bearer_down(self, down: BearerDown) -> None:
        """A bearer cannot carry: what was on it alone goes elsewhere at once."""
        channel = self.outbox.channels.setdefault(down.bearer, Channel())
        was_up, channel.up, channel.code = channel.up, None, down.code
        self.outbox.bearer_down(down.bearer)
        self._cut.pop(down.bearer, None)
        self._answers.pop(down.bearer, None)
        if was_up:
            self.line.tell("bearer.down", bearer=down.bearer, code=down.code)

    def requeue(self) -> None:
        """The other side could not read what is on the wire: send it again."""
        for bearer in self.outbox.channels:
            self.outbox.bearer_down(bearer)

    def compose(self, bearer: str, room: int, now: Now, *, records: bool = True) -> list[Frame]:
        """Frames for one datagram with `room` bytes; empty if there is nothing to say.

        Without `records`, only answers and an ACK.
        """
        channel = self.outbox.channels.get(bearer)
        if channel is None or channel.up is None:
            return []
        frames: list[Frame] = []
        answers = self._answers_for(bearer)
        while answers and frame_bytes(len(answers[0].payload)) <= room:
            room -= frame_bytes(len(answers[0].payload))
            frames.append(answers.popleft())
        acks: list[Frame] = []
        if self._owes_ack(bearer):
            payload = self.line.reception.ack().encode()
            if frame_bytes(len(payload)) <= room:
                room -= frame_bytes(len(payload))
                self._ack_due.discard(bearer)
                acks.append(Frame(FrameType.ACK, payload))
        if records:
            self._fill(frames, bearer, channel, room, now)
        # Last, because a BEGIN among the records says what we held when it was made.
        return frames + acks

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

    def _fill(
        self, frames: list[Frame], bearer: str, channel: Channel, room: int, now: Now
    ) -> None:
        """Records, most urgent first; one too long for a datagram goes in pieces.

        FLASH shares no datagram with what is less urgent: a reader with a full disk refuses that.
        """
        flash = False
        while room > 0:
            entry = self.outbox.pick(bearer)
            cut = self._cut.get(bearer)
            if cut and (entry is None or entry.rank <= cut[0].rank):
                frames += self._piece(bearer, cut, room)
                self.outbox.wait(cut[0], channel, now.mono_ms)
                return
            if entry is None or (flash and entry.rank < Precedence.FLASH):
                return
            flash = entry.rank >= Precedence.FLASH
            if frames and room < frame_bytes(entry.size) <= limits.DATAGRAM_BYTES_MAX // 4:
                return
            data = self.line.ledger.get(OURS, entry.serial) or b""
            self.outbox.sent(entry, channel, now.mono_ms)
            self.line.tell("sent", number=entry.serial.number, bearer=bearer)
            if frame_bytes(entry.size) > room:
                self._cut[bearer] = (entry, data, 0)
            else:
                room -= frame_bytes(entry.size)
                frames.append(Frame(FrameType.RECORD, data))

    def _piece(self, bearer: str, cut: tuple[Entry, bytes, int], room: int) -> list[Frame]:
        """The next piece of a record that is being cut, if any of it fits."""
        entry, data, start = cut
        head = len(Piece(entry.serial, len(data), start, b"").encode())
        end = min(len(data), start + room - head - 4)
        if end <= start:
            return []
        if end == len(data):
            del self._cut[bearer]
        else:
            self._cut[bearer] = (entry, data, end)
        piece = Piece(entry.serial, len(data), start, data[start:end])
        return [Frame(FrameType.PIECE, piece.encode())]
