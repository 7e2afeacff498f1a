"""A text that says by when it wants an answer has a clock, until the answer is there."""

from __future__ import annotations

import pytest

from openline import replies
from openline.core import receipts
from openline.core.events import Reference, Serial
from openline.core.precedence import Precedence
from openline.inputs import Content, HandDraft, Receive, Release, SaveDraft, Written
from openline.views import View, message
from openline.waiting import waiting
from tests.pair import LinePair

DUE_S = 1_700_010_000
HOLDING = receipts.HOLDING


def ask(pair: LinePair, name: str, due_s: int | None = DUE_S, *refers: Reference) -> Serial:
    """Release a text that is to be answered by `due_s`; it arrives."""
    said = Release(1, "duty", Precedence.FLASH, "en", "", "text", None, due_s, refers)
    serial = pair.do(name, said)
    assert isinstance(serial, Serial)
    pair.flow()
    return serial


def due(pair: LinePair, name: str) -> list[tuple[str, int, bool]]:
    """(side, unix seconds, promised) of the answers due, as one of them sees it."""
    found = waiting(pair.posts[name])
    assert found["complete"]
    return [(each["side"], each["due_s"], each["promised"]) for each in found["replies"]]


@pytest.fixture
def pair() -> LinePair:
    made = LinePair()
    made.flow()
    return made


def test_a_due_time_is_a_clock_on_both_sides_until_somebody_answers(pair: LinePair) -> None:
    serial = ask(pair, "a")
    assert due(pair, "a") == [("ours", DUE_S, False)]
    assert due(pair, "b") == [("theirs", DUE_S, False)]
    pair.do("b", Receive(1, "duty", receipts.OPENED, serial))
    assert due(pair, "b") == [("theirs", DUE_S, False)], "opened is not answered"
    ask(pair, "a", None, Reference(True, serial))
    assert due(pair, "b") == [("theirs", DUE_S, False)], "nobody answers themselves"
    ask(pair, "b", None, Reference(False, serial))
    assert (due(pair, "a"), due(pair, "b")) == ([], [])


def test_a_holding_reply_sets_the_clock_to_what_was_promised(pair: LinePair) -> None:
    first, second = ask(pair, "a"), ask(pair, "a", None)
    pair.do("b", Receive(1, "duty", HOLDING, first, DUE_S + 100))
    pair.do("b", Receive(1, "duty", HOLDING, second, DUE_S + 50))
    pair.flow()
    promised = [(DUE_S + 50, True), (DUE_S + 100, True)]
    assert due(pair, "a") == [("ours", *each) for each in promised]
    assert due(pair, "b") == [("theirs", *each) for each in promised]
    ask(pair, "b", None, Reference(False, first), Reference(False, second))
    assert due(pair, "a") == []


def test_who_declines_owes_no_answer(pair: LinePair) -> None:
    pair.do("b", Receive(1, "duty", receipts.DECLINED, ask(pair, "a")))
    pair.flow()
    assert (due(pair, "a"), due(pair, "b")) == ([], [])


def test_a_post_that_starts_anew_knows_the_same_clocks(pair: LinePair) -> None:
    ask(pair, "b", None, Reference(False, ask(pair, "a")))
    ask(pair, "a", DUE_S + 5)
    pair.restart("b")
    assert due(pair, "b") == [("theirs", DUE_S + 5, False)]


def test_a_long_record_is_read_bit_by_bit(pair: LinePair, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        ask(pair, "a", DUE_S - number)
    monkeypatch.setattr(replies, "LOOK_ROWS_MAX", 2)
    looks = [pair.posts["b"].replies.look() for _ in range(3)]
    assert [(len(each.clocks), each.complete) for each in looks] == [
        *((2, False), (4, False), (5, True))
    ]
    assert [clock.due_s for clock in looks[-1].clocks] == [DUE_S - n for n in (4, 3, 2, 1, 0)]


def test_the_other_side_cannot_fill_our_memory_with_clocks(
    pair: LinePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replies, "CLOCKS_MAX", 2)
    serials = [ask(pair, "a") for _ in range(4)]
    ours = ask(pair, "b")
    assert len(due(pair, "b")) == 3
    ask(pair, "b", None, Reference(False, serials[0]))
    ask(pair, "a", DUE_S, Reference(False, ours))
    assert len(due(pair, "b")) == 2, "there is room again for one more"


def test_drafts_in_review_are_counted_and_not_shown(pair: LinePair) -> None:
    for precedence in (Precedence.ROUTINE, Precedence.FLASH, Precedence.FLASH):
        content = Content(precedence, "en", "secret", "matter")
        made = pair.do("a", SaveDraft(1, "drafter", content))
        assert isinstance(made, Written)
        pair.do("a", HandDraft(made.draft, "drafter", made.revision))
    found = waiting(pair.posts["a"])["drafts"]
    assert found == [
        {"line": 1, "precedence": "FLASH", "count": 2},
        {"line": 1, "precedence": "ROUTINE", "count": 1},
    ]


def test_our_own_people_see_who_of_them_said_what_and_the_other_side_does_not(
    pair: LinePair,
) -> None:
    serial = ask(pair, "a")
    pair.do("b", Receive(1, "duty", receipts.OPENED, serial))
    pair.do("b", Receive(1, "principal", receipts.SHOWN, serial))
    pair.flow()

    def said(name: str, side: int) -> list[tuple[str, str | None]]:
        shown: View = message(pair.stores[name], pair.posts[name], 1, side, serial, pair.now)
        return [(mark["kind"], mark["actor"]) for mark in shown["marks"]]

    assert said("b", 1) == [("opened", "duty"), ("shown", "principal")]
    assert said("a", 0) == [("opened", None), ("shown", None)]
