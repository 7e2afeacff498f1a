"""Parcels: datagrams as files, for a stick in a bag or a folder that others share
(docs/protocol.md §13).

Theory of operation: sans-IO. A parcel is made of whole datagrams, sealed once more under a key of
the line's bearer key, so that a file tells nothing but its size, and one that was copied by half,
or damaged, is known at once and hurts nobody. Its name is a random number and a proof over it: only
the two posts of a line see whose it is and in which direction it goes; to all others it is noise.
What the datagrams are worth is decided by their own seal, so a parcel that comes twice, late or not
at all is no danger. Files and directories must not live here.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from openline.errors import BearerError, RemoteError

from .framing import FRAME_BYTES_MAX, LENGTH_BYTES, FrameDecoder, LineKey, encode_frames

SALT_BYTES = 8
PROOF_BYTES = 8
PLAIN_BYTES_MAX = 65_536
"""Most bytes of frames in one parcel."""

PARCEL_BYTES_MAX = PLAIN_BYTES_MAX + 16
"""Longest file that can be a parcel."""

BUCKET_BYTES = 4096
"""In steps of so many a parcel grows."""

_NONCE = bytes(12 - SALT_BYTES)
_NAME = re.compile(r"[0-9a-f]{32}")


def is_name(name: str) -> bool:
    """Whether a file of this name may be a parcel of anybody's."""
    return _NAME.fullmatch(name) is not None


def _key(line: LineKey, direction: int, role: bytes) -> bytes:
    said = b"openline/1 parcel " + role + bytes([direction])
    return hmac.digest(line.key, said, "sha256")


def _proof(line: LineKey, direction: int, salt: bytes) -> bytes:
    return hmac.digest(_key(line, direction, b"name"), salt, "sha256")[:PROOF_BYTES]


def direction_of(line: LineKey, name: str) -> int:
    """The direction (1 or 2) in which a parcel of this line goes; 0 if it is not one of them."""
    if not is_name(name):
        return 0
    salt, proof = bytes.fromhex(name)[:SALT_BYTES], bytes.fromhex(name)[SALT_BYTES:]
    for direction in (1, 2):
        if hmac.compare_digest(proof, _proof(line, direction, salt)):
            return direction
    return 0


def pack(line: LineKey, datagrams: Sequence[bytes], salt: bytes) -> tuple[str, bytes]:
    """Name and content of a parcel of ours; `salt` is 8 fresh random bytes, the frames of the
    datagrams are at most PLAIN_BYTES_MAX long (`loads` sees to that).
    """
    name = salt + _proof(line, line.direction, salt)
    frames = encode_frames(datagrams)
    # Frames of length 0 say nothing: with them the size tells little of how much is carried.
    frames += bytes(-len(frames) % BUCKET_BYTES)
    sealing = AESGCMSIV(_key(line, line.direction, b"content"))
    return name.hex(), sealing.encrypt(salt + _NONCE, frames, name)


def unpack(line: LineKey, name: str, content: bytes) -> list[bytes]:
    """The datagrams of a parcel of the other side (`direction_of` said so).

    Raises BearerError("bearer.parcel_damaged"): cut off, perhaps still being copied, damaged, or
    sealed by the other side over what are no whole frames.
    """
    raw = bytes.fromhex(name)
    sealing = AESGCMSIV(_key(line, 3 - line.direction, b"content"))
    try:
        frames = sealing.decrypt(raw[:SALT_BYTES] + _NONCE, content[: PARCEL_BYTES_MAX + 1], raw)
        decoder = FrameDecoder()
        datagrams = decoder.feed(frames)
    except (InvalidTag, ValueError, RemoteError):
        raise BearerError("bearer.parcel_damaged", retry=True) from None
    if decoder.rest not in (b"", b"\0"):
        raise BearerError("bearer.parcel_damaged", retry=True)
    return datagrams


def name_of(line: LineKey, salt: bytes) -> str:
    """A name that proves to the other post to be ours; `salt` is 8 fresh random bytes."""
    return (salt + _proof(line, line.direction, salt)).hex()


def loads(datagrams: Sequence[bytes], bytes_max: int = PLAIN_BYTES_MAX) -> Iterator[list[bytes]]:
    """The datagrams in portions that fill a parcel each, in their order; `bytes_max` is at least
    8,192, of which any datagram takes no more than a part."""
    load: list[bytes] = []
    size = 0
    for datagram in datagrams:
        taken = LENGTH_BYTES + min(len(datagram), FRAME_BYTES_MAX)
        if load and size + taken > bytes_max:
            yield load
            load, size = [], 0
        load.append(datagram)
        size += taken
    if load:
        yield load


def packed(
    line: LineKey, datagrams: Sequence[bytes], entropy: Callable[[int], bytes]
) -> Iterator[tuple[str, bytes]]:
    """Name and content of as many parcels of ours as the datagrams need. By name they are in the
    order of the datagrams: what opens a run is in the first, and without it the rest says nothing.
    """
    portions = [*loads(datagrams)]
    salts = sorted(entropy(SALT_BYTES) for _ in portions)
    for load, salt in zip(portions, salts, strict=True):
        yield pack(line, load, salt)
