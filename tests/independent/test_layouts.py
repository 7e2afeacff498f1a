"""Facts: varints, frames, records and chains read as the document writes them."""

from __future__ import annotations

import hashlib
import itertools
import zlib
from collections.abc import Sequence

import pytest

from .chain import Chain, digest
from .dictionaries import DICTIONARIES
from .frames import (
    Assembly,
    Begin,
    Frame,
    Reference,
    language,
    read_begin,
    read_inner,
    read_record,
)
from .wire import Cursor, RefusedError

START = b"\x11" * 32
GIVEN = b"\x33" * 32

Path = Sequence[tuple[int, int]]


def varint(value: int) -> bytes:
    """The shortest varint of a value."""
    for size, bits in ((1, 6), (2, 14), (4, 30), (8, 62)):
        if value < 1 << bits:
            return (value | (size.bit_length() - 1) << bits).to_bytes(size, "big")
    raise ValueError(value)


def record(
    inc: int, number: int, body: bytes = b"hello", kind: int = 1, flags: int = 0, extra: bytes = b""
) -> bytes:
    """A record in English, filed at a fixed time."""
    head = inc.to_bytes(3, "big") + varint(number) + bytes([flags, kind])
    return head + (149).to_bytes(2, "big") + (1_790_000_000).to_bytes(4, "big") + extra + body


def begin(inc: int, number: int, path: Path, floor: int, head: bytes = START) -> bytes:
    """A BEGIN with the author's branch before it; its author holds nothing of the other's chain."""
    named = b"".join(before.to_bytes(3, "big") + varint(first) for before, first in path)
    return record(inc, number, varint(floor) + head + bytes(4) + named, kind=32)


def refusal(data: bytes) -> str:
    """The reason for which a record is refused."""
    with pytest.raises(RefusedError) as raised:
        read_record(data)
    return raised.value.reason


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ("25", 37),
        ("7bbd", 15293),
        ("9d7f3e7d", 494878333),
        ("c2197c5eff14e88c", 151288809941952652),
        ("4040", 64),
        ("ffffffffffffffff", 2**62 - 1),
    ],
)
def test_varint_of_the_rfc_reads(data: str, value: int) -> None:
    assert Cursor(bytes.fromhex(data)).varint() == value
    assert varint(value).hex() == data


@pytest.mark.parametrize("data", ["4025", "403f", "80003fff", "c00000003fffffff"])
def test_longer_varint_is_refused(data: str) -> None:
    with pytest.raises(RefusedError, match="varint-not-shortest"):
        Cursor(bytes.fromhex(data)).varint()


def test_zigzag_reads_both_signs() -> None:
    assert [Cursor(bytes([n])).svarint() for n in range(5)] == [0, -1, 1, -2, 2]


def test_frames_read_and_an_unknown_one_is_skipped() -> None:
    inner = bytes(3) + b"\x04\x04abcd" + b"\x4d\x02zz" + b"\x83\x00\x00\x07\x09\x02\x01"
    read = read_inner(inner)
    assert read.fault is None
    assert [f.type for f in read.frames] == [4, 77, 3]
    assert read.frames[2].fields == {"incarnation": 7, "contiguous": 9, "pairs": [[2, 1]]}


@pytest.mark.parametrize(
    ("tail", "fault"),
    [
        ("0403616263", "truncated"),
        ("04056162636465", "surplus"),
        ("044004", "varint-not-shortest"),
        ("83000007090001", "malformed"),
        ("0410", "truncated"),
        ("8802", "malformed"),
    ],
)
def test_malformed_frame_ends_the_reading_and_those_before_stand(tail: str, fault: str) -> None:
    read = read_inner(b"\x05\x04abcd" + bytes.fromhex(tail) + b"\x04\x04abcd")
    assert read.fault == fault
    assert [f.type for f in read.frames] == [5]


def test_record_with_every_optional_field_reads() -> None:
    extra = b"\x03" + varint(3600) + b"\x01" + varint(5 << 1 | 1) + b"\0\0\x09" + b"\x02hi"
    read = read_record(record(7, 3, "grüß".encode(), flags=0xFC, extra=extra))
    assert (read.precedence, read.dtg, read.due, read.subject) == (3, -2, 3600, b"hi")
    assert read.references == (Reference(5, 1, 9),)
    assert (read.language, read.body.decode()) == ("en", "grüß")


