"""Bytes: a strict cursor, and the derivations of §1.

Purpose: what every layer of the reader stands on. A `Cursor` walks over received bytes and
refuses, by name, whatever is too short, too long or not in its shortest form; `extract`, `expand`
and `label` are the only ways a key is ever derived. Layouts of the protocol do not live here.
"""

from __future__ import annotations

import hashlib
import hmac

VARINT_MAX = 2**62 - 1


class RefusedError(Exception):
    """What was read breaks a rule; `reason` is one of the names in docs/vectors.md."""

    def __init__(self, reason: str) -> None:
        """Keep the reason, a short lower-case name such as `bad-tag`."""
        super().__init__(reason)
        self.reason = reason


def sha256(*parts: bytes) -> bytes:
    """Return the 32 bytes of SHA-256 over the joined parts."""
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key: bytes, *parts: bytes) -> bytes:
    """Return the 32 bytes of HMAC-SHA-256 over the joined parts."""
    return hmac.digest(key, b"".join(parts), "sha256")


def extract(salt: bytes, ikm: bytes) -> bytes:
    """Return the 32 bytes of HKDF-Extract (RFC 5869 §2.2)."""
    return mac(salt, ikm)


def expand(prk: bytes, info: bytes, size: int) -> bytes:
    """Return `size` bytes of HKDF-Expand (RFC 5869 §2.3)."""
    out = block = b""
    for counter in range(1, -(-size // 32) + 1):
        block = mac(prk, block, info, bytes([counter]))
        out += block
    return out[:size]


def label(key: bytes, name: str, context: bytes, size: int) -> bytes:
    """Return LABEL(key, name, context, size) of §1."""
    return expand(key, b"openline/1 " + name.encode("ascii") + b"\0" + context, size)


class Cursor:
    """A walk over bytes from the front; every step that the bytes cannot bear is refused."""

    def __init__(self, data: bytes) -> None:
        """Stand before the first byte of `data`."""
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        """The number of bytes not yet walked over."""
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes; refuses `truncated`."""
        if size > self.left:
            raise RefusedError("truncated")
        self.at += size
        return self.data[self.at - size : self.at]

    def rest(self) -> bytes:
        """Return all that is left."""
        return self.take(self.left)

    def number(self, size: int) -> int:
        """Return a big-endian integer of `size` bytes: u8 is 1, u24 is 3."""
        return int.from_bytes(self.take(size), "big")

    def varint(self) -> int:
        """Return a varint of RFC 9000 §16; refuses `varint-not-shortest` (R1)."""
        first = self.number(1)
        size = 1 << (first >> 6)
        value = (first & 0x3F) << 8 * (size - 1) | self.number(size - 1)
        if size > 1 and value < 1 << (8 * (size // 2) - 2):
            raise RefusedError("varint-not-shortest")
        return value

    def svarint(self) -> int:
        """Return a signed integer in zigzag form."""
        value = self.varint()
        return -(value + 1) // 2 if value & 1 else value // 2

    def end(self) -> None:
        """Refuse `surplus` if anything is left."""
        if self.left:
            raise RefusedError("surplus")


def need(holds: bool, reason: str) -> None:
    """Refuse with `reason` unless the condition holds."""
    if not holds:
        raise RefusedError(reason)
