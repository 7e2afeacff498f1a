"""What waits to go by mail, and when: by a clock of the test's own."""

from __future__ import annotations

from openline.bearers.base import URGENT, Outgoing
from openline.bearers.hand import HOUR_S, LOAD_BYTES_MIN, Hand


def routine(*datagrams: bytes) -> list[Outgoing]:
    """What is not urgent."""
    return [Outgoing(data) for data in datagrams]


def test_what_comes_meanwhile_goes_with_the_first() -> None:
    hand = Hand(3, 60)
    assert hand.left_s(0) is None
    hand.take(routine(b"one"), 10)
    hand.take(routine(b"two"), 12)
    assert hand.left_s(12) == 1
    assert hand.left_s(13) == 0
    assert hand.load() == [b"one", b"two"]
    assert hand.left_s(13) is None


def test_a_full_load_waits_for_nothing() -> None:
    hand = Hand(3, 60)
    hand.take(routine(*[bytes(4096)] * 20), 0)
    assert hand.left_s(0) == 0
    assert len(hand.load()) == 15
    assert hand.left_s(0) == 3


def test_what_is_urgent_goes_at_once_and_first() -> None:
    hand = Hand(3, 60)
    hand.take(routine(b"routine"), 0)
    hand.take([Outgoing(b"flash", rank=URGENT)], 1)
    assert hand.left_s(1) == 0
    assert hand.load() == [b"flash", b"routine"]


def test_an_hour_has_so_many_mails_of_which_some_are_for_what_is_urgent() -> None:
    hand = Hand(0, 10)
    for second in range(8):
        hand.gone(second)
    hand.take(routine(b"x"), 10)
    assert hand.left_s(10) == HOUR_S - 10
    hand.take([Outgoing(b"flash", rank=URGENT)], 10)
    assert hand.left_s(10) == 0
    for second in (10, 11):
        hand.gone(second)
    assert hand.left_s(12) == HOUR_S - 12
    assert hand.left_s(HOUR_S) == 0


def test_loads_get_shorter_down_to_what_carries_any_datagram() -> None:
    hand = Hand(0, 60)
    hand.within(30_000)
    assert hand.load_bytes_max == 30_000
    lengths = []
    while hand.shorter():
        lengths.append(hand.load_bytes_max)
    assert lengths == [12_288, LOAD_BYTES_MIN]
    hand.within(0)
    hand.take(routine(bytes(4096)), 0)
    assert hand.load() == [bytes(4096)]
