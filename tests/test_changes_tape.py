"""Pages burned on one side, pages added on both, and peers that enrol again."""

from __future__ import annotations

from itertools import pairwise

import pytest

from openline.core import receipts
from openline.core.envelope import decode_record
from openline.enrolment import PAGE_BYTES, PAGES_MAX, tape_pages, words
from openline.errors import LocalError, OpenlineError
from openline.inputs import AddTape, BurnPages, Pages, Pair, Revoke, Rotate
from openline.store.base import OURS
from openline.tapes import ADDED, held, number_of
from tests.changing import LABEL, Parties, Party

WEEK_S = 7 * 86_400 + 60


def code(result: object) -> str:
    """The code of a refusal."""
    assert isinstance(result, OpenlineError), result
    return result.code


def pages(party: Party) -> list[int]:
    """The numbers of the pages left on the disk."""
    return held(party.store.state(1))


def first(parties: Parties) -> Party:
    """The side that offers."""
    return min(parties.a, parties.b, key=lambda party: not lane_first(party))


def lane_first(party: Party) -> bool:
    """Whether a side is the first party of line 1."""
    return b'"first": true' in party.store.state(1)["anchors"]


def answered(party: Party) -> list[int]:
    """The pages that went into the roots a side made as second party, in order."""
    rows = party.store.arrivals(1, 0, 1000, side=OURS, kinds=[receipts.ANSWER])
    return [int.from_bytes(decode_record(row.record).body[2:4], "big") for row in rows]


def rekey(parties: Parties) -> None:
    """Let a week pass, and what a rekey needs after it."""
    parties.wait(WEEK_S)
    parties.flow()
    parties.wait(5)
    parties.flow()


def settled() -> Parties:
    """Two parties whose first rekey is over: page 1 is burned on both sides."""
    parties = Parties()
    parties.settle(lambda: pages(parties.a) == pages(parties.b) == [2, 3, 4, 5, 6], minutes=5)
    assert pages(parties.a) == [2, 3, 4, 5, 6]
    return parties


@pytest.mark.parametrize("of_first", [True, False])
def test_a_page_burned_by_one_side_alone_is_never_used(of_first: bool) -> None:
    parties = settled()
    burner = next(p for p in (parties.a, parties.b) if lane_first(p) == of_first)
    other = parties.b if burner is parties.a else parties.a
    kept = burner.store.state(1)["tape/0002"]
    assert burner.do(BurnPages(1, "test", (2, 4))) == Pages(2)
    assert not any(kept in blob for blob in burner.store.state(1).values())
    burner.start()
    for _ in range(4):
        rekey(parties)
    second = next(p for p in (parties.a, parties.b) if not lane_first(p))
    used = answered(second)[1:]
    assert 2 not in used
    assert 4 not in used
    assert used[:3] == ([3, 5, 6] if of_first else [0, 3, 0])
    parties.a.say("the line lives")
    parties.flow()
    assert parties.b.heard() == ["the line lives"]
    assert not parties.a.post.status(1, parties.now).faults
    assert other.post.status(1, parties.now).alarm is False


def test_a_page_offered_and_then_burned_goes_into_no_root() -> None:
    parties = settled()
    offering = first(parties)
    parties.wait(WEEK_S)
    offering.take(1)
    assert offering.do(BurnPages(1, "test", (2,))) == Pages(1)
    parties.settle(lambda: 3 not in pages(offering), minutes=90)
    parties.a.say("on a root that both have")
    parties.flow()
    assert parties.b.heard() == ["on a root that both have"]
    assert not any(p.post.status(1, parties.now).alarm for p in (parties.a, parties.b))


def test_what_is_not_there_is_not_burned_and_nothing_else_either() -> None:
    parties = settled()
    assert code(parties.a.step(BurnPages(1, "test", (2, 1)))) == "tape.no_page"
    assert pages(parties.a) == [2, 3, 4, 5, 6]
    assert parties.a.do(BurnPages(1, "test", (), reserve=True)) == Pages(1)
    assert "reserve" not in parties.a.store.state(1)
    assert code(parties.a.step(BurnPages(1, "test", (), reserve=True))) == "tape.no_reserve"


