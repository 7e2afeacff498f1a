"""Which record goes over which bearer, in what order."""

from __future__ import annotations

from openline.bearers.base import BearerProfile
from openline.core import receipts
from openline.core.envelope import Ack, Refusal
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.delivery.outbox import Outbox
from tests.vectors.scribe import raw_record

RETRY_MS = 1_000


def bring_up(outbox: Outbox, bearer: str, cost: int) -> None:
    """A bearer comes up."""
    outbox.bearer_up(bearer, BearerProfile(bearer, 5, 4096, RETRY_MS, 15_000, cost), 0)


def outbox_of(*precedences: Precedence) -> Outbox:
    """An outbox with records 1, 2, … over a cheap bearer "tcp" and a dear one "relay"."""
    outbox = Outbox()
    bring_up(outbox, "tcp", 10)
    bring_up(outbox, "relay", 20)
    for number, precedence in enumerate(precedences, 1):
        outbox.add(Serial(7, number), raw_record(7, number, flags=precedence << 6))
    return outbox


def taken(outbox: Outbox, bearer: str, now_ms: int = 0) -> list[int]:
    """Everything that a bearer gets now, in order."""
    numbers = []
    channel = outbox.channels[bearer]
    while (entry := outbox.pick(channel, now_ms)) is not None:
        outbox.sent(entry, channel, now_ms)
        numbers.append(entry.serial.number)
    return numbers


def test_flash_goes_over_every_bearer_and_the_rest_over_the_cheapest() -> None:
    outbox = outbox_of(Precedence.ROUTINE, Precedence.FLASH, Precedence.IMMEDIATE, Precedence.FLASH)
    assert taken(outbox, "tcp") == [2, 4, 3, 1]
    assert taken(outbox, "relay") == [2, 4]
    assert taken(outbox, "tcp") == taken(outbox, "relay") == []


def test_flash_that_the_dear_bearer_took_first_still_goes_over_the_cheap_one() -> None:
    outbox = outbox_of(Precedence.FLASH, Precedence.ROUTINE)
    assert taken(outbox, "relay") == [1]
    assert taken(outbox, "tcp") == [1, 2]


def test_a_bearer_that_comes_later_gets_the_flash_that_is_on_the_wire() -> None:
    outbox = outbox_of(Precedence.ROUTINE, Precedence.FLASH)
    taken(outbox, "tcp")
    taken(outbox, "relay")
    bring_up(outbox, "courier", 30)
    assert taken(outbox, "courier") == [2]


def test_a_bearer_that_comes_back_gets_flash_anew() -> None:
    outbox = outbox_of(Precedence.FLASH, Precedence.ROUTINE)
    taken(outbox, "tcp")
    taken(outbox, "relay")
    outbox.drop("relay")
    assert taken(outbox, "relay") == [1]


def test_what_a_dead_bearer_alone_had_goes_elsewhere_at_once() -> None:
    outbox = outbox_of(Precedence.ROUTINE, Precedence.PRIORITY)
    assert taken(outbox, "tcp") == [2, 1]
    outbox.bearer_down("tcp", "bearer.closed", "", 0)
    assert taken(outbox, "relay") == [2, 1]


def test_what_is_repeated_goes_over_every_bearer() -> None:
    outbox = outbox_of(Precedence.ROUTINE)
    assert (taken(outbox, "tcp"), taken(outbox, "relay")) == ([1], [])
    assert outbox.expire(RETRY_MS) == 1
    assert taken(outbox, "relay", RETRY_MS) == [1]
    assert taken(outbox, "tcp", RETRY_MS) == [1]


def test_what_is_held_goes_nowhere() -> None:
    outbox = outbox_of(Precedence.FLASH, Precedence.FLASH)
    taken(outbox, "tcp")
    assert outbox.acknowledge(Ack(7, 1), 2, 10) == [1]
    assert taken(outbox, "relay") == [2]
    assert outbox.acknowledge(Ack(7, 2), 2, 10) == [2]
    assert taken(outbox, "tcp") == taken(outbox, "relay") == []
    assert outbox.waiting() == 0


def test_begins_go_first_the_newest_before_the_older() -> None:
    outbox = outbox_of(Precedence.FLASH)
    for number in (2, 3):
        data = raw_record(7, number, flags=Precedence.FLASH << 6, kind=receipts.BEGIN)
        outbox.add(Serial(7, number), data)
    assert taken(outbox, "tcp") == taken(outbox, "relay") == [3, 2, 1]


def test_a_begin_that_is_refused_is_sent_again() -> None:
    outbox = outbox_of()
    data = raw_record(7, 1, flags=Precedence.FLASH << 6, kind=receipts.BEGIN)
    outbox.add(Serial(7, 1), data)
    assert taken(outbox, "tcp") == [1]
    assert outbox.refuse(Serial(7, 1), Refusal.MALFORMED)
    assert outbox.expire(RETRY_MS) == 1
    assert taken(outbox, "tcp", RETRY_MS) == [1]
