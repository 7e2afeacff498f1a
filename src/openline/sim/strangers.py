"""Datagrams of another line, for a relay that mixes lines up.

Theory of operation: two further posts are paired with each other and talk once, over nothing; what
they sealed is genuine and foreign to every world. Made once in each process, always the same.
"""

from __future__ import annotations

from functools import cache

from ..bearers import parcel
from ..bearers.framing import LineKey
from ..bearers.tcp import PROFILE
from ..core.events import Now
from ..core.precedence import Precedence
from ..enrolment import new_tape, words
from ..inputs import Arrived, BearerUp, Initialise, Pair, Release
from ..post import Post
from .chance import stream
from .disk import MemoryStore

_LINE = 1
_TEXTS = 6
_NOW = Now(1_000_000, 1_700_000_000)


@cache
def datagrams() -> tuple[bytes, ...]:
    """What the two of another line have sent each other."""
    tape = new_tape(2, stream(0, "strangers' tape").randbytes)
    posts = [Post(MemoryStore(), stream(0, f"stranger {n}").randbytes, _NOW) for n in range(2)]
    for post in posts:
        post.step([Initialise("sim")], _NOW)
    for post, other in zip(posts, reversed(posts), strict=True):
        card = other.card() or b""
        post.step([Pair("other", "sim", card, tape, words(card))], _NOW)
        post.step([BearerUp(_LINE, PROFILE.name, PROFILE)], _NOW)
    sealed = []
    for turn in range(_TEXTS):
        for post, other in zip(posts, reversed(posts), strict=True):
            release = Release(_LINE, "sim", Precedence.ROUTINE, "en", "", f"text {turn}")
            post.step([release], _NOW)
            sent = [out.data for out in post.take(_LINE, PROFILE.name, _NOW)]
            other.step([Arrived(_LINE, PROFILE.name, sent)], _NOW)
            sealed += sent
    return tuple(sealed)


@cache
def parcels() -> dict[str, bytes]:
    """Two parcels of another line, one each way."""
    made = {}
    for direction in (1, 2):
        key = LineKey(_LINE, bytes(range(32)), direction)
        name, content = parcel.pack(key, datagrams()[direction::2], bytes(parcel.SALT_BYTES))
        made[name] = content
    return made
