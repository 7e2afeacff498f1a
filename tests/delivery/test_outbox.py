"""Which record goes over which bearer, in what order."""

from __future__ import annotations

from openline.bearers.base import BearerProfile
from openline.core import receipts
from openline.core.envelope import Ack, Refusal
from openline.core.events import Serial
from openline.core.limits import WINDOW_RECORDS_MAX
from openline.core.precedence import Precedence
from openline.delivery.outbox import Outbox
from tests.vectors.scribe import raw_record

RETRY_MS = 1_000


SLOW_MS = 3_000


def bring_up(outbox: Outbox, bearer: str, cost: int) -> None:
    """A bearer comes up."""
    outbox.bearer_up(bearer, BearerProfile(bearer, 5, 4096, RETRY_MS, 15_000, cost), 0)


def bring_up_slow(outbox: Outbox) -> None:
    """A modem comes up that carries forty records in the time it is given work for."""
    profile = BearerProfile("modem", SLOW_MS, 512, 0, 60_000, 5, rate_bytes_s=150)
    outbox.bearer_up("modem", profile, 0)


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
    channel.asked(now_ms, given=False)
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


def test_what_the_best_has_no_room_for_goes_over_the_next() -> None:
    outbox = outbox_of(*[Precedence.ROUTINE] * (WINDOW_RECORDS_MAX + 2))
    assert taken(outbox, "relay") == []
    assert len(taken(outbox, "tcp")) == WINDOW_RECORDS_MAX
    assert taken(outbox, "relay") == [WINDOW_RECORDS_MAX + 1, WINDOW_RECORDS_MAX + 2]


def test_a_slow_bearer_gets_what_it_can_carry_and_no_more() -> None:
    outbox = outbox_of(*[Precedence.ROUTINE] * (2 * WINDOW_RECORDS_MAX + 500))
    outbox.bearer_down("relay", "bearer.closed", "", 0)
    bring_up_slow(outbox)
    assert taken(outbox, "modem") == []
    assert len(taken(outbox, "tcp")) == WINDOW_RECORDS_MAX
    given = taken(outbox, "modem")
    channel = outbox.channels["modem"]
    assert given
    assert channel.flight_bytes <= channel.window_bytes() < 2000
    assert taken(outbox, "modem", 100) == []


def test_the_timer_of_a_quick_bearer_repeats_nothing_on_a_slow_one() -> None:
    outbox = outbox_of(Precedence.FLASH)
    bring_up_slow(outbox)
    for bearer in ("tcp", "relay", "modem"):
        assert taken(outbox, bearer) == [1]
    assert outbox.expire(RETRY_MS) == 2
    assert taken(outbox, "tcp", RETRY_MS) == taken(outbox, "relay", RETRY_MS) == [1]
    assert taken(outbox, "modem", RETRY_MS) == []
    outbox.expire(5 * SLOW_MS)
    assert taken(outbox, "modem", 5 * SLOW_MS) == [1]


def test_a_bearer_that_asks_for_no_more_holds_nothing_back_for_long() -> None:
    outbox = outbox_of(Precedence.ROUTINE, Precedence.ROUTINE)
    tcp = outbox.channels["tcp"]
    first = outbox.pick(tcp, 0)
    assert first is not None
    outbox.sent(first, tcp, 0)
    tcp.asked(0, given=True)
    assert taken(outbox, "relay") == []
    due_ms = outbox.deadline()
    assert due_ms is not None
    assert due_ms < RETRY_MS
    assert outbox.expire(due_ms) == 0
    assert outbox.deadline() != due_ms
    assert taken(outbox, "relay", due_ms) == [2]


def test_a_bearer_that_swallows_everything_is_not_the_best_any_more() -> None:
    outbox = outbox_of(*[Precedence.ROUTINE] * 12)
    for _ in range(4):
        taken(outbox, "tcp")
    outbox.expire(RETRY_MS)
    assert taken(outbox, "relay", RETRY_MS) == [*range(1, 13)]
    outbox.hearing = "relay"
    outbox.acknowledge(Ack(7, 12), 12, RETRY_MS + 20)
    outbox.add(Serial(7, 13), raw_record(7, 13))
    assert taken(outbox, "tcp", RETRY_MS + 30) == []
    assert [verdict.name for verdict in outbox.ranked(300, RETRY_MS + 30)] == ["relay", "tcp"]
    assert taken(outbox, "relay", RETRY_MS + 30) == [13]


def test_new_records_wait_as_long_as_repeats_until_a_round_trip_is_measured() -> None:
    outbox = outbox_of(Precedence.ROUTINE)
    outbox.bearer_down("relay", "bearer.closed", "", 0)
    taken(outbox, "tcp")
    outbox.expire(RETRY_MS)
    taken(outbox, "tcp", RETRY_MS)
    outbox.add(Serial(7, 2), raw_record(7, 2))
    taken(outbox, "tcp", RETRY_MS)
    assert {f.due_ms for f in outbox.channels["tcp"].flights.values()} == {3 * RETRY_MS}
    outbox.hearing = "tcp"
    outbox.acknowledge(Ack(7, 2), 2, RETRY_MS + 40)
    outbox.add(Serial(7, 3), raw_record(7, 3))
    taken(outbox, "tcp", 2 * RETRY_MS)
    assert outbox.deadline() == 3 * RETRY_MS


def test_a_bearer_that_is_gone_keeps_nothing() -> None:
    outbox = outbox_of(Precedence.ROUTINE, Precedence.FLASH)
    taken(outbox, "tcp")
    outbox.bearer_gone("tcp")
    assert taken(outbox, "relay") == [2, 1]
    assert outbox.underway() == {1: ["relay"], 2: ["relay"]}
    outbox.hearing = "relay"
    assert outbox.acknowledge(Ack(7, 2), 2, 10) == [1, 2]
    assert outbox.deadline() is None


def test_what_went_with_a_courier_goes_over_a_wire_that_comes_back() -> None:
    outbox = Outbox()
    days_ms = 2 * 86_400_000
    courier = BearerProfile("courier", days_ms, 4096, days_ms, 4 * days_ms, 50, two_way=False)
    outbox.bearer_up("courier", courier, 0)
    outbox.add(Serial(7, 1), raw_record(7, 1))
    assert taken(outbox, "courier") == [1]
    bring_up(outbox, "tcp", 10)
    assert taken(outbox, "tcp") == [1]
    assert taken(outbox, "courier") == []


def test_a_bearer_that_goes_deaf_and_hears_again_has_nothing_sent_anew() -> None:
    outbox = outbox_of(Precedence.ROUTINE)
    assert taken(outbox, "tcp") == [1]
    profile = BearerProfile("tcp", 5, 4096, RETRY_MS, 15_000, 10, two_way=False)
    outbox.bearer_up("tcp", profile, 0, "bearer.refused")
    assert outbox.channels["tcp"].code == "bearer.refused"
    assert taken(outbox, "tcp") == taken(outbox, "relay") == []
    outbox.add(Serial(7, 2), raw_record(7, 2, flags=Precedence.FLASH << 6))
    assert taken(outbox, "tcp") == [2]
    bring_up(outbox, "tcp", 10)
    assert outbox.channels["tcp"].code == ""
    assert taken(outbox, "tcp") == []
    bring_up(outbox, "tcp", 10)
    assert taken(outbox, "tcp") == [2, 1]
