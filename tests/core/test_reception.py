"""Facts about what arrives: production and the independent reader follow an author alike, whatever
order, loss and restored disks do to it."""

from __future__ import annotations

import random
from hashlib import sha256

import pytest

from openline.core import limits
from openline.core.events import Serial
from openline.core.inbound import Reception, Refused
from openline.core.transcript import THEIRS
from openline.errors import RemoteError
from openline.ledger import LineLedger
from openline.sim.disk import MemoryStore
from openline.store.base import ABANDONED, Batch
from tests.independent.chain import Chain
from tests.independent.test_layouts import START, begin, record
from tests.independent.wire import RefusedError


class Reader:
    """Production's reception over a store in memory, and the independent chain beside it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.ledger = LineLedger(self.store, 1)
        self.reception = Reception(self.ledger, START, lambda *_: True)
        self.chain = Chain(START)

    def take(self, *told: bytes) -> list[str]:
        """Both take records; what production made of each."""
        return [self._take(data) for data in told]

    def _take(self, data: bytes) -> str:
        batch = Batch()
        self.ledger.begin(batch, 0)
        try:
            taken = tuple(self.reception.arrive(data, 0))
            outcome = taken[0].place if taken else "duplicate"
        except RemoteError as error:
            outcome = error.code
        self.store.commit(batch)
        self.ledger.settle()
        try:
            self.chain.take(data)
        except RefusedError:
            assert outcome.startswith("refused.")
        return outcome

    def restart(self) -> None:
        """The process ends; another reads the disk."""
        saved = self.reception.save()
        self.ledger = LineLedger(self.store, 1)
        self.reception = Reception(self.ledger, START, lambda *_: True)
        self.reception.load(saved)

    def agree(self) -> None:
        """Both hold the same chain."""
        reception, chain = self.reception, self.chain
        assert reception.contiguous == chain.contiguous
        assert reception.head == chain.heads[chain.contiguous]
        assert list(reception.lost) == chain.lost
        for number in range(1, reception.contiguous + 1):
            head = self.ledger.head(THEIRS, number)
            assert head in (None, chain.heads.get(number))

    def abandoned(self) -> list[tuple[int, int]]:
        rows = self.store.arrivals(1, 0, 10_000, side=THEIRS, kinds=range(256))
        return sorted((row.incarnation, row.number) for row in rows if row.standing == ABANDONED)


Saved = tuple[int, int, list[tuple[int, int]], dict[int, bytes], dict[int, bytes]]
"""Number, floor, branch, heads, records by number."""


class Author:
    """An honest author whose disk may be put back to any former state."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.number, self.floor = 0, 0
        self.branch: list[tuple[int, int]] = []
        self.heads = {0: START}
        self.sent: dict[int, bytes] = {}
        self.used: set[int] = set()
        self.alive = False

    def saved(self) -> Saved:
        """What a backup holds."""
        return self.number, self.floor, list(self.branch), dict(self.heads), dict(self.sent)

    def restore(self, saved: Saved) -> None:
        """A process begins on old state."""
        self.number, self.floor, self.branch, self.heads, self.sent = saved
        self.branch, self.heads, self.sent = list(self.branch), dict(self.heads), dict(self.sent)
        self.alive = False

    def write(self) -> None:
        """Release a text; the first of a process is preceded by a BEGIN."""
        if not self.alive:
            self.alive = True
            made, given = self._fresh(), self.heads[self.floor]
            self._append(begin(made, self.number + 1, self.branch, self.floor, given))
            self.branch.append((made, self.number))
        body = b"text %d" % self.chance.randrange(1 << 30)
        self._append(record(self.incarnation, self.number + 1, body))

    @property
    def incarnation(self) -> int:
        """The newest one; 0 before the first."""
        return self.branch[-1][0] if self.branch else 0

    def _fresh(self) -> int:
        while True:
            made = self.chance.randrange(1, 1 << 24)
            if made not in self.used:
                self.used.add(made)
                return made

    def _append(self, data: bytes) -> None:
        self.number += 1
        self.sent[self.number] = data
        self.heads[self.number] = sha256(self.heads[self.number - 1] + data).digest()

    def due(self) -> list[bytes]:
        """What is not known to be held."""
        return [data for number, data in self.sent.items() if number > self.floor]


