"""The paired peer may be the attacker: each of its attacks, what it is told, what our people see,
what it costs, and that the line carries a FLASH both ways afterwards."""

from __future__ import annotations

import tracemalloc
from itertools import starmap

import pytest

from openline import views
from openline.core import limits, receipts
from openline.core.envelope import Ack, Frame, FrameType, Refusal, varint
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.delivery.assembly import Piece
from openline.display import safe
from openline.errors import LocalError
from openline.inputs import Compare, Receive
from openline.sim.chance import noise, stream
from openline.store.base import OURS, OVERHEAD_BYTES, THEIRS
from tests.hostile import Mutant, disk_bytes, faults, kinds, lane, rows, settled, still_carries
from tests.pair import LinePair
from tests.vectors.make import deflate
from tests.vectors.scribe import raw_record


@pytest.fixture
def pair() -> LinePair:
    return settled()


@pytest.fixture
def mutant(pair: LinePair) -> Mutant:
    return Mutant(pair)


# -- numbers ----------------------------------------------------------------------------------


def test_serial_jump(pair: LinePair, mutant: Mutant) -> None:
    before = rows(pair)
    incarnation, _ = mutant.last
    for number in (2**60, 2**62 - 1, mutant.last.number + limits.SERIAL_JUMP_MAX + 1):
        mutant.send(raw_record(incarnation, number))
        assert mutant.refusals() == [Refusal.SERIAL_JUMP]
    assert rows(pair) == before
    assert faults(pair) == {"refused.serial_jump": 3}
    assert pair.posts["a"].status(1, pair.now).gaps == []
    still_carries(pair)


def test_gaps(pair: LinePair, mutant: Mutant) -> None:
    for start in range(2, 2402, 200):
        mutant.send(*(mutant.ahead(step, body=b"") for step in range(start, start + 200, 2)))
    refusals = mutant.refusals()
    status = pair.posts["a"].status(1, pair.now)
    assert len(status.gaps) == limits.GAPS_MAX
    assert status.faults["refused.gaps"] == 1200 - limits.GAPS_MAX
    assert 0 < len(refusals) <= 64
    assert set(refusals) == {Refusal.GAPS}
    assert disk_bytes(pair) < 64 * 1024
    still_carries(pair)


def test_what_fills_a_gap_is_taken_though_there_are_too_many(
    pair: LinePair, mutant: Mutant
) -> None:
    for start in range(2, 1202, 200):
        mutant.send(*(mutant.ahead(step, body=b"") for step in range(start, start + 200, 2)))
    held = pair.posts["a"].status(1, pair.now).peer_number
    mutant.send(mutant.ahead(1, body=b""))
    assert pair.posts["a"].status(1, pair.now).peer_number == held + 2


# -- acknowledgements -------------------------------------------------------------------------


def test_ack_ranges(pair: LinePair, mutant: Mutant) -> None:
    mutant.send(Frame(FrameType.ACK, bytes(4) + b"\1\1" * (limits.GAPS_MAX + 1)))
    assert faults(pair) == {"wire.malformed": 1}
    still_carries(pair)


def test_ack_of_what_was_never_sent(pair: LinePair, mutant: Mutant) -> None:
    own = lane(pair).line
    incarnation = own.branch[-1].incarnation
    mutant.send(Frame(FrameType.ACK, Ack(incarnation, 2**61, ((2**61 + 5, 2**61 + 9),)).encode()))
    status = pair.posts["a"].status(1, pair.now)
    assert status.faults == {"ack.beyond": 1}
    assert status.acked_number == status.own_number
    still_carries(pair)


def test_ack_of_an_incarnation_that_never_was_begins_once_a_minute(
    pair: LinePair, mutant: Mutant
) -> None:
    before = kinds(pair, receipts.BEGIN)
    for number in range(100):
        mutant.send(Frame(FrameType.ACK, Ack(0xABC000 + number, 3).encode()))
    assert kinds(pair, receipts.BEGIN) <= before + 1
    mutant.pass_time(61_000)
    mutant.send(Frame(FrameType.ACK, Ack(0xABCDEF, 3).encode()))
    assert kinds(pair, receipts.BEGIN) <= before + 2
    still_carries(pair)


