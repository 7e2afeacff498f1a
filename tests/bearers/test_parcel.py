"""Parcels: what a file tells, to whom, and what becomes of a damaged one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from hypothesis import given
from hypothesis import strategies as st

from openline.bearers import parcel
from openline.bearers.framing import LineKey
from openline.errors import BearerError

OURS = LineKey(1, bytes(range(32)), 1)
THEIRS = OURS._replace(direction=2)
OTHER = LineKey(2, bytes(reversed(range(32))), 1)
SALT = b"eight by"


def sealed(line: LineKey, frames: bytes) -> tuple[str, bytes]:
    """A parcel of whatever bytes, from one who holds the line's key."""
    name, _ = parcel.pack(line, [], SALT)
    sealing = AESGCMSIV(parcel._key(line, line.direction, b"content"))
    return name, sealing.encrypt(SALT + bytes(4), frames, bytes.fromhex(name))


datagrams = st.lists(st.binary(min_size=1, max_size=4096), max_size=12)


@given(datagrams)
def test_what_is_packed_comes_out_at_the_other_side_and_nowhere_else(carried: list[bytes]) -> None:
    name, content = parcel.pack(OURS, carried, SALT)
    assert parcel.unpack(THEIRS, name, content) == carried
    for stranger in (OURS, OTHER):
        with pytest.raises(BearerError, match=r"bearer\.parcel_damaged"):
            parcel.unpack(stranger, name, content)


def test_a_name_tells_its_direction_to_the_two_of_the_line_alone() -> None:
    name, _ = parcel.pack(OURS, [b"datagram"], SALT)
    assert [parcel.direction_of(line, name) for line in (OURS, THEIRS, OTHER)] == [1, 1, 0]
    back, _ = parcel.pack(THEIRS, [b"datagram"], SALT)
    assert parcel.direction_of(OURS, back) == 2


@pytest.mark.parametrize("name", ["", "photo.jpg", "0" * 31, "A" * 32, "0" * 33, "../" + "0" * 29])
def test_what_people_keep_on_a_stick_is_no_parcel(name: str) -> None:
    assert not parcel.is_name(name)
    assert parcel.direction_of(OURS, name) == 0


@given(st.integers(0, 4111), st.integers(1, 255))
def test_what_was_cut_off_or_changed_anywhere_is_damaged(at: int, change: int) -> None:
    name, content = parcel.pack(OURS, [b"datagram"], SALT)
    assert len(content) == 4112
    spoilt = content[:at] + bytes([content[at] ^ change]) + content[at + 1 :]
    for wrong in (content[:at], spoilt, content + b"\x00"):
        with pytest.raises(BearerError, match=r"bearer\.parcel_damaged"):
            parcel.unpack(THEIRS, name, wrong)


@pytest.mark.parametrize(
    "frames",
    [b"\x10\x01" + bytes(4097), b"\0\x08cut off", b"\0\4four\1"],
    ids=["too long", "cut off", "an odd byte"],
)
def test_what_the_other_side_sealed_is_damaged_unless_it_is_whole_frames(frames: bytes) -> None:
    name, content = sealed(OURS, frames)
    with pytest.raises(BearerError, match=r"bearer\.parcel_damaged"):
        parcel.unpack(THEIRS, name, content)


def test_a_file_says_no_more_than_about_how_long_it_is() -> None:
    sizes = {len(parcel.pack(OURS, [bytes(size)], SALT)[1]) for size in (1, 100, 3000, 4094)}
    assert sizes == {4112}


@given(datagrams)
def test_loads_fill_parcels_in_order_and_none_beyond_its_bound(carried: list[bytes]) -> None:
    loads = [*parcel.loads(carried * 4)]
    assert [each for load in loads for each in load] == carried * 4
    assert all(load for load in loads)
    for load in loads:
        assert len(parcel.pack(OURS, load, SALT)[1]) <= parcel.PARCEL_BYTES_MAX
