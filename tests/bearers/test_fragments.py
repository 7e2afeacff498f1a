"""Datagrams in fragments: cut, stuffed, joined, and what a bad wire makes of them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openline.bearers.fragments import (
    ADDED_BYTES,
    FRAGMENT_BYTES_MAX,
    FRAGMENT_BYTES_MIN,
    OPEN_MAX,
    Fragmenter,
    Joiner,
    Stuffing,
)
from openline.bearers.framing import FRAME_BYTES_MAX, LineKey

NEAR = LineKey(1, bytes(range(32)), 1)
FAR = NEAR._replace(direction=2)
CHANCE = Random(1)


@given(
    st.binary(min_size=1, max_size=FRAME_BYTES_MAX),
    st.integers(FRAGMENT_BYTES_MIN, FRAGMENT_BYTES_MAX),
)
def test_every_datagram_is_joined_from_its_fragments(datagram: bytes, size: int) -> None:
    joiner = Joiner(FAR)
    fragments = [*Fragmenter(NEAR).cut(datagram, size)]
    assert max(map(len, fragments)) <= size
    *before, last = (joiner.feed(each) for each in fragments)
    assert (before, last) == ([None] * (len(fragments) - 1), datagram)


@given(st.lists(st.binary(min_size=1, max_size=1200), min_size=1, max_size=5), st.data())
def test_fragments_are_found_on_a_wire_that_cuts_anywhere(
    fragments: list[bytes], data: st.DataObject
) -> None:
    wire = b"".join(map(Stuffing.encode, fragments))
    assert wire.count(0) == len(fragments)
    stuffing, found = Stuffing(), []
    while wire:
        cut = data.draw(st.integers(1, len(wire)))
        found += stuffing.feed(wire[:cut])
        wire = wire[cut:]
    assert found == fragments


@pytest.mark.parametrize("length", [1, 253, 254, 255, 508, 509, FRAGMENT_BYTES_MAX])
@pytest.mark.parametrize("byte", [0, 1, 255])
def test_stuffing_costs_one_byte_in_254_and_two_more(length: int, byte: int) -> None:
    fragment = bytes([byte]) * length
    stuffed = Stuffing.encode(fragment)
    assert len(stuffed) <= length + length // 254 + 2
    assert Stuffing().feed(stuffed) == [fragment]


def test_a_more_urgent_datagram_passes_between_two_fragments() -> None:
    fragmenter, joiner = Fragmenter(NEAR), Joiner(FAR)
    slow, urgent = CHANCE.randbytes(500), CHANCE.randbytes(200)
    first, *rest = fragmenter.cut(slow, 92)
    joined = [joiner.feed(each) for each in (first, *fragmenter.cut(urgent, 92), *rest)]
    assert [each for each in joined if each] == [urgent, slow]


@given(st.binary(max_size=300))
def test_noise_is_nobodys_fragment(noise: bytes) -> None:
    joiner = Joiner(FAR)
    found = map(joiner.feed, Stuffing().feed(noise + b"\0"))
    assert [each for each in found if each] == []


def test_what_follows_a_lost_fragment_is_dropped_and_the_next_datagram_comes_whole() -> None:
    fragmenter, joiner = Fragmenter(NEAR), Joiner(FAR)
    first, _, *rest = fragmenter.cut(CHANCE.randbytes(500), 92)
    after = CHANCE.randbytes(300)
    fragments = [first, *rest, *fragmenter.cut(after, 92)]
    assert [each for each in map(joiner.feed, fragments) if each] == [after]
    assert joiner.refused == len(rest)


def test_fragments_of_another_line_another_direction_or_another_place_prove_nothing() -> None:
    other = LineKey(2, bytes(32), 1)
    datagram = CHANCE.randbytes(300)
    for sender in (other, FAR):
        joiner = Joiner(FAR)
        assert not any(map(joiner.feed, Fragmenter(sender).cut(datagram, 92)))
    first, second, *rest = Fragmenter(NEAR).cut(datagram, 92)
    joiner = Joiner(FAR)
    assert not any(map(joiner.feed, [first, *rest[:1], second]))


def test_a_damaged_bit_is_known_before_anything_is_kept() -> None:
    [fragment] = Fragmenter(NEAR).cut(CHANCE.randbytes(60), 92)
    for at in range(len(fragment)):
        joiner = Joiner(FAR)
        damaged = bytearray(fragment)
        damaged[at] ^= 1
        assert joiner.feed(bytes(damaged)) is None
        assert joiner.refused == 1


def test_datagrams_that_never_end_make_room_for_others() -> None:
    fragmenter, joiner = Fragmenter(NEAR), Joiner(FAR)
    begun = [next(fragmenter.cut(CHANCE.randbytes(200), 92)) for _ in range(3 * OPEN_MAX)]
    assert not any(map(joiner.feed, begun))
    last = CHANCE.randbytes(200)
    assert [each for each in map(joiner.feed, fragmenter.cut(last, 92)) if each] == [last]


def test_a_datagram_longer_than_any_is_not_joined() -> None:
    fragmenter, joiner = Fragmenter(NEAR), Joiner(FAR)
    assert not any(map(joiner.feed, fragmenter.cut(bytes(FRAME_BYTES_MAX + 1), 1000)))


def test_bytes_without_an_end_are_not_kept() -> None:
    stuffing = Stuffing()
    for _ in range(100):
        assert stuffing.feed(b"\xff" * 4096) == []
    assert len(stuffing._rest) <= FRAGMENT_BYTES_MAX + 4096
    assert stuffing.feed(b"\0") == []
    assert stuffing.feed(Stuffing.encode(b"after")) == [b"after"]


def test_a_whole_datagram_costs_five_bytes() -> None:
    [fragment] = Fragmenter(NEAR).cut(bytes(60), 92)
    assert len(fragment) == 60 + ADDED_BYTES