@pytest.mark.parametrize("gap_ms", [0, 1, 1_000])
def test_ack_storm_cannot_drive_retransmission(pair: LinePair, mutant: Mutant, gap_ms: int) -> None:
    for number in range(60):
        pair.say("a", f"{number} " + noise(stream(number, "text"), 900))
    own = lane(pair).line
    mutant.hear()
    first = mutant.bytes_out
    false = Ack(own.branch[-1].incarnation, own.acked, ((own.number, own.number),))
    for _ in range(300):
        mutant.pass_time(gap_ms)
        mutant.send(Frame(FrameType.ACK, false.encode()))
        mutant.hear()
    windows = 10 + 300 * gap_ms // 2000
    assert mutant.bytes_out - first <= windows * first + mutant.bytes_in
    still_carries(pair)


# -- pieces, bodies ---------------------------------------------------------------------------


def piece(serial: Serial, total: int = limits.RECORD_BYTES_MAX, offset: int = 0) -> Frame:
    return Frame(FrameType.PIECE, Piece(serial, total, bytes(4), offset, b"x").encode())


def test_open_pieces(pair: LinePair, mutant: Mutant) -> None:
    incarnation, number = mutant.last
    for step in range(1, 200):
        mutant.send(piece(Serial(incarnation, number + step)))
    assert set(mutant.refusals()) == {Refusal.PIECES}
    assembly = lane(pair).outbox._assembly
    assert len(assembly._open) == limits.OPEN_PIECES_MAX
    assert faults(pair)["refused.pieces"] == 199 - limits.OPEN_PIECES_MAX
    pair.wait(61)
    text = noise(stream(1, "text"), 40_000)
    pair.say("b", text)
    for _ in range(4):
        pair.flow()
        pair.wait(5)
    assert pair.texts("a")[-1] == text
    still_carries(pair)


def test_pieces_of_one_byte_cost_no_more_than_the_record(pair: LinePair, mutant: Mutant) -> None:
    incarnation, number = mutant.last
    serial = Serial(incarnation, number + 1)
    for start in range(0, 6000, 400):
        mutant.send(*(piece(serial, 66_000, offset) for offset in range(start, start + 400, 2)))
    (opened,) = lane(pair).outbox._assembly._open.values()
    assert len(opened.data) == 66_000
    assert len(opened.have) == 3000
    still_carries(pair)


def test_pieces_beyond_the_longest_record_are_malformed(pair: LinePair, mutant: Mutant) -> None:
    incarnation, number = mutant.last
    mutant.send(piece(Serial(incarnation, number + 1), limits.RECORD_BYTES_MAX + 1))
    mutant.send(piece(Serial(incarnation, number + 1), 2**61))
    assert faults(pair) == {"wire.malformed": 2}
    assert not lane(pair).outbox._assembly._open
    still_carries(pair)


def test_decompression_bomb(pair: LinePair, mutant: Mutant) -> None:
    bomb = deflate(bytes(10_000_000))
    assert len(bomb) > 4000
    cut = deflate(bytes(3_900_000))
    tracemalloc.start()
    mutant.send(mutant.ahead(1, flags=2, body=cut))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert mutant.refusals() == [Refusal.MALFORMED]
    assert faults(pair) == {"refused.malformed": 1}
    whole = mutant.ahead(1, flags=2, body=bomb)
    serial = Serial(*mutant.last)._replace(number=mutant.last.number + 1)
    for at in range(0, len(whole), 3000):
        part = Piece.cut(serial, whole, at, at + 3000)
        mutant.send(Frame(FrameType.PIECE, part.encode()))
    assert mutant.refusals() == [Refusal.MALFORMED]
    still_carries(pair)


# -- room -------------------------------------------------------------------------------------


def fill(pair: LinePair, name: str = "b") -> None:
    """Leave a's quota no room for ROUTINE, 60,000 bytes of reserve."""
    quota = lane(pair).quota
    quota.quota_bytes, quota.reserve_bytes = quota.peer_bytes + 500, 60_000
    pair.say(name, "fills the quota")
    pair.flow()
    quota.quota_bytes = quota.peer_bytes + 10


