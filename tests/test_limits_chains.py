"""The paired peer may be the attacker, continued: incarnations, forks, keys, runs, and what is not
known. As in test_limits.py, the line carries a FLASH both ways afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from openline import views
from openline.core import limits, receipts
from openline.core.envelope import Ack, Frame, FrameType, Refusal, varint
from openline.core.events import Reference, Serial
from openline.core.inbound import Begin
from openline.core.precedence import Precedence
from openline.core.transcript import Segment
from openline.inputs import Release
from openline.sealing.roots import OFFER_BYTES
from openline.sealing.seal import Seal
from openline.sim.chance import noise, stream
from openline.store.base import OURS
from tests.hostile import (
    Mutant,
    disk_bytes,
    faults,
    kinds,
    lane,
    rows,
    say,
    settled,
    still_carries,
)
from tests.pair import LinePair
from tests.vectors.scribe import raw_record


@pytest.fixture
def pair() -> LinePair:
    return settled()


@pytest.fixture
def mutant(pair: LinePair) -> Mutant:
    return Mutant(pair)


# -- incarnations, forks ----------------------------------------------------------------------


def branch(pair: LinePair) -> list[Segment]:
    """The true author's, to go on from."""
    return list(lane(pair, "b").line.branch)


def begin(serial: Serial, path: Sequence[Segment], floor: int = 0, holds: int = 0) -> bytes:
    body = Begin(floor, bytes(32), 0xAAAAAA if holds else 0, holds, tuple(path)).encode()
    flags = Precedence.FLASH << 6
    return raw_record(*serial, flags=flags, kind=receipts.BEGIN, language=0, body=body)


