"""A text waits until somebody here has done something about it."""

from __future__ import annotations

from openline.core import receipts
from openline.core.precedence import Precedence
from openline.inputs import Receive
from openline.waiting import waiting
from tests.pair import LinePair


def test_a_text_waits_until_it_is_opened() -> None:
    pair = LinePair()
    pair.flow()
    first = pair.say("a", "first")
    pair.say("a", "second", Precedence.FLASH)
    pair.say("b", "ours waits for them")
    pair.flow()
    found = waiting(pair.stores["b"], pair.posts["b"])
    assert [each["precedence"] for each in found["messages"]] == ["FLASH", "ROUTINE"]
    pair.do("b", Receive(1, "duty", receipts.DELIVERED, first))
    assert len(waiting(pair.stores["b"], pair.posts["b"], found["after"])["messages"]) == 2
    pair.do("b", Receive(1, "duty", receipts.OPENED, first))
    left = waiting(pair.stores["b"], pair.posts["b"], found["after"])
    assert [each["precedence"] for each in left["messages"]] == ["FLASH"]


def test_what_was_handled_long_ago_is_not_looked_at_again() -> None:
    pair = LinePair()
    serial = pair.say("a", "one")
    pair.flow()
    pair.do("b", Receive(1, "duty", receipts.OPENED, serial))
    nothing = waiting(pair.stores["b"], pair.posts["b"])
    assert nothing["messages"] == []
    pair.say("a", "two")
    pair.flow()
    assert len(waiting(pair.stores["b"], pair.posts["b"], nothing["after"])["messages"]) == 1
