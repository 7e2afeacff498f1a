"""What a pair of posts does: order, gaps, restarts, restored disks, hostile peers' least tricks."""

from __future__ import annotations

import pytest

from openline.core import limits, receipts
from openline.core.envelope import Ack
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.delivery.entry import Outbound
from openline.errors import InvariantError, LocalError, StoreError
from openline.inputs import BearerDown, Compare, Receive, Release
from openline.sim.chance import noise, stream
from tests.hostile import lane
from tests.pair import LinePair


@pytest.fixture(params=[True, False], ids=["tape", "cards"])
def pair(request: pytest.FixtureRequest) -> LinePair:
    made = LinePair(tape=request.param)
    made.flow()
    return made


def agree(pair: LinePair) -> None:
    first, second = pair.digests()
    assert first
    assert first == second


def test_texts_cross_and_records_agree(pair: LinePair) -> None:
    pair.say("a", "The line is open.")
    pair.say("b", "Линия открыта.")
    pair.flow()
    assert pair.texts("b") == ["The line is open."]
    assert pair.texts("a") == ["Линия открыта."]
    agree(pair)


def test_flash_overtakes_everything_not_yet_on_the_wire(pair: LinePair) -> None:
    for number in range(40):
        pair.say("a", f"routine {number} " + noise(stream(number, "text"), 900))
    pair.say("a", "flash", Precedence.FLASH)
    pair.give("b", pair.take("a")[:1])
    assert pair.texts("b")[0] == "flash"


def test_a_message_longer_than_a_datagram_arrives_whole(pair: LinePair) -> None:
    text = noise(stream(1, "text"), 60_000)
    pair.say("a", text)
    pair.flow()
    assert pair.texts("b") == [text]
    agree(pair)


def test_gap_is_shown_then_repaired(pair: LinePair) -> None:
    pair.say("a", "one")
    lost = pair.take("a")
    pair.say("a", "two")
    pair.give("b", pair.take("a"))
    status = pair.posts["b"].status(1, pair.now)
    assert pair.texts("b") == ["two"]
    assert len(status.gaps) == 1
    assert lost
    pair.wait(1)
    pair.flow()
    assert pair.posts["b"].status(1, pair.now).gaps == []
    agree(pair)


def test_the_same_datagram_twice_over_two_bearers_is_one_message(pair: LinePair) -> None:
    pair.say("a", "once")
    datagrams = pair.take("a")
    pair.up("b", "relay")
    pair.give("b", datagrams)
    pair.give("b", datagrams, "relay")
    pair.flow()
    assert pair.texts("b") == ["once"]


def test_restart_of_either_side_loses_nothing(pair: LinePair) -> None:
    for name in "abab":
        pair.say(name, f"before {name}")
        pair.take(name)
        pair.restart(name)
        pair.flow()
        pair.wait(2)
        pair.flow()
    assert pair.texts("b") == ["before a", "before a"]
    assert pair.texts("a") == ["before b", "before b"]
    agree(pair)


def test_every_process_that_releases_has_an_incarnation_of_its_own(pair: LinePair) -> None:
    first = pair.say("a", "one")
    pair.restart("a")
    second = pair.say("a", "two")
    assert first.incarnation != second.incarnation
    assert second.number > first.number


def test_author_restored_to_old_state_continues_from_there_and_nothing_is_overwritten(
    pair: LinePair,
) -> None:
    pair.say("a", "kept")
    pair.flow()
    saved = pair.stores["a"].snapshot()
    pair.say("a", "forgotten by its author")
    pair.flow()
    pair.restore("a", saved)
    pair.say("a", "after")
    pair.settle()
    assert pair.texts("b") == ["kept", "forgotten by its author", "after"]
    agree(pair)


def test_reader_restored_to_old_state_says_what_it_lost_and_the_line_goes_on(
    pair: LinePair,
) -> None:
    pair.say("a", "kept")
    pair.flow()
    saved = pair.stores["b"].snapshot()
    for number in range(3):
        pair.say("a", f"lost {number}")
    pair.flow()
    pair.restore("b", saved)
    pair.say("a", "after")
    pair.settle()
    assert pair.texts("b") == ["kept", "after"]
    assert pair.posts["b"].status(1, pair.now).lost
    agree(pair)


def test_both_restored_at_once(pair: LinePair) -> None:
    pair.say("a", "kept a")
    pair.say("b", "kept b")
    pair.flow()
    saved = {name: pair.stores[name].snapshot() for name in "ab"}
    for _ in range(40):
        pair.say("a", "later a")
        pair.flow()
        pair.say("b", "later b")
        pair.flow()
    for name in "ab":
        pair.stores[name].restore(saved[name])
    for name in "ab":
        pair.restart(name)
    pair.say("a", "after a")
    pair.say("b", "after b")
    pair.settle()
    assert pair.texts("b") == ["kept a", "after a"]
    assert pair.texts("a") == ["kept b", "after b"]
    agree(pair)


