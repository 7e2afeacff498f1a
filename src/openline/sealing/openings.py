"""Openings: the bytes that begin a run (docs/protocol.md §4).

Theory of operation: an opening travels inside the sealed header. Its outer fields say with which
root and which receive key it was made; its inner payload, sealed by Noise, announces the sender's
newest receive key. Layout only; the keys are in seal.py.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import NamedTuple

from ..errors import SealError

VERSION = 1
CARD_KEY = b"\0\0"
_OUTER = struct.Struct(">B2s2s99s")
_PAYLOAD = struct.Struct(">BI8sI2s32s")


class Opening(NamedTuple):
    """The outer fields; `message` is the Noise message (e ‖ sealed payload), `ciphertext` is empty
    if light."""

    version: int
    root_id: bytes
    key_id: bytes
    message: bytes
    ciphertext: bytes = b""

    @property
    def ephemeral(self) -> bytes:
        """The sender's ephemeral public key."""
        return self.message[:32]

    def encode(self) -> bytes:
        """104 bytes, and the ciphertext if full."""
        return _OUTER.pack(self.version, self.root_id, self.key_id, self.message) + self.ciphertext

    @classmethod
    def decode(cls, data: bytes) -> Opening:
        """Read the opening of a header of kind 1 or 2."""
        version, root_id, key_id, message = _OUTER.unpack_from(data)
        return cls(version, root_id, key_id, message, data[_OUTER.size :])


class Payload(NamedTuple):
    """What an opening announces; `time_s` only labels."""

    top_version: int
    time_s: int
    continuity: bytes
    epoch: int
    key_id: bytes
    key: bytes

    def encode(self) -> bytes:
        """51 bytes."""
        return _PAYLOAD.pack(*self)

    @classmethod
    def decode(cls, data: bytes) -> Payload:
        """Read the payload; raises SealError if it announces the card key's id or speaks no
        version."""
        payload = cls(*_PAYLOAD.unpack(data)) if len(data) == _PAYLOAD.size else None
        if payload is None or payload.key_id == CARD_KEY or payload.top_version < VERSION:
            raise SealError
        return payload


def prologue(line_id: bytes, direction: int, opening: Opening) -> bytes:
    """What both sides mix in first, so that no field of the opening can be changed."""
    fields = bytes((direction, opening.version)) + opening.root_id + opening.key_id
    return b"openline/1" + line_id + fields + opening.ciphertext


def run_id_of(ephemeral: bytes) -> bytes:
    """The id of the run an ephemeral key makes: 4 bytes."""
    return sha256(b"openline/1 run" + ephemeral).digest()[:4]
