"""A paired peer that lies about files: it is counted, bounded and believed in nothing."""

from __future__ import annotations

from hashlib import sha256

import pytest

from openline.attachments.bodies import Chunk, FileSaid
from openline.core import limits, receipts
from openline.core.envelope import Record
from openline.core.events import Reference, Serial
from openline.core.precedence import Precedence
from openline.errors import LocalError
from tests.filing import lay_in, listed, read, send, states
from tests.pair import LinePair

DATA = bytes(range(256)) * 40
CHUNKS = [DATA[at : at + limits.CHUNK_BYTES] for at in range(0, len(DATA), limits.CHUNK_BYTES)]


class Liar:
    """Post "a", which releases whatever records it is told to."""

    def __init__(self, pair: LinePair) -> None:
        self.pair = pair
        pair.flow()

    precedence = Precedence.ROUTINE

    def release(self, kind: int, body: bytes, *of: Serial, ours: bool = True) -> Serial:
        """A record of a kind that refers to records."""
        post, now = self.pair.posts["a"], self.pair.now
        named = tuple(Reference(ours, serial) for serial in of)
        at = now.wall_s
        record = Record(0, 0, self.precedence, kind, "", at, at, None, named, "", body)
        post._begin(now)
        serial = post._lanes[1].line.release(record, now)
        post._commit(now)
        return serial

    def text(self) -> Serial:
        """A text."""
        return self.release(receipts.TEXT, b"see")

    def file(
        self, *of: Serial, size: int = len(DATA), data: bytes = DATA, name: str = "x"
    ) -> Serial:
        """A FILE."""
        return self.release(
            receipts.FILE, FileSaid(size, sha256(data).digest(), name).encode(), *of
        )

    def chunk(self, at: int, data: bytes, *of: Serial) -> Serial:
        """A CHUNK."""
        return self.release(receipts.CHUNK, Chunk(at, data).encode(), *of)

    def faults(self) -> dict[str, int]:
        """What the honest side has counted by now."""
        self.pair.settle(2)
        return self.pair.posts["b"].status(1, self.pair.now).faults


@pytest.fixture
def liar() -> Liar:
    """A pair whose line is open."""
    return Liar(LinePair())


def test_an_honest_file_by_hand(liar: Liar) -> None:
    text = liar.text()
    file = liar.file(text)
    for at, data in enumerate(CHUNKS):
        liar.chunk(at, data, file)
    assert liar.faults() == {}
    assert read(liar.pair.stores["b"], text) == DATA


def test_files_that_belong_to_nothing_are_counted(liar: Liar) -> None:
    text = liar.text()
    theirs = liar.pair.say("b", "not yours")
    liar.pair.flow()
    liar.file()
    liar.file(text, text)
    liar.file(Serial(text.incarnation, 999))
    liar.release(receipts.FILE, FileSaid(1, bytes(32), "x").encode(), theirs, ours=False)
    file = liar.file(text)
    liar.file(file)
    assert liar.faults() == {"file.reference": 5}
    assert len(listed(liar.pair, "b", text)) == 1


def test_files_without_end_are_bounded_for_each_text(liar: Liar) -> None:
    text = liar.text()
    files = [liar.file(text) for _ in range(limits.FILES_MAX + 5)]
    liar.chunk(0, CHUNKS[0], files[-1])
    assert liar.faults() == {"file.too_many": 5, "chunk.reference": 1}
    assert len(listed(liar.pair, "b", text)) == limits.FILES_MAX


def test_malformed_bodies_are_counted(liar: Liar) -> None:
    text = liar.text()
    file = liar.file(text)
    for body in (b"", bytes(36), bytes(4) + bytes(32) + b"x", b"\xff" * 36 + b"x"):
        liar.release(receipts.FILE, body, text)
    for name in (b"a/b", b"a\\b", b"..", b".", b"a\0", b"\xff", b"x" * 256):
        liar.release(receipts.FILE, b"\0\0\0\1" + bytes(32) + name, text)
    liar.release(receipts.CHUNK, b"", file)
    liar.release(receipts.CHUNK, b"\x40\0" + CHUNKS[0], file)
    liar.chunk(0, bytes(limits.CHUNK_BYTES + 1), file)
    liar.chunk(4_370, b"x", file)
    assert liar.faults() == {"wire.malformed": 15}
    assert states(liar.pair, "b", text) == ["coming"]