def test_a_begin_withheld_over_a_restore_does_not_close_the_line(pair: LinePair) -> None:
    pair.say("a", "kept")
    pair.flow()
    saved = pair.stores["a"].snapshot()
    pair.restart("a")
    pair.say("a", "withheld")
    withheld = pair.take("a")
    pair.restore("a", saved)
    pair.say("a", "living")
    pair.settle()
    pair.give("b", withheld)
    pair.say("a", "still living")
    pair.settle()
    assert set(pair.texts("b")) == {"kept", "withheld", "living", "still living"}
    agree(pair)
    pair.say("a", "and on")
    pair.settle()
    agree(pair)


def test_full_disk_refuses_the_act_and_keeps_the_record(pair: LinePair) -> None:
    pair.stores["a"].full = True
    with pytest.raises(StoreError):
        pair.say("a", "cannot be kept")
    pair.stores["a"].full = False
    pair.say("a", "kept")
    pair.flow()
    assert pair.texts("b") == ["kept"]
    agree(pair)


def test_full_disk_of_the_reader_delays_and_loses_nothing(pair: LinePair) -> None:
    pair.stores["b"].full = True
    pair.say("a", "late")
    with pytest.raises(StoreError):
        pair.give("b", pair.take("a"))
    assert pair.posts["b"].status(1, pair.now).full
    pair.stores["b"].full = False
    pair.wait(2)
    pair.flow()
    assert pair.texts("b") == ["late"]
    agree(pair)


def test_receipts_say_what_people_did_once_each(pair: LinePair) -> None:
    serial = pair.say("a", "read me")
    pair.flow()
    assert pair.do("b", Receive(1, "watch", receipts.OPENED, serial))
    assert pair.do("b", Receive(1, "watch", receipts.OPENED, serial)) is None
    pair.do("b", Receive(1, "watch", receipts.HOLDING, serial, pair.now.wall_s + 3600))
    pair.flow()
    marks = pair.stores["a"].marks(1, 0, serial.number, serial.incarnation)
    marks = [mark for mark in marks if mark.kind in receipts.RECEIPTS]
    assert [mark.kind for mark in marks] == [receipts.OPENED, receipts.HOLDING]
    assert marks[1].due_s == pair.now.wall_s + 3600


def test_a_receipt_for_what_was_never_received_is_refused(pair: LinePair) -> None:
    with pytest.raises(LocalError, match=r"message\.unknown"):
        pair.do("b", Receive(1, "watch", receipts.OPENED, Serial(1, 99)))


def test_one_exchange_proves_that_the_records_agree(pair: LinePair) -> None:
    pair.say("a", "one")
    pair.flow()
    pair.do("a", Compare(1, "watch"))
    pair.give("b", pair.take("a"))
    pair.give("a", pair.take("b"))
    comparison = pair.posts["a"].status(1, pair.now).comparison
    assert comparison is not None
    assert comparison.agree is True


@pytest.mark.parametrize("at", [5, 17, 40])
def test_the_first_difference_is_named(pair: LinePair, at: int) -> None:
    for number in range(45):
        pair.say("a", f"text {number}")
    pair.flow()
    ledger = pair.posts["b"]._lanes[1].ledger
    head = ledger.head
    ledger.head = lambda side, number: (  # type: ignore[method-assign]
        bytes(31) + b"!" if side == 1 and number >= at else head(side, number)
    )
    pair.do("a", Compare(1, "watch"))
    pair.flow()
    comparison = pair.posts["a"].status(1, pair.now).comparison
    assert comparison is not None
    assert comparison.agree is False
    assert comparison.first_difference == (0, at)


def test_the_second_bearer_takes_over_when_the_first_reports_its_death(pair: LinePair) -> None:
    for name in "ab":
        pair.up(name, "relay", cost=2)
    pair.say("a", "carried over")
    assert pair.take("a", "tcp")
    pair.do("a", BearerDown(1, "tcp", "bearer.closed"))
    pair.give("b", pair.take("a", "relay"), "relay")
    assert pair.texts("b") == ["carried over"]


