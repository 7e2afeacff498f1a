"""Facts: varints, frames, records and chains read as the document writes them."""

from __future__ import annotations

import hashlib
import zlib

import pytest

from .chain import Chain, digest
from .frames import Assembly, Frame, Reference, language, read_inner, read_record
from .wire import Cursor, RefusedError

START = b"\x11" * 32


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


def begin(inc: int, number: int, previous: int, floor: int, head: bytes = START) -> bytes:
    """A BEGIN whose author holds nothing of the other's chain."""
    body = previous.to_bytes(3, "big") + varint(floor) + head + bytes(4)
    return record(inc, number, body, kind=32)


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
    def deflate(data: bytes) -> bytes:
        machine = zlib.compressobj(9, zlib.DEFLATED, -15)
        return machine.compress(data) + machine.flush()

    assert read_record(record(7, 3, deflate(b"text" * 50), flags=2)).body == b"text" * 50
    assert read_record(record(7, 3, deflate(bytes(65_536)), flags=2)).body == bytes(65_536)
    assert refusal(record(7, 3, deflate(bytes(65_537)), flags=2)) == "too-long"
    assert refusal(record(7, 3, deflate(bytes(10**7)), flags=2)) == "too-long"
    assert refusal(record(7, 3, deflate(b"x")[:-1], flags=2)) == "deflate-broken"
    assert refusal(record(7, 3, deflate(b"x") + b"x", flags=2)) == "deflate-broken"


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
        (begin(1, 2, 5, 2), "malformed"),
        (begin(1, 1, 0, 0) + b"\0", "surplus"),
    ],
)
def test_broken_record_is_refused_by_name(data: bytes, reason: str) -> None:
    assert refusal(data) == reason


def test_pieces_make_a_record_in_any_order() -> None:
    whole = record(7, 3, b"long" * 100)
    frames: list[Frame] = []
    for offset in range(0, len(whole), 100):
        part = whole[offset : offset + 100]
        payload = b"\0\0\x07\x03" + varint(len(whole)) + varint(offset) + part
        frames += read_inner(b"\x82" + payload).frames
    pieces = Assembly()
    found = [pieces.add(frame) for frame in reversed(frames)]
    assert found == [None] * (len(frames) - 1) + [whole]


def test_chain_commits_to_every_byte_in_number_order() -> None:
    first, second, third = begin(7, 1, 0, 0), record(7, 2), record(7, 3)
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
    chain = Chain(START)
    for each in (begin(7, 1, 0, 0), record(7, 2), record(7, 3), record(7, 4)):
        chain.take(each)
    known = chain.head(7, 2)
    assert chain.take(begin(8, 3, 7, 2, known)) == "taken"
    assert chain.abandoned == [(7, 3), (7, 4)]
    assert chain.take(record(7, 5)) == "abandoned"
    assert not chain.differs
    assert chain.take(begin(9, 4, 8, 2, b"\x22" * 32)) == "taken"
    assert chain.differs


def test_floor_above_what_is_held_is_lost_and_the_chain_goes_on() -> None:
    chain = Chain(START)
    for each in (begin(7, 1, 0, 0), record(7, 2)):
        chain.take(each)
    given = b"\x33" * 32
    assert chain.take(begin(8, 12, 7, 10, given)) == "held"
    assert chain.lost == [(3, 10)]
    assert chain.take(record(7, 11)) == "taken"
    assert chain.contiguous == 12
    assert chain.heads[10] == given


def test_receiver_with_an_empty_disk_goes_on_from_the_floor() -> None:
    chain = Chain(START)
    assert chain.take(begin(8, 12, 7, 10, b"\x33" * 32)) == "held"
    assert chain.take(record(7, 11)) == "taken"
    assert (chain.contiguous, chain.lost) == (12, [(1, 10)])


def test_first_begin_again_abandons_all() -> None:
    chain = Chain(START)
    for each in (begin(7, 1, 0, 0), record(7, 2)):
        chain.take(each)
    assert chain.take(begin(8, 1, 0, 0)) == "taken"
    assert (chain.contiguous, chain.abandoned) == (1, [(7, 1), (7, 2)])
    assert chain.take(record(7, 3)) == "abandoned"


