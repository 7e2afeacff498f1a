"""Parcels (§13): their name, what it says of line and direction, and what is in them.

Purpose: make a parcel and open one, as functions of bytes. `direction` is always that in which the
datagrams inside travel; who receives looks for the other side's. Folders and files, what a bag
ought to hold, and datagrams themselves do not live here.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from .wire import Cursor, RefusedError, mac, need

SALT_SIZE = 8
PROOF_SIZE = 8
NAME_SIZE = 2 * (SALT_SIZE + PROOF_SIZE)
TAG_SIZE = 16
FRAMES_MAX = 65_536
BLOCK = 4096
DATAGRAM_MAX = 4096


def _key(bearer_key: bytes, what: str, direction: int) -> bytes:
    return mac(bearer_key, b"openline/1 parcel " + what.encode("ascii"), bytes([direction]))


def name_bytes(bearer_key: bytes, direction: int, salt: bytes) -> bytes:
    """Return the 16 bytes that the name of a parcel spells, from its 8 random bytes."""
    return salt + mac(_key(bearer_key, "name", direction), salt)[:PROOF_SIZE]


def direction_of(bearer_key: bytes, name: str) -> int:
    """Return the direction, 1 or 2, of the parcel of a line with this name; refuses `parcel-name`
    for a name that is none, and for one of another line."""
    need(len(name) == NAME_SIZE and not set(name) - set("0123456789abcdef"), "parcel-name")
    said = bytes.fromhex(name)
    for direction in (1, 2):
        if hmac.compare_digest(said, name_bytes(bearer_key, direction, said[:SALT_SIZE])):
            return direction
    raise RefusedError("parcel-name")


def pack(datagrams: Sequence[bytes]) -> bytes:
    """Return datagrams as frames, brought to a multiple of 4,096 bytes; refuses `parcel-full`."""
    frames = b"".join(len(each).to_bytes(2, "big") + each for each in datagrams)
    need(len(frames) <= FRAMES_MAX, "parcel-full")
    # Frames of length 0 are two bytes of zero; where one byte is wanted, it is a zero as well.
    return frames + bytes(-len(frames) % BLOCK)


def unpack(frames: bytes) -> list[bytes]:
    """Return the datagrams among frames; refuses `tcp-length` and `truncated`."""
    at, found = Cursor(frames), []
    while at.left:
        if at.left == 1:
            need(at.number(1) == 0, "truncated")
            break
        size = at.number(2)
        need(size <= DATAGRAM_MAX, "tcp-length")
        if size:
            found.append(at.take(size))
    return found


def _cipher(bearer_key: bytes, direction: int) -> AESGCMSIV:
    return AESGCMSIV(_key(bearer_key, "content", direction))


def make(
    bearer_key: bytes, direction: int, salt: bytes, datagrams: Sequence[bytes]
) -> tuple[str, bytes]:
    """Return name and content of a parcel of some datagrams, from 8 fresh random bytes."""
    named = name_bytes(bearer_key, direction, salt)
    sealed = _cipher(bearer_key, direction).encrypt(salt + bytes(4), pack(datagrams), named)
    return named.hex(), sealed


def read(bearer_key: bytes, direction: int, name: str, content: bytes) -> list[bytes]:
    """Return the datagrams of a parcel in a direction.

    Refuses `parcel-name` (another direction included) and `parcel-content`, which is also what
    opens and yet is no frames.
    """
    need(direction_of(bearer_key, name) == direction, "parcel-name")
    need(TAG_SIZE <= len(content) <= FRAMES_MAX + TAG_SIZE, "parcel-content")
    named = bytes.fromhex(name)
    try:
        frames = _cipher(bearer_key, direction).decrypt(
            named[:SALT_SIZE] + bytes(4), content, named
        )
        return unpack(frames)
    except (InvalidTag, RefusedError) as wrong:
        raise RefusedError("parcel-content") from wrong
