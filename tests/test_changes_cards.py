"""A rotated card: the line goes over to its successor and loses nothing, whatever is cut when."""

from __future__ import annotations

import json
import random

import pytest

from openline.attached import PORTION_BYTES, Attached, BeginFile, Laid, LayIn
from openline.core import receipts
from openline.core.envelope import decode_record
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.enrolment import words
from openline.errors import LocalError, StoreError
from openline.handover import Settlement
from openline.inputs import Pair, Receive, Release, Revoke, Rotate
from openline.store.base import OURS, THEIRS
from openline.views import message
from tests.changing import LABEL, Parties

OVER = {1: "retired", 2: "open"}


def over(parties: Parties) -> bool:
    """Whether both sides have gone over to the second line."""
    return all(party.states() == OVER for party in (parties.a, parties.b))


def rotate(parties: Parties, *names: str) -> None:
    """New cards on these sides, then both pair the successor."""
    for name in names:
        parties.parties[name].do(Rotate("test"))
    tape = parties.new_tape()
    for name in "ab":
        assert parties.pair(name, tape, 1) == 2


@pytest.mark.parametrize("rotating", ["a", "b", "ab"])
def test_a_rotated_card_moves_the_line_and_its_name(rotating: str) -> None:
    parties = Parties()
    parties.a.say("before")
    parties.flow()
    rotate(parties, *rotating)
    assert parties.settle(lambda: over(parties))
    parties.a.say("after")
    parties.b.say("well understood")
    parties.flow()
    assert parties.b.heard() == ["before", "after"]
    assert parties.a.heard() == ["well understood"]
    assert parties.a.post.named(LABEL) == [1, 2]
    texts = parties.b.store.arrivals(2, 0, 100, side=THEIRS, kinds=[receipts.TEXT])
    assert [decode_record(row.record).text for row in texts] == ["after"]


def test_the_line_is_there_all_the_time_and_goes_over_only_when_both_have_it() -> None:
    parties = Parties()
    parties.flow()
    parties.a.do(Rotate("test"))
    tape = parties.new_tape()
    assert parties.pair("a", tape, 1) == 2
    parties.a.say("one side alone has the new line")
    parties.flow()
    assert parties.b.heard() == ["one side alone has the new line"]
    assert parties.a.states() == {1: "open", 2: "successor"}
    assert parties.a.line == 1
    assert parties.pair("b", tape, 1) == 2
    assert parties.settle(lambda: over(parties))


def test_no_key_of_the_retired_line_and_of_the_old_card_is_left() -> None:
    parties = Parties()
    old = parties.a.store.state(0)["identity"]
    rotate(parties, "a")
    assert parties.a.store.state(1)["identity"] == old
    assert parties.settle(lambda: over(parties))
    for party in (parties.a, parties.b):
        assert set(party.store.state(1)) <= {
            *("label", "card", "line", "anchors", "tapes", "passage", "succeeded")
        }
    blobs = [blob for line in (0, 1, 2) for blob in parties.a.store.state(line).values()]
    assert not any(old in blob or old[:32] in blob for blob in blobs)


def test_the_successor_proves_the_record_it_succeeds() -> None:
    parties = Parties()
    parties.a.say("the last word")
    rotate(parties, "b")
    assert parties.settle(lambda: over(parties))
    for party in (parties.a, parties.b):
        digests = set()
        for side in (OURS, THEIRS):
            (row,) = party.store.arrivals(2, 0, 100, side=side, kinds=[receipts.SUCCEED])
            said = Settlement.decode(decode_record(row.record).body)
            assert said.line_id.hex() == json.loads(party.store.state(1)["anchors"])["line_id"]
            digests.add((said.digest, said.ours if side == OURS else said.theirs))
        assert len(digests) == 1


def test_people_answer_on_the_new_line_what_came_on_the_old_one() -> None:
    parties = Parties()
    parties.a.say("read this")
    parties.flow()
    (row,) = parties.b.store.arrivals(1, 0, 100, side=THEIRS, kinds=[receipts.TEXT])
    rotate(parties, "a")
    assert parties.settle(lambda: over(parties))
    serial = decode_record(row.record).serial
    assert parties.b.do(Receive(1, "test", receipts.OPENED, serial)) is not None
    assert parties.b.do(Receive(1, "test", receipts.OPENED, serial)) is None
    parties.flow()
    for party, side in ((parties.a, OURS), (parties.b, THEIRS)):
        marks = party.store.marks(1, side, serial.number, serial.incarnation)
        kinds = [mark.kind for mark in marks if mark.kind in receipts.RECEIPTS]
        assert kinds == [receipts.OPENED]


