"""What the product makes, the reader written from docs/protocol.md alone reads, and the other way:
parcels (§13), fragments and their stuffing (§15)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openline.bearers import parcel
from openline.bearers.fragments import ADDED_BYTES, Fragmenter, Joiner, Stuffing
from openline.bearers.framing import LineKey
from openline.errors import BearerError
from tests.independent import fragments as narrow
from tests.independent import parcels
from tests.independent.wire import RefusedError

keys = st.binary(min_size=32, max_size=32)
directions = st.integers(1, 2)
salts = st.binary(min_size=8, max_size=8)
datagrams = st.lists(st.binary(min_size=1, max_size=4096), max_size=12)
sizes = st.integers(27, 4096)
stuffable = st.lists(
    st.one_of(st.just(b"\0"), st.binary(max_size=20), st.integers(250, 260).map(b"\7".__mul__)),
    max_size=6,
).map(b"".join)


@given(keys, directions, salts, datagrams)
def test_both_make_the_same_parcel_and_read_it(
    key: bytes, direction: int, salt: bytes, carried: list[bytes]
) -> None:
    writer = LineKey(1, key, direction)
    name, content = parcel.pack(writer, carried, salt)
    assert parcels.make(key, direction, salt, carried) == (name, content)
    assert parcels.read(key, direction, name, content) == carried
    assert parcel.unpack(writer._replace(direction=3 - direction), name, content) == carried
    assert parcels.direction_of(key, name) == parcel.direction_of(writer, name) == direction


@given(st.data(), salts)
def test_both_read_or_refuse_alike_what_one_who_holds_the_key_has_sealed(
    data: st.DataObject, salt: bytes
) -> None:
    key = bytes(32)
    small = st.integers(0, 5).map(lambda size: size.to_bytes(2, "big") + bytes([size]) * size)
    odd = st.one_of(st.binary(max_size=4), st.just(b"\x10\x00"), st.just(b"\x10\x01"))
    frames = b"".join(data.draw(st.lists(st.one_of(small, small, odd), min_size=1, max_size=6)))
    named = parcels.name_bytes(key, 1, salt)
    content = parcels._cipher(key, 1).encrypt(salt + bytes(4), frames, named)
    reader = LineKey(1, key, 2)
    try:
        read = parcels.read(key, 1, named.hex(), content)
    except RefusedError:
        with pytest.raises(BearerError):
            parcel.unpack(reader, named.hex(), content)
    else:
        assert parcel.unpack(reader, named.hex(), content) == read


@given(st.one_of(st.text(max_size=40), st.binary(min_size=16, max_size=16).map(bytes.hex)))
def test_both_know_a_name_that_is_none(name: str) -> None:
    assert parcel.direction_of(LineKey(1, bytes(32), 1), name) == 0
    with pytest.raises(RefusedError):
        parcels.direction_of(bytes(32), name)


@given(keys, directions, st.lists(st.binary(min_size=1, max_size=4096), max_size=4), sizes)
def test_both_cut_alike_and_join_what_the_other_cut(
    key: bytes, direction: int, carried: list[bytes], size: int
) -> None:
    writer = LineKey(1, key, direction)
    fragmenter = Fragmenter(writer)
    joiner = Joiner(writer._replace(direction=3 - direction))
    reader = narrow.Joiner(key, direction)
    for number, datagram in enumerate(carried):
        ours = [*fragmenter.cut(datagram, size + ADDED_BYTES)]
        theirs = narrow.cut(key, direction, number, datagram, size)
        assert ours == theirs
        assert [reader.take(each) for each in ours][-1] == datagram
        assert [joiner.feed(each) for each in theirs][-1] == datagram


Event = tuple[int, int, bool, bool, int]
events: st.SearchStrategy[list[Event]] = st.lists(
    st.tuples(
        st.integers(0, 11), st.integers(0, 3), st.booleans(), st.booleans(), st.integers(0, 9)
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(events)
def test_both_join_alike_whatever_comes_over_the_wire(told: list[Event]) -> None:
    """Any head, at any place that a part could have, some spoiled, in any order."""
    key, part = bytes(32), b"p" * 1300
    joiner, reader = Joiner(LineKey(1, key, 2)), narrow.Joiner(key, 1)
    for number, place, first, last, spoilt in told:
        head = number | first << 7 | last << 6
        at = 0 if first else place * len(part)
        data = bytearray(narrow.fragment(key, 1, at, head, part))
        data[spoilt] ^= spoilt == 9
        refused = joiner.refused
        joined = joiner.feed(bytes(data))
        try:
            assert reader.take(bytes(data)) == joined
            assert joiner.refused == refused
        except RefusedError:
            assert joined is None
            assert joiner.refused == refused + 1
        assert list(reader.open.items()) == list(joiner._open.items())


@given(stuffable.filter(bool))
def test_both_stuff_alike_and_undo_it(data: bytes) -> None:
    wire = Stuffing.encode(data)
    assert narrow.stuff(data) == wire
    assert narrow.unstuff(wire) == data
    assert Stuffing().feed(wire) == [data]


@given(st.one_of(st.binary(max_size=600), stuffable).map(lambda data: data.replace(b"\0", b"\2")))
def test_both_undo_or_drop_alike_whatever_stands_between_two_zeros(noise: bytes) -> None:
    found = Stuffing().feed(noise + b"\0")
    try:
        data = narrow.unstuff(noise + b"\0")
    except RefusedError:
        assert found == []
    else:
        assert found == ([data] if data else [])