def test_language_codes_read() -> None:
    assert (language(0), language(149), language(27**3 - 1)) == ("", "en", "zzz")
    for wrong in (27, 27**3, 27 * 27):
        with pytest.raises(RefusedError, match="malformed"):
            language(wrong)


def test_deflated_body_reads_and_a_bomb_does_not() -> None:
    def deflate(data: bytes, number: int = 0) -> bytes:
        machine = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=DICTIONARIES[number])
        return bytes((number,)) + machine.compress(data) + machine.flush()

    assert read_record(record(7, 3, deflate(b"text" * 50), flags=2)).body == b"text" * 50
    assert read_record(record(7, 3, deflate(bytes(65_536)), flags=2)).body == bytes(65_536)
    assert refusal(record(7, 3, deflate(bytes(65_537)), flags=2)) == "too-long"
    assert refusal(record(7, 3, deflate(bytes(10**7)), flags=2)) == "too-long"
    assert refusal(record(7, 3, deflate(b"x")[:-1], flags=2)) == "deflate-broken"
    assert refusal(record(7, 3, deflate(b"x") + b"x", flags=2)) == "deflate-broken"
    for number, dictionary in DICTIONARIES.items():
        text = dictionary[-200:] * 3 or b"text" * 50
        assert read_record(record(7, 3, deflate(text, number), flags=2)).body == text
    assert refusal(record(7, 3, b"\4" + deflate(b"x")[1:], flags=2)) == "unknown-dictionary"
    assert refusal(record(7, 3, b"", flags=2)) == "truncated"