def test_a_card_of_our_own_is_refused_also_when_it_was_rotated_away() -> None:
    parties = Parties()
    card = parties.a.post.card() or b""
    parties.a.do(Rotate("test"))
    result = parties.a.step(Pair("self", "test", card, parties.new_tape(), ()))
    assert isinstance(result, LocalError)
    assert result.code == "enrolment.own_card"


def test_a_pairing_that_the_disk_refused_never_was() -> None:
    parties = Parties()
    peer = Parties(seed=2).b.post.card() or b""
    given = Pair("again", "test", peer, None, words(peer))
    parties.a.store.full = True
    assert isinstance(parties.a.step(given), StoreError)
    parties.a.store.full = False
    assert parties.a.post.lines() == [1]
    first, second = parties.a.post.step([given, given], parties.now)
    assert first == 2
    assert isinstance(second, LocalError)
    assert second.code == "enrolment.label_taken"
    other = Pair("other name", "test", peer, None, words(peer))
    assert isinstance(parties.a.step(other), LocalError)


def test_one_card_in_one_step_makes_one_line() -> None:
    parties = Parties()
    peer = Parties(seed=2).b.post.card() or b""
    inputs = [Pair(label, "test", peer, None, words(peer)) for label in ("one", "two")]
    first, second = parties.a.post.step(inputs, parties.now)
    assert first == 2
    assert isinstance(second, LocalError)
    assert second.code == "enrolment.paired_already"


def test_a_line_is_replaced_once_at_a_time() -> None:
    parties = Parties()
    parties.a.do(Rotate("test"))
    assert parties.pair("a", parties.new_tape(), 1) == 2
    parties.a.do(Rotate("test"))
    for replaced in (1, 2):
        result = parties.pair("a", parties.new_tape(), replaced)
        assert isinstance(result, LocalError)
        assert result.code == "enrolment.replaced_already"
    parties.a.do(Revoke(2, "test"))
    assert parties.a.line == 1
    assert parties.pair("a", parties.new_tape(), 1) == 3


def test_a_successor_given_up_gives_back_what_was_said_on_it() -> None:
    parties = Parties()
    parties.flow()
    rotate(parties, "a")
    while parties.a.line != 2:
        parties.cross()
    parties.loss = 1.0
    parties.a.say("on the new line")
    parties.a.do(Revoke(2, "test"))
    parties.b.do(Revoke(2, "test"))
    parties.loss = 0.0
    assert parties.settle(lambda: parties.b.heard() == ["on the new line"])
    assert parties.a.line == parties.b.line == 1


def test_what_waits_on_a_line_revoked_beside_its_successor_goes_over_to_it() -> None:
    parties = Parties()
    parties.flow()
    parties.loss = 1.0
    parties.a.say("still on its way")
    parties.b.do(Revoke(1, "test"))
    parties.loss = 0.0
    parties.a.do(Rotate("test"))
    tape = parties.new_tape()
    parties.pair("a", tape, 1)
    card = parties.a.post.card() or b""
    assert parties.b.do(Pair(LABEL, "test", card, tape, words(card))) == 2
    parties.settle(lambda: parties.a.line == 2, minutes=5)
    parties.a.do(Revoke(1, "test"))
    assert parties.settle(lambda: parties.b.heard() == ["still on its way"])
    assert parties.a.post.status(1, parties.now).again


def test_a_disk_put_back_in_the_middle_of_the_change_loses_nothing() -> None:
    parties = Parties()
    parties.a.say("first")
    rotate(parties, "a")
    old = parties.a.store.snapshot()
    assert parties.settle(lambda: over(parties))
    parties.a.store.restore(old)
    parties.a.start()
    assert parties.a.line == 1
    parties.a.say("said on a line the other side has retired")
    assert parties.settle(lambda: len(parties.b.heard()) == 2)
    assert parties.b.heard() == ["first", "said on a line the other side has retired"]
    assert parties.a.states()[1] == "closing"
    parties.a.do(Revoke(1, "test"))
    assert not parties.settle(lambda: len(parties.b.heard()) > 2, minutes=5)
    assert parties.a.line == 2