def test_pages_added_in_any_order_have_the_same_numbers_and_are_used_once() -> None:
    parties = settled()
    parties.a.do(BurnPages(1, "test", (2, 3, 4, 5, 6)))
    more = [parties.new_tape() for _ in range(2)]
    assert parties.a.do(AddTape(1, "test", more[0])) == Pages(8)
    assert parties.a.do(AddTape(1, "test", more[1])) == Pages(8)
    parties.b.do(AddTape(1, "test", more[1]))
    parties.b.do(AddTape(1, "test", more[0]))
    parties.b.do(BurnPages(1, "test", (2, 3, 4, 5, 6)))
    assert pages(parties.a) == pages(parties.b)
    assert all(page >= ADDED for page in pages(parties.a))
    for _ in range(3):
        rekey(parties)
    second = next(p for p in (parties.a, parties.b) if not lane_first(p))
    used = answered(second)[1:]
    assert len(used) == 3
    assert used == sorted(number_of(p) for tape in more for p in tape_pages(tape))[:3]
    assert all(a < b for a, b in pairwise(used))
    assert pages(parties.a) == pages(parties.b)


def test_a_tape_serves_once() -> None:
    parties = settled()
    more = parties.new_tape()
    parties.a.do(AddTape(1, "test", more))
    assert code(parties.a.step(AddTape(1, "test", more))) == "enrolment.used_tape"
    parties.a.do(Rotate("test"))
    assert code(parties.pair("a", more, 1)) == "enrolment.used_tape"
    assert code(parties.a.step(AddTape(1, "test", more[:40]))) == "enrolment.damaged_tape"
    long = bytes(PAGE_BYTES * (PAGES_MAX + 1))
    assert code(parties.a.step(AddTape(1, "test", long))) == "enrolment.tape_pages"


@pytest.mark.parametrize("instant", range(2))
def test_a_kill_in_a_burn_leaves_all_pages_or_none_of_them(instant: int) -> None:
    parties = settled()
    parties.a.crash_in = instant
    parties.a.step(BurnPages(1, "test", (2, 3)))
    assert parties.a.crashes == 1
    assert pages(parties.a) == ([2, 3, 4, 5, 6] if instant == 0 else [4, 5, 6])


# -- enrolled again -----------------------------------------------------------------------------


def revoked() -> Parties:
    """Two parties that have revoked their line after some words."""
    parties = Parties()
    parties.a.say("of the old line")
    parties.flow()
    for party in (parties.a, parties.b):
        party.do(Revoke(1, "test"))
    return parties


def test_a_revoked_peer_enrols_again_under_its_name_with_a_new_card() -> None:
    parties = revoked()
    parties.b.do(Rotate("test"))
    tape = parties.new_tape()
    assert parties.pair("a", tape) == 2
    assert parties.pair("b", tape) == 2
    parties.a.say("of the new line")
    parties.flow()
    assert parties.b.heard() == ["of the old line", "of the new line"]
    assert parties.a.post.named(LABEL) == [1, 2]


def test_a_revoked_card_is_taken_with_a_new_tape_and_never_without() -> None:
    parties = revoked()
    assert code(parties.pair("a", None)) == "enrolment.revoked_card"
    parties.a.do(Rotate("test"))
    assert code(parties.pair("a", None)) == "enrolment.revoked_card"
    tape = parties.new_tape()
    assert parties.pair("a", tape) == 2
    assert parties.pair("b", tape) == 2
    parties.b.say("a new kit")
    parties.flow()
    assert parties.a.heard() == ["a new kit"]


def test_the_same_cards_with_another_tape_share_no_mailbox_with_the_old_line() -> None:
    parties = Parties()
    before = parties.a.post.mailboxes(1)
    parties.a.do(Revoke(1, "test"))
    assert parties.pair("a", parties.new_tape()) == 2
    after = parties.a.post.mailboxes(2)
    assert not {*before.take, before.deposit} & {*after.take, after.deposit}


def test_no_kit_is_made_twice() -> None:
    parties = Parties(tape=False)
    assert code(parties.pair("a", None, 1)) == "enrolment.nothing_new"
    assert isinstance(parties.pair("a", parties.new_tape(), 1), int)


def test_a_name_in_use_is_refused() -> None:
    parties = Parties()
    other = Parties(seed=2)
    card = other.a.post.card() or b""
    given = Pair(LABEL, "test", card, parties.new_tape(), words(card))
    result = parties.a.step(given)
    assert isinstance(result, LocalError)
    assert result.code == "enrolment.label_taken"