def test_branch_that_was_left_is_followed_again_and_what_it_held_stands() -> None:
    chain = Chain(START)
    for each in (begin(7, 1, 0, 0), record(7, 2), begin(9, 3, 7, 0), record(9, 4)):
        assert chain.take(each) == "taken"
    assert chain.take(begin(8, 3, 7, 0)) == "taken"
    assert chain.abandoned == [(9, 3), (9, 4)]
    assert chain.take(begin(10, 5, 9, 0)) == "taken"
    assert (chain.contiguous, chain.abandoned) == (5, [(8, 3)])
    assert chain.take(begin(11, 3, 9, 0)) == "not-taken"
    assert chain.take(begin(12, 2, 0, 0)) == chain.take(begin(13, 9, 99, 0)) == "not-taken"


def test_unknown_incarnation_above_the_floor_hangs_on_what_is_known_up_to_it() -> None:
    chain = Chain(START)
    for each in (begin(7, 1, 0, 0), record(7, 2), record(7, 3)):
        chain.take(each)
    given = b"\x33" * 32
    assert chain.take(begin(9, 13, 8, 6, given)) == "held"
    assert (chain.contiguous, chain.lost, chain.abandoned) == (6, [(4, 6)], [])
    assert chain.take(begin(8, 9, 7, 6, given)) == "held"
    assert [chain.take(record(7, number)) for number in (7, 8)] == ["taken", "taken"]
    assert chain.contiguous == 9


def test_begins_above_the_floor_come_in_any_order_after_a_disk_loss() -> None:
    chain = Chain(START)
    given = b"\x33" * 32
    assert chain.take(begin(9, 15, 8, 10, given)) == "held"
    assert chain.take(record(8, 14)) == "held"
    assert chain.take(begin(8, 13, 7, 10, given)) == "held"
    assert chain.take(record(7, 12)) == "held"
    assert chain.take(record(7, 11)) == "taken"
    assert (chain.contiguous, chain.lost, chain.abandoned) == (15, [(1, 10)], [])


def test_begins_that_follow_each_other_in_a_circle_lead_nowhere() -> None:
    chain = Chain(START)
    assert chain.take(begin(9, 15, 8, 10)) == "held"
    assert chain.take(begin(8, 13, 9, 10)) == "held"
    assert chain.take(begin(9, 12, 9, 10)) == "abandoned"
    assert chain.take(begin(6, 15, 9, 10)) == "not-taken"
    assert chain.take(begin(5, 30, 5, 20)) == "not-taken"
    assert [inc for inc, _, _ in chain.path] == [9, 8]
    assert chain.take(begin(4, 1, 0, 0)) == "taken"


def test_lost_number_that_comes_after_all_is_kept_off_the_chain() -> None:
    chain = Chain(START)
    for each in (begin(7, 1, 0, 0), begin(8, 4, 7, 3, b"\x33" * 32)):
        chain.take(each)
    assert (chain.contiguous, chain.lost) == (4, [(2, 3)])
    assert chain.take(record(7, 2)) == "late"
    assert (chain.contiguous, chain.lost, chain.abandoned) == (4, [(2, 3)], [(7, 2)])
    assert chain.take(record(7, 2)) == "duplicate"


def test_what_lies_too_far_ahead_is_refused() -> None:
    chain = Chain(START)
    chain.take(begin(7, 1, 0, 0))
    with pytest.raises(RefusedError, match="serial-jump"):
        chain.take(record(7, 1_048_578))
    for number in range(3, 3 + 2 * 512, 2):
        assert chain.take(record(7, number)) == "held"
    with pytest.raises(RefusedError, match="gaps"):
        chain.take(record(7, 3 + 2 * 512))


def test_begin_beyond_the_bounds_leaves_the_chain_as_it_was() -> None:
    chain = Chain(START)
    chain.take(begin(7, 1, 0, 0))
    with pytest.raises(RefusedError, match="serial-jump"):
        chain.take(begin(8, 2**40, 7, 0))
    assert chain.take(record(7, 2)) == "taken"
    assert chain.take(begin(9, 2**60, 7, 2**60 - 1)) == "taken"
    assert chain.lost == [(3, 2**60 - 1)]
