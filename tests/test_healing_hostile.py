"""The paired peer may be the attacker: what it can do with HEALs and COPYs, and what people see.

"b" is the attacker (see hostile.py); "a" is ours, once as the one who lost its disk and takes, once
as the one who is asked and gives.
"""

from __future__ import annotations

import pytest

from openline import views
from openline.core import limits, receipts
from openline.core.envelope import encode_record, varint
from openline.core.events import Now, Reference, Serial
from openline.core.line import Line
from openline.core.precedence import Precedence
from openline.errors import LocalError, RemoteError
from openline.healing.bodies import GIVERS, READERS, Copy, decode_ranges, encode_ranges, parts
from openline.inputs import HealAsk, HealGive
from openline.sim.chance import noise, stream
from openline.store.base import CHAINED, OURS, THEIRS
from tests.healing import ask, clear, give, healing, lose_all, seen, status, talk, whole
from tests.hostile import lane, say
from tests.pair import LinePair, reworded


@pytest.fixture
def asking() -> LinePair:
    """a has lost its disk and asks; b is free to answer as it likes."""
    pair = LinePair()
    pair.flow()
    talk(pair, 6)
    lose_all(pair, "a")
    ask(pair, "a")
    return pair


@pytest.fixture
def asked() -> LinePair:
    """b has lost its disk; what it asks is up to the test."""
    pair = LinePair()
    pair.flow()
    talk(pair, 6)
    lose_all(pair, "b")
    clear(pair)
    return pair


def copy(pair: LinePair, whose: int, data: bytes, *, to: Serial | None = None) -> None:
    """b gives a record back."""
    question = lane(pair).healing.taker.question.asked if to is None else to
    for part in parts(whose, data) or [Copy(whose, data)]:
        say(pair, receipts.COPY, part.encode(), Reference(False, question))


def faults(pair: LinePair) -> dict[str, int]:
    return status(pair, "a").faults


def text(incarnation: int, number: int, words: str = "never said") -> bytes:
    record = Line.service(receipts.TEXT, words.encode(), Now(0, 1_700_000_000))
    return encode_record(record._replace(incarnation=incarnation, number=number))


# -- bodies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ranges", [[], [(1, 1)], [(1, 9), (11, 11), (500, 2**40)], [(7, 2**62 - 1)]]
)
def test_ranges_read_as_they_were_written(ranges: list[tuple[int, int]]) -> None:
    assert decode_ranges(encode_ranges(ranges)) == ranges


@pytest.mark.parametrize(
    "body",
    [
        b"\x01",
        b"\x01\x00",
        b"\x00\x01\x00\x01",
        varint(5) + varint(2**62 - 5),
        b"\x01\x01" * (limits.HEAL_RANGES_MAX + 1),
        b"\x40\x01\x01",
    ],
)
def test_ranges_that_are_none_are_malformed(body: bytes) -> None:
    with pytest.raises(RemoteError, match=r"wire\.malformed"):
        decode_ranges(body)


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x02", b"\x04x", b"\x05", b"\x08x", b"\x80x"])
def test_copies_that_are_none_are_malformed(body: bytes) -> None:
    with pytest.raises(RemoteError, match=r"wire\.malformed"):
        Copy.decode(body)


def test_the_longest_record_goes_in_two_copies() -> None:
    data = bytes(range(256)) * 259
    assert len(data) <= limits.RECORD_BYTES_MAX
    first, second = (Copy.decode(part.encode()) for part in parts(READERS, data))
    assert (first.continued, second.continued) == (True, False)
    assert first.data + second.data == data


# -- taking -------------------------------------------------------------------------------------


def test_what_was_never_asked_for_is_kept_and_does_nothing() -> None:
    pair = LinePair()
    pair.flow()
    talk(pair, 2)
    copy(pair, READERS, text(0xABC, 5), to=Serial(1, 1))
    pair.settle(1)
    assert faults(pair) == {"heal.unasked": 1}
    assert len(pair.stores["a"].arrivals(1, 0, 99, side=THEIRS, kinds=[receipts.COPY])) == 1
    assert "never said" not in seen(pair, "a", OURS)