def test_chunks_that_fit_nothing_are_counted_and_spoil_nothing(liar: Liar) -> None:
    text = liar.text()
    liar.chunk(0, CHUNKS[0], text)
    liar.chunk(0, CHUNKS[0])
    liar.chunk(0, CHUNKS[0], Serial(text.incarnation, 999))
    file = liar.file(text)
    liar.chunk(1, CHUNKS[1], file)
    liar.chunk(0, CHUNKS[0][:-1], file)
    liar.chunk(0, CHUNKS[0], file)
    liar.chunk(0, bytes(limits.CHUNK_BYTES), file)
    liar.chunk(2, CHUNKS[2] + b"more", file)
    liar.chunk(3, CHUNKS[0], file)
    liar.chunk(1, CHUNKS[1], file)
    liar.chunk(2, CHUNKS[2], file)
    liar.chunk(2, CHUNKS[2][::-1], file)
    told = {"chunk.reference": 3, "chunk.order": 3, "chunk.length": 1}
    assert liar.faults() == told
    assert read(liar.pair.stores["b"], text) == DATA, "the first in the chain counts"


def test_a_file_that_is_not_what_was_announced_is_never_handed_out(liar: Liar) -> None:
    text = liar.text()
    file = liar.file(text, data=DATA[::-1])
    for at, data in enumerate(CHUNKS):
        liar.chunk(at, data, file)
    assert liar.faults() == {"file.hash": 1}
    assert states(liar.pair, "b", text) == ["broken"]
    with pytest.raises(LocalError, match=r"attachment.broken"):
        read(liar.pair.stores["b"], text)


def test_many_files_begun_at_once_cost_little(liar: Liar) -> None:
    begun = []
    for _ in range(3 * limits.FILES_OPEN_MAX):
        begun.append(liar.file(liar.text()))
        liar.chunk(0, CHUNKS[0], begun[-1])
    liar.pair.settle(2)
    taker = liar.pair.posts["b"]._lanes[1].attachments.taker
    assert len(taker.counts()) == limits.FILES_OPEN_MAX
    assert len(liar.pair.stores["b"].state(1)["files/take"]) < 600
    liar.chunk(1, CHUNKS[1], begun[0])
    assert liar.faults() == {"chunk.order": 1}


def test_files_take_no_more_room_because_they_call_themselves_urgent(liar: Liar) -> None:
    file = liar.file(liar.text())
    liar.pair.settle(2)
    quota = liar.pair.posts["b"]._lanes[1].quota
    quota.quota_bytes = quota.peer_bytes
    before = liar.pair.posts["b"].status(1, liar.pair.now).peer_highest
    for precedence in (Precedence.PRIORITY, Precedence.FLASH):
        liar.precedence = precedence
        liar.chunk(0, CHUNKS[0], file)
        liar.pair.settle(1)
        assert liar.pair.posts["b"].status(1, liar.pair.now).peer_highest == before
    text = liar.text()
    liar.pair.settle(1)
    assert liar.pair.stores["b"].row(1, 1, text.number, text.incarnation) is not None


def test_the_end_of_a_file_is_understood_whatever_number_it_gives(liar: Liar) -> None:
    text = liar.text()
    file = liar.file(text)
    liar.chunk(0, CHUNKS[0], file)
    liar.chunk(1 << 20, b"", file)
    assert liar.faults() == {}
    assert states(liar.pair, "b", text) == ["stopped"]


def test_stopping_what_is_whole_or_stopped_changes_nothing(liar: Liar) -> None:
    text, stopped = liar.text(), liar.text()
    file, other = liar.file(text), liar.file(stopped)
    for at, data in enumerate(CHUNKS):
        liar.chunk(at, data, file)
    liar.pair.settle(2)
    liar.chunk(0, b"", file)
    liar.chunk(0, b"", other)
    liar.chunk(0, b"", other)
    assert liar.faults() == {}
    liar.chunk(0, CHUNKS[0], other)
    assert liar.faults() == {"chunk.order": 1}
    assert states(liar.pair, "b", text) == ["whole"]
    assert states(liar.pair, "b", stopped) == ["stopped"]


def test_taking_a_chunk_costs_the_same_at_the_end_as_at_the_beginning() -> None:
    pair = LinePair()
    pair.flow()
    send(pair, "a", "x", lay_in(pair, "a", "x", pair.random.randbytes(400 * limits.CHUNK_BYTES)))
    store, asked = pair.stores["b"], 0
    costs: list[tuple[int, int]] = []
    for name in ("row", "chain", "marks", "variants", "state", "arrivals"):

        def counted(*args: object, _of: object = getattr(store, name), **more: object) -> object:
            nonlocal asked
            asked += 1
            return _of(*args, **more)  # type: ignore[operator]

        setattr(store, name, counted)
    while pair.posts["a"].status(1, pair.now).outbox:
        crossing, before = pair.take("a"), asked
        pair.give("b", crossing)
        costs.append((asked - before, len(crossing)))
        pair.give("a", pair.take("b"))
    each = [reads / chunks for reads, chunks in costs if chunks > 7]
    assert len(each) > 20
    assert max(each[5:-2]) < 1.5 * min(each[5:-2]) < 10