@pytest.mark.parametrize("seed", range(12))
def test_no_order_of_steps_and_no_crash_between_two_loses_a_message(
    seed: int, long_run: bool
) -> None:
    """People of both sides write, rotate and pair in any order, while processes end in commits and
    datagrams are lost; each text arrives once."""
    for world in range(20 if long_run else 2):
        change_everything(random.Random(seed * 1000 + world))


def change_everything(chance: random.Random) -> None:
    """One world: at the end everything is over, and nothing is lost or doubled."""
    parties = Parties(seed=chance.randrange(1 << 30), tape=chance.random() < 0.7)
    parties.loss = chance.choice((0.0, 0.2, 0.5))
    tape = parties.new_tape()
    wanted = {name: ["rotate", "pair"] for name in "ab"}
    if chance.random() < 0.5:
        wanted[chance.choice("ab")].pop(0)
    said: dict[str, list[str]] = {"a": [], "b": []}
    while any(wanted.values()) or min(map(len, said.values())) < 12:
        name = chance.choice("ab")
        party = parties.parties[name]
        if chance.random() < 0.3:
            party.crash_in = chance.randrange(6)
        act = chance.random()
        if act < 0.4:
            said[name].append(f"{name} {len(said[name])}")
            party.say(said[name][-1])
        elif act < 0.6 and wanted[name]:
            if go_on(parties, name, tape, wanted):
                wanted[name].pop(0)
        elif act < 0.8:
            parties.wait(chance.choice((0.1, 2, 70)))
        else:
            parties.flow(chance.randrange(4))
    parties.a.crash_in = parties.b.crash_in = None
    parties.loss = 0.0
    assert parties.settle(lambda: over(parties)), (parties.a.states(), parties.b.states())
    parties.settle(lambda: False, minutes=2)
    assert sorted(parties.b.heard()) == sorted(said["a"])
    assert sorted(parties.a.heard()) == sorted(said["b"])


def go_on(parties: Parties, name: str, tape: bytes, wanted: dict[str, list[str]]) -> bool:
    """One person's next act; whether it is on disk, as the person finds on looking."""
    party = parties.parties[name]
    if wanted[name][0] == "rotate":
        before = party.store.state(0)["identity"]
        party.step(Rotate("test"))
        return party.store.state(0)["identity"] != before
    if any("rotate" in left for left in wanted.values()):
        return False
    parties.pair(name, tape, 1)
    return 2 in party.store.lines()


def test_nothing_that_sealing_keeps_ends_a_line() -> None:
    """A line that has dropped runs keeps their ids beside what says that a line has ended."""
    parties = Parties()
    for _ in range(40):
        parties.a.start()
        parties.b.start()
        parties.a.say(f"process {len(parties.a.said())}")
        parties.flow()
    assert "retired" in parties.b.store.state(1)
    parties.b.start()
    assert parties.b.states() == {1: "open"} or parties.settle(
        lambda: parties.b.states() == {1: "open"}
    )


def test_a_file_on_its_way_when_a_line_is_succeeded_is_ended_and_said_to_be() -> None:
    parties = Parties()
    parties.flow()
    data = bytes(900_000)
    laid = parties.a.do(BeginFile("test", "map", len(data)))
    assert isinstance(laid, Laid)
    for at in range(0, len(data), PORTION_BYTES):
        part = data[at : at + PORTION_BYTES]
        laid = parties.a.do(LayIn("test", laid.content, at, part))
        assert isinstance(laid, Laid)
    file = Attached(laid.content, "map", len(data), laid.digest)
    serial = parties.a.do(
        Release(1, "test", Precedence.ROUTINE, "en", "", "see the map", files=(file,))
    )
    assert isinstance(serial, Serial)
    rotate(parties, "a")
    assert parties.settle(lambda: over(parties))
    assert parties.b.heard() == ["see the map"]
    for party, side in ((parties.a, OURS), (parties.b, THEIRS)):
        view = message(party.store, party.post, 1, side, serial, parties.now)
        assert [each["state"] for each in view["attachments"]] == ["stopped"]
    assert not parties.a.store._disk.contents
    assert not parties.b.post.status(2, parties.now).faults
