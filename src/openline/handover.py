"""A line takes the place of another: the cards are new, the relation and its name stay
(docs/protocol.md §9, "A line that succeeds another").

Theory of operation: both lines stand side by side. As soon as the new one is confirmed to us (the
other side has it on disk and answers), what is released goes there, and CLOSE ends our chain on the
old one. When we hold all of the other's chain there, up to its CLOSE, we say so by SUCCEED in the
chain of the new line, with the digest of the old record: this both acknowledges the old line to its
end, over a line that does not die with it, and proves the link between the two records. Who has
said SUCCEED and holds the other's needs the old line no more. Whatever of ours the other side does
not name as held then (its disk or ours was put back meanwhile) is released again on the new line in
the same commit, so that no order of steps and no crash between two loses a message. All that is
remembered is a `Passage` for each line; every function here acts within a step of the post.

A post whose disk was put back in the middle may wait for a CLOSE that will not come again, because
the other side has retired the line. Its own texts have gone over all the same, and a person ends
the wait with `revoke`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import NamedTuple, Self

from .core import receipts
from .core.envelope import Reader, Record, decode_record, malformed, varint
from .core.events import Now, Serial
from .core.inbound import Begin
from .core.line import Line
from .core.transcript import OURS, Branch, Segment
from .errors import RemoteError
from .lane import Lane
from .store.base import Batch

LINE_ID_BYTES = 16
DIGEST_BYTES = 32

SUCCEEDS = "succeeds"
"""The name under which a line has the number of the one it was paired to take over from."""

STATE = "passage"
"""The name under which a line's passage is kept, when the line has ended too."""


@dataclass
class Passage:
    """What a line knows of the line before it and of the one after it; plain values for JSON."""

    succeeds: int | None = None
    """The line it was paired to take over from."""
    successor: int | None = None
    """The line that has taken over from it: what is released goes there."""
    closed_ours: list[int] | None = None
    """Incarnation and number of our CLOSE."""
    closed_theirs: list[int] | None = None
    """The same of theirs, as it came last."""
    linked: list[int] | None = None
    """Incarnation and number of our SUCCEED on this line."""
    settled: str = ""
    """Their SUCCEED on this line, in hex."""
    carried: bool = False
    """What it does not name as held of ours is released again here."""
    differs_at: int | None = None
    """The number of our CLOSE, if their SUCCEED gives another digest of the record up to there."""
    again: list[int] = field(default_factory=list)
    """Numbers of ours that were released again on another line."""

    @classmethod
    def decode(cls, saved: bytes | None) -> Self:
        """The passage kept for a line."""
        return cls(**json.loads(saved)) if saved else cls()

    def encode(self) -> bytes:
        """For the store; nothing in it is secret."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()


class Settlement(NamedTuple):
    """The body of SUCCEED: its author holds the other's chain of the former line up to its CLOSE.

    `ours` and `theirs` are the CLOSEs of both, from the author's point of view; `path` is the
    branch of the other's chain as the author holds it.
    """

    line_id: bytes
    ours: Serial
    theirs: Serial
    digest: bytes
    path: tuple[Segment, ...]

    def encode(self) -> bytes:
        """The body's bytes."""
        serials = (_serial(serial.incarnation, serial.number) for serial in self[1:3])
        path = (_serial(*segment) for segment in self.path)
        return self.line_id + b"".join(serials) + self.digest + b"".join(path)

    @classmethod
    def decode(cls, body: bytes) -> Settlement:
        """The reverse of `encode`; raises RemoteError."""
        reader = Reader(body)
        line_id = reader.take(LINE_ID_BYTES)
        ours, theirs = (Serial(reader.uint(3), reader.varint()) for _ in range(2))
        digest = reader.take(DIGEST_BYTES)
        path = []
        while reader.more():
            path.append(Segment(reader.uint(3), reader.varint()))
        return cls(line_id, ours, theirs, digest, tuple(path))

    def held(self, serial: Serial) -> bool:
        """Whether the author says that it holds this record of the other's."""
        on_path = Branch(self.path).serial(serial.number) == serial
        return on_path and serial.number <= self.theirs.number


def _serial(incarnation: int, number: int) -> bytes:
    return incarnation.to_bytes(3, "big") + varint(number)


def note(lane: Lane, passage: Passage, former: Lane | None, now: Now) -> None:
    """Take the CLOSE and SUCCEED records that came on a line; say ours again to a side that has
    lost them."""
    heard, lane.passing = lane.passing, []
    for record in heard:
        try:
            if record.kind == receipts.BEGIN:
                held = Begin.decode(record).reader_contiguous
                passage.closed_ours = _again(lane, passage.closed_ours, held, now)
                passage.linked = _again(lane, passage.linked, held, now)
            elif record.kind == receipts.CLOSE:
                if len(record.body) != LINE_ID_BYTES:
                    raise malformed("close")
                passage.closed_theirs = [*record.serial]
            elif Settlement.decode(record.body).line_id == _line_id(former):
                passage.settled, passage.carried = record.body.hex(), False
        except RemoteError as error:
            lane.line.fault(error)


def _again(lane: Lane, said: list[int] | None, held: int, now: Now) -> list[int] | None:
    """Where a record of ours stands; it is released again if it was acknowledged and the other side
    now holds no more than `held`: what lies below a floor is not sent again (R20)."""
    if said is None or not held < said[1] <= lane.line.acked:
        return said
    record = decode_record(lane.ledger.get(OURS, Serial(*said)) or b"")
    return [*lane.line.release(Line.service(record.kind, record.body, now), now)]


def _line_id(lane: Lane | None) -> bytes | None:
    return lane.kit.line_id if lane else None


