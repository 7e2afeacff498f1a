"""What waits is counted and listed rightly however much it is, and costs little memory."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter

import pytest

from openline import unopened
from openline.core import receipts
from openline.core.envelope import Record, encode_record
from openline.core.precedence import Precedence
from openline.sim.disk import MemoryStore
from openline.store.base import ABANDONED, CHAINED, THEIRS, Batch, Mark, Row
from openline.unopened import FLASHES_MAX, Unopened

INCARNATION = 7


def row(line: int, number: int, precedence: Precedence) -> Row:
    """A text of the other side of a line."""
    record = Record(
        INCARNATION, number, precedence, receipts.TEXT, "en", 9, 9, None, (), "", b"a text"
    )
    return Row(
        *(line, THEIRS, number, INCARNATION, encode_record(record), None, 1000 + number),
        *(receipts.TEXT, precedence),
    )


class World:
    """A post's board, and a list of all texts that says what it should show."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.unopened = Unopened(self.store)
        self.arrived: list[Row] = []
        self.handled: set[Row] = set()
        self.left: set[Row] = set()

    def commit(self, batch: Batch) -> None:
        self.store.commit(batch)
        self.unopened.follow(batch)

    def arrive(self, line: int, precedence: Precedence) -> None:
        self.arrived.append(row(line, len(self.arrived) + 1, precedence))
        self.commit(Batch(rows=self.arrived[-1:]))

    def handle(self, text: Row, by: int) -> None:
        kind = unopened.HANDLED[by % len(unopened.HANDLED)]
        self.handled.add(text)
        self.commit(Batch(marks=[Mark(*text[:4], kind, 1, None, by)]))

    def place(self, text: Row, standing: int) -> None:
        (self.left.add if standing == ABANDONED else self.left.discard)(text)
        self.commit(Batch(heads=[(*text[:4], None, standing)]))

    def restart(self) -> None:
        self.unopened = Unopened(self.store)

    def check(self, limit: int) -> None:
        while not self.unopened.look():
            pass
        waits = [text for text in self.arrived if text not in self.handled | self.left]
        urgent = sorted(waits, key=lambda text: -text.precedence)
        told = [(text.line, text.serial.number) for text in self.unopened.texts(limit)]
        assert told == [(text.line, text.number) for text in urgent[:limit]]
        counts = Counter((text.line, Precedence(text.precedence)) for text in waits)
        assert self.unopened.counts() == counts
        flashes = []
        of_line = Counter[int]()
        for text in reversed(waits):
            of_line[text.line] += text.precedence == Precedence.FLASH
            if text.precedence == Precedence.FLASH and of_line[text.line] <= FLASHES_MAX:
                flashes.append(text.number)
        assert [text.serial.number for text in self.unopened.flashes()] == flashes


@pytest.mark.parametrize("seed", range(4))
def test_the_board_is_right_whatever_arrives_is_opened_leaves_or_comes_back(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unopened, "LISTED_MAX", 5)
    monkeypatch.setattr(unopened, "LOOK_ROWS_MAX", 7)
    world, chance = World(), random.Random(seed)
    for step in range(600):
        if not world.arrived or chance.random() < 0.6:
            world.arrive(chance.choice((1, 2)), chance.choice(list(Precedence)))
        else:
            text = chance.choice(world.arrived)
            if chance.random() < 0.5:
                world.handle(text, step)
            else:
                world.place(text, chance.choice((ABANDONED, CHAINED)))
        if chance.random() < 0.1:
            world.check(chance.choice((0, 3, 10, 1000)))
        if chance.random() < 0.02:
            world.restart()
    world.check(1000)


def test_what_is_listed_moves_up_as_it_is_opened_one_by_one() -> None:
    world = World()
    for _ in range(30):
        world.arrive(1, Precedence.ROUTINE)
    for text in list(world.arrived):
        world.check(10)
        world.handle(text, 1)
        world.handle(text, 2)
        if text.number == 15:
            world.restart()
    world.check(10)
    assert world.unopened.counts() == {}


def test_a_flood_of_texts_costs_a_few_bytes_each() -> None:
    world, many = World(), 20_000
    world.store.commit(Batch(rows=[row(1, n, Precedence.ROUTINE) for n in range(1, many + 1)]))
    tracemalloc.start()
    try:
        while not world.unopened.look():
            pass
        assert len(world.unopened.texts(1000)) == 1000
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert world.unopened.counts() == {(1, Precedence.ROUTINE): many}
    assert kept < 1_000_000 + 16 * many