@pytest.mark.parametrize("seed", range(20))
def test_both_readers_follow_an_author_through_restores_and_disorder(seed: int) -> None:
    chance = random.Random(seed)
    author, reader = Author(chance), Reader()
    backups = [author.saved()]
    for _ in range(25):
        for _ in range(chance.randrange(1, 5)):
            author.write()
        due = [data for data in author.due() if chance.random() < 0.8]
        chance.shuffle(due)
        reader.take(*due, *due[:2])
        match chance.randrange(6):
            case 0:
                backups.append(author.saved())
            case 1:
                author.restore(chance.choice(backups))
            case 2:
                author.alive = False
            case 3:
                reader.restart()
            case _ if reader.reception.incarnation == author.incarnation:
                author.floor = max(author.floor, min(author.number, reader.reception.contiguous))
    author.write()
    for _ in range(3):
        reader.take(*author.due())
    reader.agree()
    assert reader.reception.contiguous == author.number
    assert reader.reception.head == author.heads[author.number]


def test_a_begin_names_what_was_never_heard_of() -> None:
    reader = Reader()
    reader.take(begin(7, 1, [], 0), record(7, 2), record(7, 3))
    given = b"\x33" * 32
    last = begin(9, 13, [(7, 1), (8, 9)], 6, given)
    assert reader.take(last, begin(8, 9, [(7, 1)], 6, given)) == ["waiting"] * 2
    assert reader.take(record(7, 7), record(7, 8)) == ["chained"] * 2
    reader.agree()
    assert reader.reception.contiguous == 9


def test_a_begin_of_a_known_incarnation_moves_nothing_that_is_chained() -> None:
    reader = Reader()
    reader.take(begin(7, 1, [], 0), *(record(7, n) for n in range(2, 5)))
    before = list(reader.reception.branch)
    assert reader.take(begin(7, 5, [(99, 1)], 0)) == ["chained"]
    assert reader.reception.branch == before


def test_an_empty_disk_goes_on_from_a_floor_of_millions() -> None:
    reader = Reader()
    floor = 3 * limits.SERIAL_JUMP_MAX
    assert reader.take(begin(8, floor + 2, [(7, 1)], floor, b"\x33" * 32)) == ["waiting"]
    assert reader.take(record(7, floor + 1)) == ["chained"]
    assert list(reader.reception.lost) == [(1, floor)]
    assert reader.take(begin(9, floor + 4 + limits.SERIAL_JUMP_MAX, [(7, 1)], floor)) == [
        "refused.serial_jump"
    ]
    reader.agree()


def test_a_branch_that_was_left_is_followed_again() -> None:
    reader = Reader()
    reader.take(begin(7, 1, [], 0), *(record(7, n) for n in range(2, 5)))
    reader.take(begin(8, 3, [(7, 1)], 2), record(8, 4))
    assert reader.abandoned() == [(7, 3), (7, 4)]
    reader.take(begin(9, 5, [(7, 1)], 2))
    assert reader.abandoned() == [(8, 3), (8, 4)]
    reader.agree()


def test_an_incarnation_forgotten_long_ago_can_still_be_gone_on_from() -> None:
    reader = Reader()
    reader.take(begin(7, 1, [], 0), record(7, 2))
    path = [(7, 1)]
    for step in range(100):
        reader.take(begin(1000 + step, 3 + step, path, 0))
        path.append((1000 + step, 3 + step))
    assert len(reader.reception.branch) == limits.SEGMENTS_KEPT
    assert reader.take(begin(5, 3, [(7, 1)], 2, reader.chain.heads[2])) == ["chained"]
    assert reader.take(record(5, 4)) == ["chained"]
    assert reader.reception.contiguous == 4
    reader.agree()


def test_what_was_lost_and_comes_after_all_is_kept_off_the_chain() -> None:
    reader = Reader()
    reader.take(begin(7, 1, [], 0), begin(8, 4, [(7, 1)], 3, b"\x33" * 32))
    assert reader.take(record(7, 2), record(7, 2)) == ["abandoned", "duplicate"]
    assert reader.abandoned() == [(7, 2)]
    reader.agree()


def test_a_refused_record_leaves_everything_as_it_was() -> None:
    reader = Reader()
    reader.take(begin(7, 1, [], 0), record(7, 2))
    before = reader.reception.save()
    begins = begin(8, 2**50, [(7, 1)], 0), begin(9, 3, [(9, 1)], 0), begin(8, 2, [], 0)
    for bad in (*begins, record(7, 2**50)):
        reader.ledger.begin(Batch(), 0)
        with pytest.raises((Refused, RemoteError)):
            reader.reception.arrive(bad, 0)
        assert reader.reception.save() == before
        assert not reader.ledger.batch.rows


def test_serials_name_their_incarnation() -> None:
    assert str(Serial(0xABC, 7)) == "7.000abc"