def advance(former: Lane, before: Passage, heir: Lane, after: Passage, now: Now) -> bool:
    """Go as far in the handover as what is known allows; whether the former line is needed no
    more."""
    if before.successor is None:
        if heir.seal.confirmed is None:
            return False
        before.successor = heir.number
        heir.line.tell("line.succeeds", former=former.number)
    if before.closed_ours is None:
        former.attachments.sender.stop_all(now)
        close = Line.service(receipts.CLOSE, heir.kit.line_id, now)
        before.closed_ours = [*former.line.release(close, now)]
    if after.settled and not after.carried:
        carry_over(former, before, after.settled, heir, now)
        after.carried = True
    if before.closed_theirs is None:
        return False
    ours, theirs = Serial(*before.closed_ours), Serial(*before.closed_theirs)
    if not _whole(former, theirs):
        return False
    digest = former.comparer.digest_at(ours, theirs) or bytes(DIGEST_BYTES)
    if after.linked is None:
        path = tuple(former.line.reception.branch)
        body = Settlement(former.kit.line_id, ours, theirs, digest, path).encode()
        after.linked = [*heir.line.release(Line.service(receipts.SUCCEED, body, now), now)]
    if not after.settled:
        return False
    said = Settlement.decode(bytes.fromhex(after.settled))
    if (said.theirs, said.ours) == (ours, theirs) and said.digest != digest:
        before.differs_at = ours.number
    return before.differs_at is None


def _whole(former: Lane, close: Serial) -> bool:
    """Whether we hold all of the other side's chain up to its CLOSE."""
    reception = former.line.reception
    on_branch = reception.branch.serial(close.number) == close
    return on_branch and reception.contiguous >= close.number


def unheld(former: Lane, settled: str) -> Iterator[Record]:
    """What people of ours said on a line and the other side is not known to hold; files are not
    sent again (§16)."""
    said = Settlement.decode(bytes.fromhex(settled)) if settled else None
    for serial, data in list(former.ledger.following(OURS, former.line.acked)):
        record = decode_record(data)
        if record.kind not in receipts.SERVICE | receipts.ATTACHED and not (
            said and said.held(serial)
        ):
            yield record


def carry_over(former: Lane, before: Passage, settled: str, heir: Lane, now: Now) -> None:
    """Release again on another line what is not known to be held of this one, under its own DTG."""
    for record in unheld(former, settled):
        if record.number in before.again:
            continue
        due_s = record.due_s if record.due_s and record.due_s >= now.wall_s else None
        heir.line.release(record._replace(due_s=due_s), now)
        before.again.append(record.number)
        heir.line.tell("released_again", former=former.number, number=record.number)


class Passages:
    """The passages of all lines of a post, and the going on with them; made anew with the lanes."""

    def __init__(self) -> None:
        self._of: dict[int, Passage] = {}
        self._kept: dict[int, Passage] = {}

    def __getitem__(self, line: int) -> Passage:
        return self._of[line]

    def load(self, line: int, state: Mapping[str, bytes]) -> None:
        """Take what is kept of a line."""
        for table in (self._of, self._kept):
            table[line] = Passage.decode(state.get(STATE))
            if SUCCEEDS in state:
                table[line].succeeds = int(state[SUCCEEDS])

    def save(self, batch: Batch) -> None:
        """Put what changed into a batch."""
        for line, passage in self._of.items():
            if passage != self._kept[line]:
                saved = batch.state[line, STATE] = passage.encode()
                self._kept[line] = Passage.decode(saved)

    def former(self, line: int) -> tuple[int, ...]:
        """The lines before this one, the latest first."""
        found: list[int] = []
        before = self._of[line].succeeds
        while before is not None and before in self._of and before not in found:
            found.append(before)
            before = self._of[before].succeeds
        return tuple(found)

    def in_charge(self, line: int) -> int:
        """The line that has taken over from this one, or this one."""
        while line in self._of and (successor := self._of[line].successor) is not None:
            line = successor
        return line

    def after(self, line: int, lanes: Mapping[int, Lane]) -> int | None:
        """The line that goes on where this one ends: its successor, else the one before it that is
        open."""
        charged = self.in_charge(line)
        former = (number for number in self.former(line) if number in lanes)
        return next(former, None) if charged == line else charged

    def heir(self, line: int, lanes: Mapping[int, Lane]) -> int | None:
        """The line paired to take over from this one, unless it has ended."""
        return next((n for n in lanes if self._of[n].succeeds == line), None)

    def beside(self, line: int, lanes: Mapping[int, Lane]) -> str:
        """How an open line stands that is not in charge of its label; "" for one that is."""
        if self._of[line].successor is not None:
            return "closing"
        before = self._of[line].succeeds or 0
        waits = before in lanes and self._of[before].successor != line
        return "successor" if waits else ""

    def hand_over(self, lanes: Mapping[int, Lane], now: Now) -> list[Lane]:
        """Go on with every line that takes over from another; the lines that may be retired."""
        done = []
        for number, lane in lanes.items():
            after = self._of[number]
            former = lanes.get(after.succeeds or 0)
            if lane.passing:
                note(lane, after, former, now)
            if former is None or not advance(former, self._of[former.number], lane, after, now):
                continue
            lane.line.tell("line.retired", former=former.number)
            done.append(former)
        return done

    def revoke(self, lane: Lane, lanes: Mapping[int, Lane], now: Now) -> None:
        """A line beside another is revoked: the other is in charge, and takes what may not have
        arrived."""
        passage = self._of[lane.number]
        before, heir = lanes.get(passage.succeeds or 0), self.heir(lane.number, lanes)
        if before is not None:
            told = self._of[before.number]
            told.successor = told.closed_ours = None
            carry_over(lane, passage, "", before, now)
        elif heir is not None:
            passage.successor = heir
            carry_over(lane, passage, self._of[heir].settled, lanes[heir], now)
