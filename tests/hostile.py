"""A paired peer that is the attacker: it holds every key of its line and sends what it likes.

Purpose: tests drive the honest post "a" of a `LinePair` by frames, records and openings that the
post "b" would never make, sealed with b's own keys. What a says to it, it reads with the same keys.
Its honest successor is b after `restart`, the same keys and disk in a process that keeps the rules.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from openline.core.envelope import Frame, FrameType, decode_frames, encode_frames
from openline.core.events import Now, Reference, Serial
from openline.core.line import Line
from openline.core.precedence import Precedence
from openline.errors import SealError
from openline.inputs import Tick
from openline.lane import Lane
from openline.sealing.seal import PLAIN, Seal
from openline.store.base import Batch
from tests.pair import LinePair
from tests.vectors.scribe import raw_record

VICTIM = "a"
ATTACKER = "b"


def settled(*, tape: bool = True, attacker_first: bool | None = None) -> LinePair:
    """A pair whose line is open; `attacker_first` says whether b must be the first party."""
    for seed in range(1, 50):
        pair = LinePair(tape=tape, seed=seed)
        if attacker_first in (None, lane(pair, ATTACKER).kit.first):
            pair.flow()
            pair.say(ATTACKER, "one true text")
            pair.flow()
            return pair
    raise AssertionError("no such pair")


def lane(pair: LinePair, name: str = VICTIM) -> Lane:
    """The lane of a post."""
    return pair.posts[name]._lanes[1]


def say(pair: LinePair, kind: int, body: bytes, *refers: Reference) -> Serial:
    """b releases a record that no honest post would."""
    there, batch, now = lane(pair, "b"), Batch(), pair.now
    there.begin(batch, now)
    record = Line.service(kind, body, now, refers)
    serial = there.line.release(record._replace(precedence=Precedence.ROUTINE), now)
    there.finish(batch, now)
    pair.stores["b"].commit(batch)
    there.ledger.settle()
    return serial


class Mutant:
    """The attacker's hands: seals what it is given, hears what the victim sends."""

    def __init__(self, pair: LinePair) -> None:
        """Take b's place on a line that is open."""
        self.pair = pair
        self.bytes_in = 0
        """Bytes given to the victim."""
        self.bytes_out = 0
        """Bytes the victim has sent since."""

    @property
    def seal(self) -> Seal:
        """b's seal."""
        return lane(self.pair, ATTACKER).seal

    @property
    def last(self) -> Serial:
        """The serial b used last."""
        line = lane(self.pair, ATTACKER).line
        return Serial(line.branch[-1].incarnation, line.number)

    def give(self, datagram: bytes) -> None:
        """The victim gets a datagram."""
        self.bytes_in += len(datagram)
        self.pair.give(VICTIM, [datagram])

    def send(self, *frames: Frame | bytes) -> None:
        """One datagram of frames; bytes among them are records."""
        framed = [Frame(FrameType.RECORD, f) if isinstance(f, bytes) else f for f in frames]
        self.inner(encode_frames(framed))

    def inner(self, inner: bytes) -> None:
        """One datagram with this inner."""
        run = self.seal.choose(self.pair.now)
        self.give(self.seal.seal(run, inner, self.pair.now))

    def stray(self, index: int = 0) -> None:
        """A datagram whose header is true and whose run nobody ever opened."""
        self.seal._open_run(self.pair.now, to_card=True)
        run = replace(self.seal.candidates.pop(), kind=PLAIN, opening=b"", index=index)
        self.give(self.seal.seal(run, b"", self.pair.now))

    def ahead(self, steps: int, **fields: Any) -> bytes:
        """A record `steps` numbers after the last true one, in b's incarnation."""
        incarnation, number = self.last
        return raw_record(incarnation, number + steps, **fields)

    def hear(self) -> list[Frame]:
        """The frames of everything the victim sends now."""
        frames: list[Frame] = []
        for datagram in self.pair.take(VICTIM):
            self.bytes_out += len(datagram)
            try:
                opened = self.seal.open(datagram, self.pair.now)
            except SealError:
                continue
            if opened is not None:
                frames += decode_frames(opened.inner)
                if opened.confirm is not None:
                    self.send(Frame(FrameType.RUN, opened.confirm))
        return frames

    def refusals(self) -> list[int]:
        """The codes of the REFUSE frames the victim sends now."""
        return [f.payload[-1] for f in self.hear() if f.type == FrameType.REFUSE]

    def pass_time(self, ms: int) -> None:
        """Let time pass for the victim alone."""
        now = self.pair.now
        self.pair.now = Now(now.mono_ms + ms, now.wall_s + ms // 1000)
        self.pair.do(VICTIM, Tick())


def disk_bytes(pair: LinePair) -> int:
    """What the victim's disk holds beside records: its state."""
    return sum(len(blob) for blob in pair.stores[VICTIM].state(1).values())


def rows(pair: LinePair, name: str = VICTIM, side: int = 1) -> list[Any]:
    """The records a post holds, of the other side by default, in the order they came."""
    return list(pair.stores[name].arrivals(1, 0, 100_000, side=side))


def faults(pair: LinePair) -> dict[str, int]:
    """What the victim's status counts of the attacker's doings."""
    return pair.posts[VICTIM].status(1, pair.now).faults


def kinds(pair: LinePair, kind: int, name: str = VICTIM, side: int = 0) -> int:
    """How many records of one kind a post holds of one side."""
    return sum(row.kind == kind for row in rows(pair, name, side))


def still_carries(pair: LinePair) -> None:
    """The attacker's honest successor and the victim exchange a FLASH both ways."""
    pair.restart(ATTACKER)
    for name in "ab":
        pair.say(name, f"honest {name}", Precedence.FLASH)
    for _ in range(8):
        pair.flow()
        heard = [rows(pair, name) for name in "ab"]
        if all(any(b"honest" in row.record for row in held) for held in heard):
            return
        pair.wait(20)
    raise AssertionError("the line carries nothing any more")