def test_a_fault_of_ours_costs_the_input_that_shows_it_and_nothing_else(
    pair: LinePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mistaken(*_: object) -> None:
        raise KeyError("what a message says")

    monkeypatch.setattr(pair.posts["a"].people, "takers", {Compare: mistaken})
    text = Release(1, "test", Precedence.FLASH, "en", "", "Hold the bridge.")
    results = pair.posts["a"].step([text, Compare(1, "test"), text], pair.now)
    assert [type(each) for each in results] == [Serial, InvariantError, Serial]
    fault = results[1]
    assert isinstance(fault, InvariantError)
    assert fault.details["kind"] == "KeyError"
    assert "message" not in str(fault)
    assert str(fault.details["place"]).startswith("tests.test_line:")
    pair.settle()
    assert pair.texts("b") == ["Hold the bridge."] * 2
    agree(pair)


def test_half_a_character_is_refused_and_nothing_is_released(pair: LinePair) -> None:
    with pytest.raises(LocalError, match=r"message\.not_text"):
        pair.say("a", "half \ud800")
    pair.say("a", "whole")
    pair.flow()
    assert pair.texts("b") == ["whole"]


def test_two_restarts_under_traffic_make_no_storm_of_incarnations(pair: LinePair) -> None:
    for _ in range(30):
        pair.say("a", "to b")
        pair.say("b", "to a")
        crossing = {name: pair.take(name) for name in "ab"}
        pair.give("b", crossing["a"])
        pair.give("a", crossing["b"])
    for name in "ab":
        pair.restart(name)
    for _ in range(30):
        pair.say("a", "to b")
        pair.say("b", "to a")
        crossing = {name: pair.take(name) for name in "ab"}
        pair.give("b", crossing["a"])
        pair.give("a", crossing["b"])
    pair.settle()
    begins = len(pair.stores["a"].arrivals(1, 0, 10_000, kinds=[receipts.BEGIN]))
    assert begins <= 8
    agree(pair)


def test_a_run_that_the_reader_dropped_is_not_used_for_ever(
    pair: LinePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A relay hands in openings of long ago: so many newer runs make the reader drop the one in use
    # (R9), whose datagrams it ignores from then on, while the author hears it as before.
    monkeypatch.setattr(limits, "RATCHET_DATAGRAMS", limits.RUN_DATAGRAMS_MAX)
    withheld: list[bytes] = []
    for _ in range(limits.RUNS_MAX):
        pair.restart("a")
        withheld += pair.take("a")
    pair.restart("a")
    pair.flow()
    pair.wait(60)
    for datagram in withheld:
        pair.give("b", [datagram])
    pair.say("a", "heard")
    for second in range(60):
        pair.say("b", f"at {second} s")
        pair.flow()
        pair.wait(1)
    assert pair.texts("a")[-1] == "at 59 s"
    assert pair.texts("b") == ["heard"]


def test_bearers_that_carry_one_way_each_make_a_whole_line(pair: LinePair) -> None:
    # What comes over one is acknowledged there first, where nobody hears it.
    for name in "ab":
        pair.up(name, "relay")
    pair.flow()
    pair.say("a", "over tcp alone")
    pair.say("b", "over the relay alone")
    for _ in range(60):
        tcp, _ = pair.take("a", "tcp"), pair.take("a", "relay")
        relay, _ = pair.take("b", "relay"), pair.take("b", "tcp")
        if tcp:
            pair.give("b", tcp, "tcp")
        if relay:
            pair.give("a", relay, "relay")
        pair.wait(1)
    assert pair.texts("a") == ["over the relay alone"]
    assert pair.texts("b") == ["over tcp alone"]
    assert [pair.posts[name].status(1, pair.now).outbox for name in "ab"] == [0, 0]


def test_pieces_of_a_long_text_are_acknowledged_where_they_come(pair: LinePair) -> None:
    pair.settle()
    for name in "ab":
        pair.up(name, "radio", mtu_bytes=512, cost=50)
    for _ in range(8):
        for name, other in ("ab", "ba"):
            for bearer in ("tcp", "radio"):
                pair.give(other, pair.take(name, bearer), bearer)
        pair.wait(5)
    pair.say("a", noise(stream(1, "long"), 40_000))
    crossed = 0
    while taken := pair.take("a"):
        for datagram in taken:
            crossed += 1
            pair.give("b", [datagram])
            pair.give("a", pair.take("b"))
            assert pair.take("b", "radio") == []
    assert crossed > 5
    assert len(pair.texts("b")) == 1


def test_an_ack_names_all_that_is_held_between_many_gaps(pair: LinePair) -> None:
    count = 120
    for number in range(count):
        pair.say("a", str(number), Precedence.FLASH if number % 2 else Precedence.ROUTINE)
    pair.give("b", [data for _ in range(count // 2) for data in pair.take("a")[:1]])
    held = pair.posts["b"].status(1, pair.now).gaps
    assert len(held) > 32
    pair.give("a", pair.take("b"))
    sent = lane(pair, "a").outbox.entries.values()
    assert sum(entry.state is Outbound.HELD for entry in sent) == count // 2


def test_a_run_whose_confirmation_was_lost_is_shown_again_though_nothing_is_left_to_say() -> None:
    pair = LinePair()
    pair.give("b", pair.take("a"))
    for _ in range(40):
        # All comes to b; of what b says only ACKs come to a, and no RUN.
        pair.give("b", pair.take("a"))
        pair.take("b")
    held = pair.posts["a"]._lanes[1]
    held.line.acked = held.line.number
    held.outbox.acknowledge(Ack(1, held.line.number), held.line.number, pair.now.mono_ms)
    assert held.seal.confirmed is None
    assert pair.take("a") == []
    pair.wait(31)
    pair.flow()
    assert held.seal.confirmed is not None


def test_a_run_is_not_shown_in_haste_while_no_bearer_is_up() -> None:
    pair = LinePair()
    pair.take("a")
    held = pair.posts["a"]._lanes[1]
    held.outbox.acknowledge(Ack(1, held.line.number), held.line.number, pair.now.mono_ms)
    pair.do("a", BearerDown(1, "tcp", "tcp.closed"))
    for _ in range(30):
        due_ms = held.deadline()
        assert due_ms is not None
        assert due_ms > pair.now.mono_ms
        pair.wait(max(1, (due_ms - pair.now.mono_ms) / 1000))