def test_what_comes_after_the_end_or_answers_another_request_does_nothing(asking: LinePair) -> None:
    first = lane(asking).healing.taker.question.asked
    ask(asking, "a")
    copy(asking, READERS, text(0xABC, 5), to=first)
    give(asking, "b")
    asking.settle()
    copy(asking, READERS, text(0xABC, 6))
    asking.settle(1)
    assert faults(asking)["heal.unasked"] == 2
    assert "never said" not in seen(asking, "a", OURS)
    whole(asking, "a", "b")


def test_a_false_record_in_a_range_is_shown_and_never_chained(asking: LinePair) -> None:
    chain = asking.stores["b"].chain(1, OURS, 1, 10_000)
    (first, last) = status(asking, "a").lost[0]
    for row in chain[first - 1 : last]:
        false = b"b says 3" in row.record
        copy(asking, GIVERS, reworded(row.record, "b lies 3") if false else row.record)
    asking.settle()
    assert status(asking, "a").lost == [(first, last)]
    assert faults(asking)["heal.unproven"] == 1
    found = healing(asking, "a").ours
    assert found is not None
    assert found.unproven == ((first, last),)
    assert seen(asking, "a", THEIRS)["b lies 3"]["standing"] == "abandoned"
    restored = views.inbox(asking.stores["a"], asking.posts["a"], 1, asking.now)["records"]
    assert [e["standing"] for e in restored if e.get("text") == "b lies 3"] == ["abandoned"]


def test_a_range_with_a_hole_is_never_chained(asking: LinePair) -> None:
    (first, last) = status(asking, "a").lost[0]
    for row in asking.stores["b"].chain(1, OURS, 1, 10_000)[first - 1 : last]:
        if row.number != first + 3:
            copy(asking, GIVERS, row.record)
    asking.settle()
    assert status(asking, "a").lost == [(first, last)]
    rows = asking.stores["a"].chain(1, THEIRS, 1, 10_000)
    assert min(row.number for row in rows) > last


def test_records_outside_what_was_asked_do_nothing(asking: LinePair) -> None:
    top = status(asking, "a").lost[-1][1]
    for number in (top + 1, top + 1000, 2**60):
        copy(asking, GIVERS, text(0xABC, number))
    copy(asking, GIVERS, b"no record")
    asking.settle()
    assert faults(asking)["heal.outside"] == 3
    assert faults(asking)["wire.malformed"] == 1
    assert "never said" not in seen(asking, "a", THEIRS)


def test_serials_that_are_still_ours_to_give_cannot_be_planted(asking: LinePair) -> None:
    own = lane(asking).line
    incarnation = own.branch[-1].incarnation
    for number in (own.number + 1, own.number + 2, 2**60):
        copy(asking, READERS, text(incarnation, number))
    asking.settle()
    assert faults(asking) == {"heal.outside": 3}
    asking.say("a", "still ours")
    asking.settle(1)
    assert "still ours" in seen(asking, "b", THEIRS)


def test_an_incarnation_given_back_is_never_used_again(asking: LinePair) -> None:
    copy(asking, READERS, text(0x00BEEF, 1))
    asking.settle()
    drawn = iter([b"\x00\xbe\xef", b"\x00\xbe\xef", b"\x00\xca\xfe"])
    lane(asking)._entropy = lambda _: next(drawn)
    assert lane(asking).line.entropy(3) == b"\x00\xca\xfe"