def test_the_annex_prints_three_dictionaries_whole() -> None:
    assert sorted(DICTIONARIES) == [0, 1, 2, 3]
    assert all(len(DICTIONARIES[number].decode().split()) > 1000 for number in (1, 2, 3))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (record(0, 1), "malformed"),
        (record(1, 0), "malformed"),
        (record(1, 1, flags=1), "malformed"),
        (record(1, 1, flags=8, extra=b"\0"), "malformed"),
        (record(1, 1, flags=8, extra=b"\x11"), "malformed"),
        (record(1, 1, flags=0x10, extra=varint(3_162_240_001)), "time-out-of-range"),
        (record(1, 1, flags=0x20, extra=varint(2 * 3_162_240_000 + 1)), "time-out-of-range"),
        (record(1, 1, flags=4, extra=varint(513) + bytes(513)), "too-long"),
        (record(1, 1, bytes(65_537)), "too-long"),
        (record(1, 1)[:8], "truncated"),
        (record(1, 1, flags=0x20, extra=b"\0"), "malformed"),
        (record(1, 1, flags=4, extra=b"\0"), "malformed"),
        (record(1, 2, kind=33, body=bytes(63)), "malformed"),
        (record(1, 2, b"\0" + bytes(31), kind=32), "truncated"),
    ],
)
def test_broken_record_is_refused_by_name(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (begin(9, 5, [(7, 1)], 5), "malformed"),
        (begin(9, 1, [], 1), "malformed"),
        (begin(9, 5, [(0, 1)], 0), "malformed"),
        (begin(9, 5, [(7, 1), (0, 3)], 0), "malformed"),
        (begin(9, 5, [(7, 1), (8, 2), (7, 3)], 0), "malformed"),
        (begin(9, 5, [(7, 1), (9, 3)], 0), "malformed"),
        (begin(9, 5, [(7, 1), (8, 3), (6, 3)], 0), "malformed"),
        (begin(9, 5, [(7, 3), (8, 2)], 2), "malformed"),
        (begin(9, 5, [(7, 1), (8, 5)], 0), "malformed"),
        (begin(9, 5, [(7, 5)], 4), "malformed"),
        (begin(9, 5, [(7, 0)], 0), "malformed"),
        (begin(9, 5, [(7, 2)], 0), "malformed"),
        (begin(9, 5, [(7, 4)], 2), "malformed"),
        (begin(9, 5, [], 0), "malformed"),
        (begin(9, 1, [(7, 1)], 0), "malformed"),
        (begin(9, 1, [(7, 0)], 0), "malformed"),
        (begin(9, 1, [], 0) + b"\0", "truncated"),
        (begin(9, 5, [(7, 1)], 0) + b"\0\0\x08", "truncated"),
        (begin(9, 5, [(7, 1)], 0) + b"\0\0\x08\x40\x03", "varint-not-shortest"),
    ],
)
def test_begin_with_a_broken_path_is_refused_by_name(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


def test_path_may_start_right_above_the_floor() -> None:
    path = ((7, 3), (8, 4))
    read = read_begin(read_record(begin(9, 5, path, 2, GIVEN)))
    assert read == Begin(2, GIVEN, 0, 0, path)
    assert read_begin(read_record(begin(9, 1, [], 0))).path == ()


def test_pieces_make_a_record_in_any_order() -> None:
    whole = record(7, 3, b"long" * 100)
    check = hashlib.sha256(whole).digest()[:4]
    frames: list[Frame] = []
    for offset in range(0, len(whole), 100):
        part = whole[offset : offset + 100]
        payload = b"\0\0\x07\x03" + varint(len(whole)) + check + varint(offset) + part
        frames += read_inner(b"\x82" + payload).frames
    pieces = Assembly()
    found = [pieces.add(frame) for frame in reversed(frames)]
    assert found == [None] * (len(frames) - 1) + [whole]


def fed(*records: bytes) -> Chain:
    """A chain that took these records, whatever became of them."""
    chain = Chain(START)
    for each in records:
        chain.take(each)
    return chain


def test_chain_commits_to_every_byte_in_number_order() -> None:
    first, second, third = begin(7, 1, [], 0), record(7, 2), record(7, 3)
    chain = Chain(START)
    assert chain.take(second) == "not-taken"
    assert [chain.take(r) for r in (first, third, second, second)] == [
        "taken",
        "held",
        "taken",
        "duplicate",
    ]
    head = START
    for each in (first, second, third):
        head = hashlib.sha256(head + each).digest()
    assert chain.head(7, 3) == head
    assert chain.take(record(7, 2, b"other")) == "fork"
    assert len(digest(bytes(16), head, START)) == 32


def test_begin_abandons_what_a_restored_author_never_knew() -> None:
    chain = fed(begin(7, 1, [], 0), record(7, 2), record(7, 3), record(7, 4))
    known = chain.head(7, 2)
    assert chain.take(begin(8, 3, [(7, 1)], 2, known)) == "taken"
    assert chain.branch == ((7, 1), (8, 3))
    assert chain.abandoned == [(7, 3), (7, 4)]
    assert chain.take(record(7, 5)) == "abandoned"
    assert not chain.differs
    assert chain.take(begin(9, 4, [(7, 1), (8, 3)], 2, b"\x22" * 32)) == "taken"
    assert chain.differs


def test_floor_above_what_is_held_is_lost_and_the_chain_goes_on() -> None:
    chain = fed(begin(7, 1, [], 0), record(7, 2), record(7, 5))
    assert chain.take(begin(8, 12, [(7, 1)], 10, GIVEN)) == "held"
    assert (chain.lost, chain.abandoned) == ([(3, 10)], [(7, 5)])
    assert chain.take(record(7, 11)) == "taken"
    assert chain.contiguous == 12
    assert chain.heads[10] == GIVEN


def test_receiver_with_an_empty_disk_goes_on_from_the_floor() -> None:
    chain = Chain(START)
    assert chain.take(begin(8, 12, [(7, 9)], 10, GIVEN)) == "held"
    assert chain.take(record(7, 8)) == "abandoned"
    assert chain.take(record(7, 10)) == "late"
    assert chain.take(record(7, 11)) == "taken"
    assert (chain.contiguous, chain.lost) == (12, [(1, 10)])


def test_first_begin_again_abandons_all() -> None:
    chain = fed(begin(7, 1, [], 0), record(7, 2))
    assert chain.take(begin(8, 1, [], 0)) == "taken"
    assert (chain.contiguous, chain.abandoned) == (1, [(7, 1), (7, 2)])
    assert chain.take(record(7, 3)) == "abandoned"


def test_branch_that_was_left_is_followed_again_and_what_it_held_stands() -> None:
    chain = fed(begin(7, 1, [], 0), record(7, 2), begin(9, 3, [(7, 1)], 0), record(9, 4))
    assert chain.contiguous == 4
    assert chain.take(begin(8, 3, [(7, 1)], 0)) == "taken"
    assert chain.abandoned == [(9, 3), (9, 4)]
    assert chain.take(record(9, 5)) == "abandoned"
    assert chain.take(begin(10, 7, [(7, 1), (9, 3)], 0)) == "held"
    assert (chain.contiguous, chain.abandoned) == (5, [(8, 3)])
    assert chain.take(record(9, 6)) == "taken"
    assert chain.contiguous == 7


def test_begin_of_an_incarnation_already_named_leads_nowhere_else() -> None:
    chain = fed(begin(7, 1, [], 0), begin(9, 4, [(7, 1), (8, 3)], 0))
    assert chain.take(begin(8, 3, [(6, 1)], 0)) == "held"
    assert chain.branch == ((7, 1), (8, 3), (9, 4))
    assert chain.take(begin(10, 2, [(7, 1)], 0)) == "taken"
    assert chain.take(begin(8, 2, [(7, 1)], 0)) == "abandoned"
    assert list(chain.branch) == [(7, 1), (10, 2)]


def test_begin_brings_incarnations_never_heard_of() -> None:
    chain = fed(begin(7, 1, [], 0), record(7, 2), record(7, 3), record(7, 4))
    told = begin(9, 12, [(7, 1), (5, 4), (6, 5), (8, 8)], 6, GIVEN)
    assert chain.take(record(5, 4)) == "not-taken"
    assert chain.take(told) == "held"
    assert (chain.contiguous, chain.lost, chain.abandoned) == (6, [(4, 6)], [(7, 4)])
    assert [chain.take(record(6, 7)), chain.take(record(5, 4))] == ["taken", "late"]
    assert [chain.take(record(5, 7)), chain.take(record(8, 7))] == ["abandoned", "abandoned"]
    rest = [record(8, 9), record(8, 11), record(8, 10), begin(8, 8, [(7, 1), (5, 4), (6, 5)], 6)]
    assert [chain.take(each) for each in rest] == ["held", "held", "held", "taken"]
    assert (chain.contiguous, chain.incarnation_at(12)) == (12, 9)


def test_two_restores_whose_begins_between_were_lost_leave_one_branch() -> None:
    chain = fed(begin(7, 1, [], 0), *(record(7, n) for n in range(2, 9)))
    known = chain.head(7, 3)
    # 5 began at 6 after a restore, 6 at 4 after another; neither BEGIN came.
    assert chain.take(begin(9, 6, [(7, 1), (6, 4)], 3, known)) == "held"
    assert (chain.contiguous, chain.abandoned) == (3, [(7, n) for n in range(4, 9)])
    assert chain.take(record(5, 7)) == "not-taken"
    assert chain.take(begin(6, 4, [(7, 1)], 3, known)) == "taken"
    assert chain.take(record(6, 5)) == "taken"
    assert (chain.contiguous, chain.lost, chain.differs) == (6, [], False)


def test_begins_in_any_order_leave_one_chain() -> None:
    told = [
        begin(7, 1, [], 0),
        begin(8, 3, [(7, 1)], 0),
        begin(9, 5, [(7, 1), (8, 3)], 0),
        begin(6, 6, [(7, 1), (8, 3), (9, 5)], 0),
    ]
    others = [record(7, 2), record(8, 4)]
    # The newest comes first, as R20 would have it; after it none changes the branch.
    for order in itertools.permutations(told[:3] + others):
        chain = Chain(START)
        assert chain.take(told[3]) == "held"
        assert all(chain.take(each) in ("held", "taken") for each in order)
        assert (chain.contiguous, chain.lost, chain.abandoned) == (6, [], [])
        assert chain.branch == ((7, 1), (8, 3), (9, 5), (6, 6))


def test_longer_path_of_what_is_followed_tells_more_and_loses_nothing() -> None:
    chain = fed(begin(8, 12, [(7, 8)], 10, GIVEN), record(7, 11))
    assert (chain.contiguous, chain.lost) == (12, [(1, 10)])
    assert chain.take(begin(9, 13, [(5, 1), (7, 8), (8, 12)], 4)) == "taken"
    assert (chain.contiguous, chain.lost, chain.abandoned) == (13, [(1, 10)], [])
    assert chain.take(record(5, 3)) == "late"
    # Another branch below the first number known: nothing of the old one holds.
    assert chain.take(begin(4, 7, [(5, 1)], 4, GIVEN)) == "held"
    assert (chain.contiguous, chain.lost) == (4, [(1, 4)])


def test_lost_number_that_comes_after_all_is_kept_off_the_chain() -> None:
    chain = fed(begin(7, 1, [], 0), begin(8, 4, [(7, 1)], 3, GIVEN))
    assert (chain.contiguous, chain.lost) == (4, [(2, 3)])
    assert chain.take(record(7, 2)) == "late"
    assert (chain.contiguous, chain.lost, chain.abandoned) == (4, [(2, 3)], [(7, 2)])
    assert chain.take(record(7, 2)) == "duplicate"
    assert chain.take(begin(9, 5, [(7, 1), (8, 4)], 0)) == "taken"
    assert (chain.contiguous, chain.lost, chain.abandoned) == (5, [(2, 3)], [(7, 2)])


def test_loss_is_forgotten_when_the_branch_changes_within_it() -> None:
    chain = fed(begin(7, 1, [], 0), begin(8, 9, [(7, 1)], 8, GIVEN), record(7, 2))
    assert (chain.contiguous, chain.lost, chain.abandoned) == (9, [(2, 8)], [(7, 2)])
    assert chain.take(begin(9, 5, [(7, 1)], 1, chain.head(7, 1))) == "held"
    assert (chain.contiguous, chain.lost, chain.abandoned) == (2, [], [(8, 9)])
    assert chain.take(begin(6, 7, [(7, 1), (9, 5)], 4, GIVEN)) == "held"
    assert (chain.contiguous, chain.lost) == (5, [(3, 4)])
    assert chain.take(begin(5, 9, [(7, 1), (9, 5), (6, 7)], 7, GIVEN)) == "held"
    assert (chain.contiguous, chain.lost) == (7, [(3, 4), (6, 7)])


def test_what_lies_too_far_ahead_is_refused() -> None:
    chain = fed(begin(7, 1, [], 0))
    with pytest.raises(RefusedError, match="serial-jump"):
        chain.take(record(7, 1_048_578))
    for number in range(3, 3 + 2 * 512, 2):
        assert chain.take(record(7, number)) == "held"
    with pytest.raises(RefusedError, match="gaps"):
        chain.take(record(7, 3 + 2 * 512))


def test_begin_beyond_the_bounds_leaves_the_chain_as_it_was() -> None:
    chain = fed(begin(7, 1, [], 0))
    with pytest.raises(RefusedError, match="serial-jump"):
        chain.take(begin(8, 2**40, [(7, 1)], 0))
    assert (chain.branch, chain.take(record(8, 2))) == (((7, 1),), "not-taken")
    assert chain.take(record(7, 2)) == "taken"
    assert chain.take(begin(9, 2**60, [(7, 1)], 2**60 - 1)) == "taken"
    assert chain.lost == [(3, 2**60 - 1)]


def test_path_of_too_many_pairs_above_what_is_held_is_refused() -> None:
    path = [(7, 1), *((100 + n, 1 + n) for n in range(1, 257))]
    chain = fed(begin(7, 1, [], 0))
    with pytest.raises(RefusedError, match="gaps"):
        chain.take(begin(9, 300, path, 0))
    assert chain.branch == ((7, 1),)
    assert chain.take(begin(9, 300, path[:-1], 0)) == "held"
    assert chain.take(begin(6, 300, path, 299, GIVEN)) == "taken"