def test_routine_stops_at_the_quota_and_the_reserve_keeps_the_line_open(pair: LinePair) -> None:
    fill(pair)
    refused = pair.say("b", "r" * 100)
    pair.flow()
    assert pair.posts["b"].status(1, pair.now).refused == [(refused, Refusal.NO_ROOM)]
    assert pair.texts("a")[-1].startswith("fills")
    urgent = pair.say("b", "u" * 100, Precedence.FLASH)
    pair.say("b", "i" * 100, Precedence.IMMEDIATE)
    pair.flow()
    assert pair.texts("a")[-2:] == ["u" * 100, "i" * 100]
    theirs = pair.say("a", "is it full?")
    pair.flow()
    pair.do("b", Receive(1, "watch", receipts.OPENED, theirs))
    pair.flow()
    marks = pair.stores["a"].marks(1, 0, theirs.number, theirs.incarnation)
    assert receipts.OPENED in [mark.kind for mark in marks]
    assert pair.posts["a"].status(1, pair.now).acked_number == theirs.number
    assert urgent
    still_carries(pair)


def test_what_had_no_room_arrives_when_there_is_room_again(pair: LinePair) -> None:
    fill(pair)
    pair.say("b", "late but whole")
    pair.flow()
    lane(pair).quota.quota_bytes += 10_000
    for _ in range(6):
        pair.wait(30)
        pair.flow()
    assert pair.texts("a")[-1] == "late but whole"
    assert pair.posts["b"].status(1, pair.now).refused == []


def test_immediate_stops_at_half_of_the_reserve(pair: LinePair) -> None:
    fill(pair)
    for number in range(40):
        pair.say("b", noise(stream(number, "text"), 1000), Precedence.IMMEDIATE)
        pair.flow()
    quota = lane(pair).quota
    assert quota.peer_bytes <= quota.quota_bytes + quota.reserve_bytes // 2
    assert pair.posts["b"].status(1, pair.now).refused
    still_carries(pair)


def test_short_texts_count_what_the_disk_takes_of_either_side(pair: LinePair) -> None:
    quota = lane(pair).quota
    quota.quota_bytes, quota.reserve_bytes = quota.peer_bytes + 10 * OVERHEAD_BYTES, 60_000
    for _ in range(20):
        pair.say("b", "x")
        pair.flow()
    with pytest.raises(LocalError, match=r"store.no_room"):
        list(starmap(pair.say, [("a", "x")] * 20))
    pair.flow()
    assert 5 < pair.texts("a").count("x") < 10
    assert pair.posts["b"].status(1, pair.now).refused
    stored = [pair.stores["a"].bytes_used(1, side) for side in (OURS, THEIRS)]
    assert [quota.own_bytes, quota.peer_bytes] == stored
    pair.restart("a")
    assert lane(pair).quota.peer_bytes == stored[THEIRS]
    still_carries(pair)


def test_flash_flood_is_shown_and_cannot_eat_the_reserve(pair: LinePair) -> None:
    fill(pair)
    for number in range(limits.FLASH_PER_HOUR_MAX + 30):
        pair.say("b", f"flood {number} " + "f" * 300, Precedence.FLASH)
        pair.flow()
    status, quota = pair.posts["a"].status(1, pair.now), lane(pair).quota
    assert status.flood
    assert views.line_view(pair.posts["a"], 1, pair.now)["flood"] is True
    flooded = [text for text in pair.texts("a") if text.startswith("flood")]
    assert len(flooded) == limits.FLASH_PER_HOUR_MAX
    assert quota.peer_bytes < quota.quota_bytes + quota.reserve_bytes // 2
    assert len(pair.posts["b"].status(1, pair.now).refused) == 30
    pair.wait(3601)
    assert not pair.posts["a"].status(1, pair.now).flood
    still_carries(pair)


# -- claims -----------------------------------------------------------------------------------


def claim(pair: LinePair, ask: int, digest: bytes) -> Frame:
    own = pair.posts["a"].status(1, pair.now)
    assert own.own_serial is not None
    assert own.peer_serial is not None
    out = bytes((ask,))
    for serial in (own.peer_serial, own.own_serial):
        out += serial.incarnation.to_bytes(3, "big") + varint(serial.number)
    return Frame(FrameType.CLAIM, out + digest)