def test_begin_flood(pair: LinePair, mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SEGMENTS_MAX", 100)
    path, number = branch(pair), mutant.last.number
    for step in range(300):
        serial = Serial(0x100000 + step, number + 2 + step)
        mutant.send(begin(serial, path))
        path.append(Segment(*serial))
    reception = lane(pair).line.reception
    assert len(reception.branch) <= 100 + limits.SEGMENTS_KEPT
    assert Refusal.GAPS in mutant.refusals()
    assert disk_bytes(pair) < 64 * 1024
    still_carries(pair)


def test_begins_that_leave_branch_after_branch(pair: LinePair, mutant: Mutant) -> None:
    path, number = branch(pair), mutant.last.number
    for step in range(300):
        mutant.send(begin(Serial(0x200000 + step, number + 1), path))
    reception = lane(pair).line.reception
    assert len(reception.former) <= limits.SEGMENTS_KEPT
    assert len(reception.branch) <= limits.SEGMENTS_KEPT
    assert kinds(pair, receipts.BEGIN, side=1) >= 300
    still_carries(pair)


def test_long_branches_are_not_left_again_and_again(pair: LinePair, mutant: Mutant) -> None:
    path, number = branch(pair), mutant.last.number
    many = [mutant.ahead(step, body=b"") for step in range(1, limits.LEAVE_RECORDS_MAX + 50)]
    for at in range(0, len(many), 200):
        mutant.send(*many[at : at + 200])
    mutant.hear()
    back = number + len(many) + 1
    for turn in range(4):
        mutant.send(begin(Serial(0x700000 + turn, number + 1), path))
        mutant.send(begin(Serial(0x710000 + turn, back), path))
    assert set(mutant.refusals()) == {Refusal.GAPS}
    assert faults(pair)["refused.gaps"] == 3
    assert pair.posts["a"].status(1, pair.now).peer_number == back
    mutant.pass_time(limits.LEAVE_MS)
    mutant.send(begin(Serial(0x720000, number + 1), path))
    assert pair.posts["a"].status(1, pair.now).peer_number == number + 1
    still_carries(pair)


def test_begins_that_contradict_each_other_lead_nowhere(pair: LinePair, mutant: Mutant) -> None:
    number = mutant.last.number
    one, two, three = 0x300001, 0x300002, 0x300003
    path = branch(pair)
    mutant.send(begin(Serial(one, number + 30), [*path, Segment(two, number + 20)], number))
    mutant.send(begin(Serial(two, number + 25), [*path, Segment(one, number + 22)], number))
    mutant.send(begin(Serial(three, number + 40), [*path, Segment(three, number + 35)], number))
    assert faults(pair) == {"refused.malformed": 1}
    still_carries(pair)


def test_floor_beyond_everything_is_shown_as_lost_and_can_be_left(
    pair: LinePair, mutant: Mutant
) -> None:
    held = pair.posts["a"].status(1, pair.now).peer_number
    mutant.send(begin(Serial(0x400000, 2**60), branch(pair), 2**60 - 1))
    status = pair.posts["a"].status(1, pair.now)
    assert status.lost == [(held + 1, 2**60 - 1)]
    assert status.peer_number == 2**60
    still_carries(pair)
    assert pair.posts["a"].status(1, pair.now).peer_number < 1000


def test_losses_told_without_end_stay_within_bounds(
    pair: LinePair, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SEGMENTS_MAX", 50)
    path, number = branch(pair), mutant.last.number
    for step in range(1, 200):
        serial = Serial(0x500000 + step, number + 10 * step)
        mutant.send(begin(serial, path, number + 10 * step - 2))
        path.append(Segment(*serial))
    assert len(pair.posts["a"].status(1, pair.now).lost) <= 51
    assert disk_bytes(pair) < 64 * 1024
    still_carries(pair)


def test_who_goes_on_from_a_beginning_nobody_heard_is_told_ever_more_seldom(
    pair: LinePair, mutant: Mutant
) -> None:
    before = kinds(pair, receipts.BEGIN)
    unknown = raw_record(0x123456, mutant.last.number + 1)
    for _ in range(3 * 60):
        mutant.send(unknown)
        told = lane(pair).line
        ack = Ack(told.branch[-1].incarnation, told.number, ())
        mutant.send(Frame(FrameType.ACK, ack.encode()))
        mutant.pass_time(60_000)
    # After 0, 1, 3, 7, 15, 31, 63 and 123 minutes; and then each hour.
    assert 7 <= kinds(pair, receipts.BEGIN) - before <= 9
    still_carries(pair)


def test_begin_that_says_it_holds_less_is_answered_once_each(
    pair: LinePair, mutant: Mutant
) -> None:
    pair.say("a", "acknowledged")
    pair.flow()
    before = kinds(pair, receipts.BEGIN)
    path, number = branch(pair), mutant.last.number
    for step in range(20):
        mutant.send(begin(Serial(0x600000 + step, number + 1), path))
    assert kinds(pair, receipts.BEGIN) <= before + 20
    still_carries(pair)


def test_fork_variants_and_forks(pair: LinePair, mutant: Mutant) -> None:
    held = rows(pair)
    incarnation, number = mutant.last
    for text in range(50):
        mutant.send(raw_record(incarnation, number, body=b"another %d" % text))
    assert pair.posts["a"].status(1, pair.now).forks == limits.FORK_VARIANTS_MAX
    assert faults(pair)["fork.too_many"] == 50 - limits.FORK_VARIANTS_MAX
    assert kinds(pair, receipts.FORK) == limits.FORK_VARIANTS_MAX
    assert rows(pair)[: len(held)] == held
    serial = Serial(incarnation, number)
    seen = views.message(pair.stores["a"], pair.posts["a"], 1, 1, serial, pair.now)
    assert seen["text"] == "one true text"
    assert len(seen["other_texts"]) == limits.FORK_VARIANTS_MAX
    still_carries(pair)


def test_an_author_is_told_of_a_fork_and_sees_it_after_a_restart(pair: LinePair) -> None:
    serial = pair.say("a", "one text to one reader")
    pair.flow()
    for _ in range(2):
        say(pair, receipts.FORK, bytes(64), Reference(False, serial))
    pair.flow()
    pair.restart("a")
    assert pair.posts["a"].status(1, pair.now).forks == 2
    seen = views.message(pair.stores["a"], pair.posts["a"], 1, OURS, serial, pair.now)
    assert (seen["forks"], seen["marks"], seen["state"]) == (2, [], "held")
    say(pair, receipts.FORK, bytes(64), Reference(False, Serial(1, 99)))
    pair.flow()
    assert faults(pair)["receipt.unknown"] == 1


def test_receipts_mark_texts_alone(pair: LinePair) -> None:
    begin = Serial(lane(pair).line.branch[0].incarnation, 1)
    text = pair.say("a", "a text")
    pair.flow()
    for references in ([begin], [begin, text], []):
        refers = [Reference(False, serial) for serial in references]
        say(pair, receipts.OPENED, b"", *refers)
    pair.flow()
    assert faults(pair)["receipt.reference"] == 3
    for serial in (begin, text):
        marks = pair.stores["a"].marks(1, OURS, serial.number, serial.incarnation)
        assert not [mark for mark in marks if mark.kind in receipts.RECEIPTS]
    still_carries(pair)


def test_of_many_acks_in_a_datagram_the_last_counts(
    pair: LinePair, mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    line, delivery = lane(pair).line, lane(pair).outbox
    texts = [pair.say("a", f"text {number}").number for number in range(3)]
    taken: list[int] = []
    acknowledge = delivery.acknowledge

    def counted(ack: Ack, end: int, now_ms: int) -> list[int]:
        taken.append(ack.contiguous)
        return acknowledge(ack, end, now_ms)

    monkeypatch.setattr(delivery, "acknowledge", counted)
    acks = [Ack(line.branch[-1].incarnation, number, ()) for number in [*texts[::-1], texts[1]]]
    mutant.send(*(Frame(FrameType.ACK, ack.encode()) for ack in acks))
    assert taken == [texts[1]]
    assert line.acked == texts[1]


def test_forks_of_a_line(pair: LinePair, mutant: Mutant) -> None:
    fresh = [mutant.ahead(step, body=b"a") for step in range(1, 81)]
    mutant.send(*fresh)
    for text in range(limits.FORK_VARIANTS_MAX):
        mutant.send(*(mutant.ahead(step, body=b"b%d" % text) for step in range(1, 81)))
    assert pair.posts["a"].status(1, pair.now).forks == limits.FORKS_MAX
    assert kinds(pair, receipts.FORK) == limits.FORKS_MAX
    still_carries(pair)


# -- keys and runs ----------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts what the victim pays: openings made."""
    made: list[int] = []
    plain = Seal._open_run

    def counted(self: Seal, *args: object, **named: object) -> None:
        made.append(self.kit.direction)
        plain(self, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Seal, "_open_run", counted)
    return made


def paid(opened: list[int], pair: LinePair) -> int:
    return opened.count(lane(pair).kit.direction)


def test_reopen_storm(opened: list[int]) -> None:
    pair = settled()
    mutant = Mutant(pair)
    before = paid(opened, pair)
    pair.say("a", noise(stream(1, "text"), 2000))
    for _ in range(200):
        seal = lane(pair).seal
        runs = [*seal.candidates, *([seal.confirmed] if seal.confirmed else [])]
        mutant.send(*(Frame(FrameType.REOPEN, run.run_id) for run in runs))
        mutant.hear()
        mutant.pass_time(100)
    assert paid(opened, pair) - before <= 2 * (1 + 200 * 100 // 5_000)
    assert mutant.bytes_out < 10 * (2000 + 1694) + mutant.bytes_in
    still_carries(pair)


def test_unreadable_storm(opened: list[int]) -> None:
    pair = settled(tape=False)
    mutant = Mutant(pair)
    before = paid(opened, pair)
    for index in range(200):
        mutant.stray(index)
        mutant.inner(b"")
        mutant.pass_time(100)
        mutant.hear()
    assert paid(opened, pair) - before <= 2 * (1 + 200 * 100 // 5_000)
    still_carries(pair)


def test_runs_without_end(pair: LinePair, mutant: Mutant) -> None:
    seal = lane(pair).seal
    for _ in range(100):
        mutant.seal._open_run(pair.now)
        run = mutant.seal.candidates[-1]
        for _ in range(500):
            run.step()
        mutant.give(mutant.seal.seal(run, b"", pair.now))
        mutant.hear()
    assert len(seal.runs) == limits.RUNS_MAX
    assert len(seal._retired) <= limits.RETIRED_RUNS_MAX
    assert max(len(run.skipped) for run in seal.runs.values()) <= limits.RUN_DATAGRAMS_MAX
    assert disk_bytes(pair) < limits.RUNS_MAX * (4096 * 34 + 64) + 64 * 1024
    still_carries(pair)


def test_announced_key_of_low_order_is_never_written_to(pair: LinePair, mutant: Mutant) -> None:
    mutant.seal._receive_key = lambda: (b"\x12\x34", bytes(32))  # type: ignore[method-assign]
    mutant.seal._open_run(pair.now)
    mutant.give(mutant.seal.seal(mutant.seal.candidates[-1], b"", pair.now))
    assert lane(pair).seal.state.peer_key != bytes(32).hex()
    pair.say("a", "can still be written")
    assert pair.take("a")
    still_carries(pair)


def offer(mutant: Mutant, step: int, body: bytes, kind: int = receipts.OFFER) -> bytes:
    flags = Precedence.FLASH << 6
    return mutant.ahead(step, flags=flags, kind=kind, language=0, body=body)


def test_offers_without_end_are_answered_once_a_minute() -> None:
    pair = settled(attacker_first=True)
    mutant = Mutant(pair)
    answers = kinds(pair, receipts.ANSWER)
    base = lane(pair, "b").seal.roots
    pages = set(lane(pair).seal.pages)
    for step in range(1, 101):
        body = base.make_offer(0, pair.random.randbytes, 0)
        mutant.send(offer(mutant, step, body[:2] + (step % 6).to_bytes(2, "big") + body[4:]))
    assert kinds(pair, receipts.ANSWER) <= answers + 1
    assert len(pages - set(lane(pair).seal.pages)) <= 1
    mutant.pass_time(61_000)
    mutant.send(offer(mutant, 101, base.make_offer(0, pair.random.randbytes, 0)))
    assert kinds(pair, receipts.ANSWER) <= answers + 2
    assert len(lane(pair).seal.roots.later) <= limits.ROOTS_MAX
    still_carries(pair)


@pytest.mark.parametrize("first", [True, False], ids=["attacker first", "attacker second"])
def test_garbage_in_rekeys_makes_no_root(first: bool) -> None:
    pair = settled(attacker_first=first)
    mutant = Mutant(pair)
    pair.wait(120)
    pair.flow()
    roots = [root.id for root in lane(pair).seal.roots.later]
    bodies = [b"", bytes(3), bytes(OFFER_BYTES - 1), b"\xff" * OFFER_BYTES, b"\0" * 4000]
    for step, body in enumerate(bodies, 1):
        mutant.send(offer(mutant, 2 * step, body))
        mutant.send(offer(mutant, 2 * step - 1, body, receipts.ANSWER))
    assert [root.id for root in lane(pair).seal.roots.later] == roots
    still_carries(pair)


# -- what is not known, faults ----------------------------------------------------------------


def test_unknown_frames_are_passed_over_and_unknown_kinds_kept(
    pair: LinePair, mutant: Mutant
) -> None:
    strange = [Frame(kind, b"whatever") for kind in (10, 77, 0, 127)]
    mutant.send(*strange, mutant.ahead(1, kind=200, body=b"from a later version"), *strange)
    assert faults(pair) == {}
    assert rows(pair)[-1].kind == 200
    listed = views.inbox(pair.stores["a"], pair.posts["a"], 1, pair.now)["records"]
    assert listed
    still_carries(pair)


def test_malformed_frames_are_counted_and_cost_an_answer_at_most(
    pair: LinePair, mutant: Mutant
) -> None:
    for kind in range(1, 10):
        mutant.inner(bytes((kind,)) + varint(1) + b"\xff")
    counted = faults(pair)
    assert counted.get("wire.malformed", 0) >= 5
    mutant.hear()
    still_carries(pair)


def test_answers_wait_in_a_bounded_queue(pair: LinePair, mutant: Mutant) -> None:
    for start in range(0, 3000, 200):
        mutant.send(*(mutant.ahead(2 + start + n, flags=1, body=b"") for n in range(200)))
    assert len(lane(pair).line.answers) <= 64
    assert len(mutant.refusals()) <= 64
    still_carries(pair)


def test_receipts_for_what_never_was_mark_nothing(pair: LinePair, mutant: Mutant) -> None:
    wrong = b"\1" + varint(2 * 999 + 1) + b"\0\0\7"
    for step in range(1, 50):
        mutant.send(mutant.ahead(step, flags=8, kind=receipts.OPENED, optional=wrong, body=b""))
    assert faults(pair) == {"receipt.unknown": 49}
    assert pair.stores["a"].marks(1, 0, 999, 7) == []
    still_carries(pair)


def test_refusal_of_a_record_is_shown_to_our_people(pair: LinePair, mutant: Mutant) -> None:
    serial = pair.do("a", Release(1, "watch", Precedence.ROUTINE, "en", "", "refused"))
    assert isinstance(serial, Serial)
    mutant.hear()
    for number in (serial.number, 999, 2**61):
        payload = serial.incarnation.to_bytes(3, "big") + varint(number) + b"\x63"
        mutant.send(Frame(FrameType.REFUSE, payload))
    status = pair.posts["a"].status(1, pair.now)
    assert status.refused == [(serial, 0x63)]
    still_carries(pair)
