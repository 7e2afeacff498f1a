"""Which record goes over which bearer, in what order."""

from __future__ import annotations

from openline import carrying
from openline.bearers import mail
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
    assert [verdict.name for verdict in outbox.ranked(300, 0, RETRY_MS + 30)] == ["relay", "tcp"]
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


def test_a_flash_that_was_held_and_forgotten_goes_over_every_bearer_again() -> None:
    outbox = outbox_of(Precedence.ROUTINE, Precedence.FLASH)
    taken(outbox, "tcp")
    taken(outbox, "relay")
    outbox.hearing = "relay"
    outbox.acknowledge(Ack(7, 0, ((2, 2),)), 2, 100)
    outbox.forget()
    assert 2 in taken(outbox, "relay", 200)
    outbox.bearer_down("relay", "bearer.closed", "", 300)
    assert 2 in taken(outbox, "tcp", 300)


def test_what_the_other_side_holds_after_all_is_no_news_and_not_sent_again() -> None:
    outbox = outbox_of(Precedence.ROUTINE, Precedence.ROUTINE)
    taken(outbox, "tcp")
    assert outbox.acknowledge(Ack(7, 0, ((2, 2),)), 2, 100) == [2]
    outbox.forget()
    assert outbox.acknowledge(Ack(7, 0, ((2, 2),)), 2, 200) == []
    assert 2 not in taken(outbox, "tcp", 200)
    outbox.forget()
    assert 2 in taken(outbox, "tcp", 300)
    assert outbox.acknowledge(Ack(7, 0, ((2, 2),)), 2, 400) == [2]


def test_a_late_ack_of_what_waits_to_be_repeated_is_news() -> None:
    outbox = outbox_of(Precedence.ROUTINE, Precedence.ROUTINE, Precedence.ROUTINE)
    taken(outbox, "tcp")
    assert outbox.expire(20 * RETRY_MS) == 3
    assert outbox.acknowledge(Ack(7, 0, ((2, 3),)), 3, 20 * RETRY_MS) == [2, 3]
    assert outbox.acknowledge(Ack(7, 0, ((2, 3),)), 3, 20 * RETRY_MS) == []
    assert taken(outbox, "tcp", 20 * RETRY_MS) == [1]
    # What an ACK names, drops and names again changes nothing.
    for held in ((), ((2, 3),), (), ((2, 3),)):
        assert outbox.acknowledge(Ack(7, 1, held), 3, 20 * RETRY_MS) in ([1], [])
    assert outbox.waiting() == 2


def test_all_that_waits_goes_into_a_bag_and_goes_on_over_the_wires() -> None:
    outbox = outbox_of(Precedence.ROUTINE, Precedence.FLASH, Precedence.PRIORITY)
    outbox.add(Serial(7, 4), raw_record(7, 4, kind=receipts.CHUNK, body=bytes(3840)))
    assert taken(outbox, "tcp") == [2, 3, 1, 4]
    for _ in range(2):
        outbox.bearer_up("by-hand", carrying.PROFILE, 10)
        assert sorted(taken(outbox, "by-hand", 10)) == [1, 2, 3, 4]
        outbox.bearer_down("by-hand", "bearer.removed", "", 10)
        outbox.bearer_gone("by-hand")
        assert taken(outbox, "tcp", 10) == []
        assert taken(outbox, "relay", 10) in ([2], [])
    assert outbox.underway()[1] == ["tcp"]


def test_chunks_on_a_slow_bearer_are_taken_back_when_a_quick_one_comes_up() -> None:
    outbox = Outbox()
    outbox.bearer_up("mail", mail.PROFILE, 0)
    for number in (1, 2):
        outbox.add(Serial(7, number), raw_record(7, number, kind=receipts.CHUNK, body=bytes(100)))
    assert taken(outbox, "mail") == [1, 2]
    bring_up(outbox, "tcp", 10)
    assert taken(outbox, "mail", 10) == []
    assert taken(outbox, "tcp", 10) == [1, 2]


def test_a_chunk_that_was_lost_goes_over_the_best_bearer_and_no_other() -> None:
    outbox = outbox_of()
    outbox.add(Serial(7, 1), raw_record(7, 1, kind=receipts.CHUNK, body=bytes(100)))
    assert taken(outbox, "tcp") == [1]
    outbox.drop("tcp")
    assert taken(outbox, "relay") == []
    assert taken(outbox, "tcp") == [1]


def test_chunks_that_the_best_bearer_has_no_share_for_wait_for_it() -> None:
    outbox = Outbox()
    bring_up(outbox, "tcp", 10)
    outbox.bearer_up("mail", mail.PROFILE, 0)
    for number in range(1, 31):
        outbox.add(Serial(7, number), raw_record(7, number, kind=receipts.CHUNK, body=bytes(3840)))
    first = taken(outbox, "tcp")
    assert 0 < len(first) < 30
    assert taken(outbox, "mail") == []
    outbox.hearing = "tcp"
    outbox.acknowledge(Ack(7, first[-1]), 30, 5)
    assert taken(outbox, "mail", 5) == []
    assert taken(outbox, "tcp", 5)[0] == first[-1] + 1


def test_a_chunk_on_a_bearer_does_not_stand_in_the_way_of_a_text() -> None:
    outbox = Outbox()
    for name, latency_ms, rate in (("serial", 200, 240), ("radio", 4_000, 120)):
        profile = BearerProfile(name, latency_ms, 4096, 0, 60_000, 5, rate_bytes_s=rate)
        outbox.bearer_up(name, profile, 0)
    outbox.add(Serial(7, 1), raw_record(7, 1, kind=receipts.CHUNK, body=bytes(3840)))
    assert taken(outbox, "serial") == [1]
    urgent = Precedence.IMMEDIATE << 6
    outbox.add(Serial(7, 2), raw_record(7, 2, flags=urgent, body=bytes(280)))
    assert taken(outbox, "radio") == []
    assert taken(outbox, "serial") == [2]


def test_files_go_faster_again_when_the_way_has_become_longer() -> None:
    outbox = Outbox()
    bring_up(outbox, "tcp", 10)
    number = now_ms = 0
    given = []
    for round_trip_ms in [5] * 8 + [700] * 60:
        while outbox.bulk_room() > 0:
            number += 1
            chunk = raw_record(7, number, kind=receipts.CHUNK, body=bytes(3840))
            outbox.add(Serial(7, number), chunk)
        given.append(len(taken(outbox, "tcp", now_ms)))
        now_ms += round_trip_ms
        outbox.expire(now_ms)
        outbox.hearing = "tcp"
        outbox.acknowledge(Ack(7, number), number, now_ms)
    assert given[-1] >= 32


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