def test_false_claim_is_shown_and_changes_nothing(pair: LinePair, mutant: Mutant) -> None:
    mutant.hear()
    state, held = pair.stores["a"].state(1)["line"], rows(pair)
    pair.posts["a"].events()
    mutant.send(claim(pair, 1, b"\x66" * 16))
    told = [e.values for e in pair.posts["a"].events() if e.name == "compared"]
    assert told == [{"told": False, "agree": None}]
    (answer,) = [f for f in mutant.hear() if f.type == FrameType.CLAIM]
    digest = bytes.fromhex(pair.posts["a"].status(1, pair.now).digest)
    assert answer.payload.endswith(digest[:16])
    pair.do("a", Compare(1, "watch"))
    mutant.hear()
    mutant.send(claim(pair, 0, b"\x66" * 16))
    comparison = pair.posts["a"].status(1, pair.now).comparison
    assert comparison is not None
    assert comparison.agree is False
    assert (pair.stores["a"].state(1)["line"], rows(pair)) == (state, held)
    still_carries(pair)


def test_heads_that_never_were_asked_for_are_ignored(pair: LinePair, mutant: Mutant) -> None:
    for number in (0, 1, 2**61):
        mutant.send(Frame(FrameType.HEADS, b"\0" + varint(number) + bytes(16)))
    assert faults(pair) == {}
    still_carries(pair)


def test_heads_that_say_nothing_are_a_fault_and_not_asked_for_again(
    pair: LinePair, mutant: Mutant
) -> None:
    pair.do("a", Compare(1, "watch"))
    mutant.hear()
    mutant.send(claim(pair, 0, b"\x66" * 16))
    assert [f.type for f in mutant.hear() if f.type == FrameType.LOOK]
    mutant.send(Frame(FrameType.HEADS, b"\0"))
    assert faults(pair) == {"wire.malformed": 1}
    assert [f.type for f in mutant.hear() if f.type == FrameType.LOOK] == []
    still_carries(pair)


def test_look_storm(pair: LinePair, mutant: Mutant) -> None:
    look = Frame(FrameType.LOOK, b"\0" + b"".join(varint(n) for n in range(2**60, 2**60 + 16)))
    for _ in range(1000):
        mutant.send(look)
        mutant.hear()
    assert mutant.bytes_out < mutant.bytes_in / 5
    assert faults(pair) == {}
    mutant.send(Frame(FrameType.LOOK, b"\0" + b"\1" * (limits.HEADS_PER_LOOK_MAX + 1)))
    assert faults(pair) == {"wire.malformed": 1}
    still_carries(pair)


# -- text, dates, languages -------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"\0\x1b[2J\x1b]0;title\x07",
        "\u202eright to left\u2066".encode(),
        b"\xff\xfe\x80",
        b"\x9b31m",
    ],
    ids=["control", "direction", "no UTF-8", "C1"],
)
def test_hostile_text_is_taken_and_shown_escaped(
    pair: LinePair, mutant: Mutant, body: bytes
) -> None:
    subject = varint(len(body)) + body
    mutant.send(mutant.ahead(1, flags=4, optional=subject, body=body))
    assert mutant.refusals() == []
    assert rows(pair)[-1].record.endswith(body)
    serial = Serial(mutant.last.incarnation, mutant.last.number + 1)
    seen = views.message(pair.stores["a"], pair.posts["a"], 1, 1, serial, pair.now)
    for shown in (safe(str(seen["text"])), safe(str(seen["subject"]))):
        assert shown.isprintable()
        assert not {"\u202e", "\u2066", "\x1b"} & set(shown)
    still_carries(pair)


def test_hostile_dates_within_a_century_are_shown_beyond_it_refused(
    pair: LinePair, mutant: Mutant
) -> None:
    far = limits.OFFSET_S_MAX
    mutant.send(mutant.ahead(1, flags=0x30, optional=varint(2 * far) + varint(far)))
    assert mutant.refusals() == []
    mutant.send(mutant.ahead(2, flags=0x20, optional=varint(2 * far - 1)))
    assert mutant.refusals() == []
    for optional in (varint(2 * far + 2), varint(2 * far + 1), varint(2**61)):
        mutant.send(mutant.ahead(3, flags=0x20, optional=optional))
        assert mutant.refusals() == [Refusal.MALFORMED]
    assert len(views.inbox(pair.stores["a"], pair.posts["a"], 1, pair.now)["records"]) >= 3
    still_carries(pair)


@pytest.mark.parametrize("code", [27, 27 * 27, 27**3 + 1, 0xFFFF])
def test_language_that_is_none_is_refused(pair: LinePair, mutant: Mutant, code: int) -> None:
    mutant.send(mutant.ahead(1, language=code))
    assert mutant.refusals() == [Refusal.MALFORMED]
    still_carries(pair)
