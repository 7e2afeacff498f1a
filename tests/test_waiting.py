"""A text waits until somebody here has done something about it; the most urgent is seen first."""

from __future__ import annotations

from typing import Any

from openline.core import receipts
from openline.core.precedence import Precedence
from openline.inputs import Receive
from openline.unopened import FLASHES_MAX
from openline.waiting import waiting
from tests.pair import LinePair


def seen(pair: LinePair, limit: int = 100) -> tuple[list[str], list[int]]:
    """The precedences listed at "b", and the counts."""
    found: dict[str, Any] = waiting(pair.posts["b"], limit)
    assert found["complete"]
    listed = [each["precedence"] for each in found["messages"]]
    return listed, [each["count"] for each in found["counts"]]


def test_a_text_waits_until_it_is_opened() -> None:
    pair = LinePair()
    pair.flow()
    first = pair.say("a", "first")
    pair.say("a", "second", Precedence.FLASH)
    pair.say("b", "ours waits for them")
    pair.flow()
    assert seen(pair) == (["FLASH", "ROUTINE"], [1, 1])
    pair.do("b", Receive(1, "duty", receipts.DELIVERED, first))
    assert seen(pair) == (["FLASH", "ROUTINE"], [1, 1])
    pair.do("b", Receive(1, "duty", receipts.OPENED, first))
    assert seen(pair) == (["FLASH"], [1])


def test_what_was_opened_does_not_wait_after_a_restart() -> None:
    pair = LinePair()
    serial = pair.say("a", "one")
    pair.flow()
    pair.do("b", Receive(1, "duty", receipts.OPENED, serial))
    pair.restart("b")
    assert seen(pair) == ([], [])
    pair.say("a", "two")
    pair.flow()
    assert seen(pair) == (["ROUTINE"], [1])


def test_no_flood_hides_a_flash() -> None:
    pair = LinePair()
    pair.flow()
    for number in range(30):
        pair.say("a", f"{number}")
    pair.say("a", "now", Precedence.FLASH)
    pair.flow()
    assert seen(pair, 5) == (["FLASH"] + ["ROUTINE"] * 4, [1, 30])


def test_a_flood_of_flash_on_one_line_is_bounded_and_its_newest_is_listed() -> None:
    pair = LinePair()
    pair.flow()
    for number in range(FLASHES_MAX + 3):
        serial = pair.say("a", f"{number}", Precedence.FLASH)
        pair.flow()
    listed = waiting(pair.posts["b"], 0)
    assert len(listed["flashes"]) == FLASHES_MAX
    assert listed["flashes"][0]["number"] == serial.number
    assert listed["messages"] == []
