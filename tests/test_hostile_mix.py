"""The attacker at random: whatever mixture of frames, records, branches and runs it sends, no input
is ever an error of our own, nothing that was kept is changed, and the line goes on."""

from __future__ import annotations

import random
from typing import Any

import pytest

from openline.core import receipts
from openline.core.envelope import Ack, Frame, FrameType, varint
from openline.core.events import Serial
from openline.core.inbound import Begin
from openline.core.precedence import Precedence
from openline.core.transcript import Segment
from openline.delivery.assembly import Piece
from tests.hostile import Mutant, lane, rows, settled, still_carries
from tests.vectors.scribe import raw_record

KINDS = (receipts.TEXT, receipts.OPENED, receipts.HOLDING, receipts.FORK, receipts.OFFER, 200)


class Chaos:
    """Draws what the attacker says next."""

    def __init__(self, mutant: Mutant, chance: random.Random) -> None:
        self.mutant, self.chance = mutant, chance
        self.incarnations = [mutant.last.incarnation, *range(1, 7)]
        self.before = [data.record for data in rows(mutant.pair)]

    def number(self) -> int:
        spread = self.chance.choice((3, 10, 40, 2000, 2**21, 2**61))
        return self.chance.randrange(1, self.mutant.last.number + spread)

    def serial(self) -> Serial:
        return Serial(self.chance.choice(self.incarnations), self.number())

    def record(self) -> bytes:
        if self.chance.random() < 0.1:
            return bytes(self.chance.choice(self.before))
        if self.chance.random() < 0.4:
            return self.begin()
        optional = b"\1" + varint(self.number()) + b"\0\0\1"
        fields: Any = {"flags": 8, "optional": optional} if self.chance.random() < 0.3 else {}
        body = self.chance.randbytes(self.chance.randrange(4))
        return raw_record(*self.serial(), kind=self.chance.choice(KINDS), body=body, **fields)

    def begin(self) -> bytes:
        serial = self.serial()
        floor = self.chance.choice((0, serial.number - 1, self.number()))
        firsts = sorted({1, self.number(), self.number()})[: self.chance.randrange(4)]
        path = [Segment(self.chance.choice([*self.incarnations, 99]), first) for first in firsts]
        holds = self.chance.choice((Serial(0, 0), self.serial()))
        body = Begin(floor, self.chance.randbytes(32), *holds, tuple(path)).encode()
        flags = Precedence.FLASH << 6
        return raw_record(*serial, flags=flags, kind=receipts.BEGIN, language=0, body=body)

    def frame(self) -> Frame:
        kind = self.chance.randrange(0, 12)
        match kind:
            case FrameType.RECORD:
                return Frame(kind, self.record())
            case FrameType.PIECE:
                whole = self.record()
                at = self.chance.randrange(len(whole))
                return Frame(kind, Piece.cut(self.serial(), whole, at, len(whole)).encode())
            case FrameType.ACK:
                number = self.number()
                held = ((number + 2, number + 2 + self.chance.randrange(50)),)
                ours = lane(self.mutant.pair).line.branch[-1].incarnation
                return Frame(kind, Ack(self.chance.choice((ours, 77)), number, held).encode())
            case FrameType.RUN | FrameType.REOPEN:
                seal = lane(self.mutant.pair).seal
                runs = [run.run_id for run in seal.candidates] + [b"abcd"]
                return Frame(kind, self.chance.choice(runs))
            case FrameType.REFUSE:
                serial = self.serial()
                named = serial.incarnation.to_bytes(3, "big") + varint(serial.number)
                return Frame(kind, named + bytes((self.chance.randrange(9),)))
            case _:
                return Frame(kind, self.chance.randbytes(self.chance.randrange(40)))

    def datagram(self) -> None:
        if self.chance.random() < 0.1:
            self.mutant.seal._open_run(self.mutant.pair.now, to_card=self.chance.random() < 0.5)
        elif self.chance.random() < 0.05:
            self.mutant.stray()
        frames = [self.frame() for _ in range(self.chance.randrange(1, 9))]
        self.mutant.send(*frames, *(self.record() for _ in range(self.chance.randrange(3))))


@pytest.mark.parametrize("seed", range(12))
def test_nothing_the_attacker_says_is_an_error_of_ours(seed: int) -> None:
    chance = random.Random(seed)
    pair = settled(tape=chance.random() < 0.5, attacker_first=chance.random() < 0.5)
    mutant = Mutant(pair)
    chaos = Chaos(mutant, chance)
    for _ in range(150):
        chaos.datagram()
        if chance.random() < 0.3:
            mutant.hear()
        if chance.random() < 0.1:
            mutant.pass_time(chance.choice((10, 1_000, 61_000)))
        if chance.random() < 0.03:
            pair.restart("a")
        if chance.random() < 0.1:
            pair.say("a", "said meanwhile")
    kept = [row.record for row in rows(pair)]
    assert kept[: len(chaos.before)] == chaos.before
    still_carries(pair)
    assert [row.record for row in rows(pair)][: len(kept)] == kept