def test_incarnations_without_end_are_bounded(
    asking: LinePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HEAL_INCARNATIONS_MAX", 10)
    for step in range(15):
        copy(asking, READERS, text(0x100000 + step, 2**60 + step))
    asking.settle()
    assert faults(asking) == {"heal.outside": 5}
    assert len(lane(asking).healing.taker.spent) == 10


def test_another_text_for_a_serial_of_ours_is_a_fork_shown_to_people(asking: LinePair) -> None:
    mine = asking.say("a", "what we said")
    asking.settle(1)
    for words in ("what they say we said", "or this", "or this", "or that", "and so on", "more"):
        copy(asking, READERS, text(*mine, words))
    asking.settle()
    assert status(asking, "a").forks == limits.FORK_VARIANTS_MAX
    assert faults(asking) == {"fork.too_many": 1}
    view = views.message(asking.stores["a"], asking.posts["a"], 1, OURS, mine, asking.now)
    assert view["text"] == "what we said"
    assert len(view["other_texts"]) == limits.FORK_VARIANTS_MAX
    asking.restart("a")
    asking.settle(1)
    assert "what we said" in seen(asking, "b", THEIRS)


def test_a_flood_of_copies_costs_a_step_little_and_its_author_quota(asking: LinePair) -> None:
    quota = lane(asking).quota
    quota.quota_bytes = quota.peer_bytes + 4_000
    for step in range(60):
        copy(asking, READERS, text(0x00F00D, 100 + step, noise(stream(step, "text"), 100)))
    asking.settle()
    assert quota.peer_bytes <= quota.quota_bytes
    assert status(asking, "b").refused
    asking.say("b", "urgent", Precedence.FLASH)
    asking.settle(1)
    assert "urgent" in seen(asking, "a", THEIRS)


def test_first_parts_without_a_second_are_each_read_once(asking: LinePair) -> None:
    question = lane(asking).healing.taker.question
    for step in range(600):
        part = Copy(GIVERS, b"%d" % step, continued=True)
        say(asking, receipts.COPY, part.encode(), Reference(False, question.asked))
    asking.settle(2)
    taker = lane(asking).healing.taker
    assert taker.question.cursor.number == lane(asking).line.reception.contiguous - 1


# -- giving -------------------------------------------------------------------------------------


def test_a_request_for_everything_there_could_be_is_given_what_there_is(asked: LinePair) -> None:
    say(asked, receipts.HEAL, encode_ranges([(1, 2**60)]))
    asked.settle(2)
    edge = lane(asked).line.number
    found = healing(asked, "a").theirs
    assert found is not None
    assert found.wanted <= edge
    give(asked, "a")
    asked.settle()
    found = healing(asked, "a").theirs
    assert found is not None
    assert found.complete
    assert found.ours == found.wanted
    assert lane(asked).line.number == edge + found.ours + found.theirs + 1


def test_a_malformed_request_asks_for_nothing(asked: LinePair) -> None:
    say(asked, receipts.HEAL, b"\x01\x00")
    asked.settle(2)
    assert faults(asked)["wire.malformed"] == 1
    with pytest.raises(LocalError, match=r"heal\.nothing_asked"):
        give(asked, "a")


def test_a_flood_of_requests_needs_consent_each_time(asked: LinePair) -> None:
    for _ in range(50):
        say(asked, receipts.HEAL, encode_ranges([(1, 5)]))
    asked.settle(2)
    before = lane(asked).line.number
    give(asked, "a")
    say(asked, receipts.HEAL, encode_ranges([(1, 5)]))
    asked.settle(4)
    found = healing(asked, "a").theirs
    assert found is not None
    assert not found.agreed or found.complete
    assert lane(asked).line.number <= before + 64
    blobs = asked.stores["a"].state(1)
    assert len(blobs["heal/give"]) < 16 * 1024


def test_a_request_on_a_branch_that_was_left_is_answered_by_nothing(asked: LinePair) -> None:
    saved = asked.stores["b"].snapshot()
    asked.do("b", HealAsk(1, "uid:7"))
    asked.settle(2)
    asked.stores["b"].restore(saved)
    asked.restart("b")
    asked.say("b", "restored from before the request")
    asked.settle(4)
    clear(asked)
    with pytest.raises(LocalError, match=r"heal\.nothing_asked"):
        asked.do("a", HealGive(1, "uid:8"))


def test_copies_stand_in_the_chain_like_any_record(asked: LinePair) -> None:
    asked.do("b", HealAsk(1, "uid:7"))
    asked.settle(2)
    give(asked, "a")
    asked.settle()
    rows = asked.stores["b"].arrivals(1, 0, 1000, side=THEIRS, kinds=[receipts.COPY])
    assert rows
    assert {row.standing for row in rows} == {CHAINED}
    assert {row.precedence for row in rows} == {Precedence.ROUTINE}
