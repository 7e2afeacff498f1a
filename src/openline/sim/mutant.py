"""A hostile peer: production code whose frames are forged just before they are sealed.

Theory of operation: the paired peer may be the attacker and has every key. In a hostile world one
station sends, until the faults end, other texts under serials it has used, refusals of what was
never refused, ACKs of what it does not hold or what was never sent, false claims and frames of no
known type. The checker then judges the other, honest station alone: its record stays whole,
nothing of its own is lost, it lives on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest.mock import patch

from .. import lane
from ..core.envelope import Frame, FrameType, encode_frames, varint
from .chance import Chance, stream
from .world import World

_ROOM_BYTES = 2_000
_RECORD_BYTES_MIN = 30


def _serial(world: World, chance: Chance, honest: str) -> bytes:
    """Some serial of the honest side as wire bytes."""
    serial = chance.choice(list(world.checker.texts[honest])[-10:])
    return serial.incarnation.to_bytes(3, "big") + varint(serial.number)


def _forge(world: World, chance: Chance, frames: Sequence[Frame], honest: str) -> list[Frame]:
    forged = []
    for frame in frames:
        kind, payload = frame
        if kind == FrameType.RECORD and len(payload) > _RECORD_BYTES_MIN and chance.random() < 0.3:
            payload = payload[:-1] + bytes((payload[-1] ^ 1,))
        elif kind == FrameType.ACK and chance.random() < 0.1:
            payload = payload[:3] + varint(chance.randrange(200))
        elif kind == FrameType.CLAIM and chance.random() < 0.5:
            payload = payload[:-16] + chance.randbytes(16)
        forged.append(Frame(kind, payload))
    small = sum(len(frame.payload) for frame in frames) < _ROOM_BYTES
    if small and chance.random() < 0.1 and world.checker.texts[honest]:
        refusal = _serial(world, chance, honest) + bytes((chance.randint(1, 6),))
        forged.insert(0, Frame(FrameType.REFUSE, refusal))
    if small and chance.random() < 0.05:
        look = bytes((0,)) + bytes(chance.randint(1, 63) for _ in range(chance.randint(1, 16)))
        forged.insert(0, Frame(FrameType.LOOK, look))
    if small and chance.random() < 0.05:
        forged.insert(0, Frame(chance.randint(10, 120), chance.randbytes(20)))
    return forged


@contextmanager
def forging(world: World) -> Iterator[None]:
    """While this lasts and faults strike, the hostile station of the world's plan forges."""
    chance = stream(world.plan.seed, "mutant")
    honest = world.checker.other(world.plan.hostile)

    def encode_forged(frames: Sequence[Frame]) -> bytes:
        sending = world.checker.sending
        if world.ms < world.plan.end_ms and sending and sending[0] == world.plan.hostile:
            frames = _forge(world, chance, frames, honest)
        return encode_frames(frames)

    with patch.object(lane, "encode_frames", encode_forged):
        yield
