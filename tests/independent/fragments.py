"""Narrow wires (§15): fragments cut and joined, and the stuffing of a serial line.

Purpose: `cut` is the sender's side, `Joiner` the receiver's, `stuff` and `unstuff` what stands
between either and the wire. Which datagram passes which, pace and speed do not live here.
"""

from __future__ import annotations

import hmac

from .wire import Cursor, mac, need

FIRST = 0x80
LAST = 0x40
NUMBERS = 64
PROOF_SIZE = 4
JOINED_MAX = 4096
OPEN_MAX = 8
FULL = 254


def _proof(bearer_key: bytes, direction: int, at: int, head: int, part: bytes) -> bytes:
    key = mac(bearer_key, b"openline/1 fragment", bytes([direction]))
    return mac(key, at.to_bytes(2, "big"), bytes([head]), part)[:PROOF_SIZE]


def fragment(bearer_key: bytes, direction: int, at: int, head: int, part: bytes) -> bytes:
    """Return one fragment, whatever its head says."""
    return bytes([head]) + part + _proof(bearer_key, direction, at, head, part)


def cut(bearer_key: bytes, direction: int, number: int, datagram: bytes, size: int) -> list[bytes]:
    """Return a datagram as fragments under a number, 0..63, with parts of at most `size` bytes."""
    made = []
    for at in range(0, len(datagram), size):
        first = FIRST if at == 0 else 0
        last = LAST if at + size >= len(datagram) else 0
        part = datagram[at : at + size]
        made.append(fragment(bearer_key, direction, at, first | last | number, part))
    return made


class Joiner:
    """What has come so far of the datagrams of one direction.

    In `open`, by number, that of which nothing came for longest stands first.
    """

    def __init__(self, bearer_key: bytes, direction: int) -> None:
        """Begin with nothing; `direction` is that of the fragments that come."""
        self.key, self.direction = bearer_key, direction
        self.open: dict[int, bytes] = {}

    def take(self, data: bytes) -> bytes | None:
        """Take a fragment; return the datagram that it completes, or None.

        Refuses `fragment-length`, `fragment-proof`, `joined-too-long`; the last gives the
        datagram up, the others change nothing.
        """
        need(1 <= len(data) - 1 - PROOF_SIZE <= JOINED_MAX, "fragment-length")
        walk = Cursor(data)
        head, part = walk.number(1), walk.take(len(data) - 1 - PROOF_SIZE)
        number = head % NUMBERS
        before = b"" if head & FIRST else self.open.get(number, b"")
        proof = _proof(self.key, self.direction, len(before), head, part)
        need(hmac.compare_digest(walk.rest(), proof), "fragment-proof")
        self.open.pop(number, None)
        joined = before + part
        need(len(joined) <= JOINED_MAX, "joined-too-long")
        if head & LAST:
            return joined
        self.open[number] = joined
        if len(self.open) > OPEN_MAX:
            del self.open[next(iter(self.open))]
        return None


def stuff(data: bytes) -> bytes:
    """Return bytes without a zero among them, and a zero that ends them."""
    out = b""
    for piece in data.split(b"\0"):
        full, left = divmod(len(piece), FULL)
        for nth in range(full):
            out += b"\xff" + piece[nth * FULL : (nth + 1) * FULL]
        out += bytes([left + 1]) + piece[full * FULL :]
    return out + b"\0"


def unstuff(stuffed: bytes) -> bytes:
    """Return what `stuff` was given; refuses `stuffing`."""
    need(stuffed.endswith(b"\0"), "stuffing")
    at, out = Cursor(stuffed[:-1]), b""
    need(at.left > 0, "stuffing")
    while at.left:
        count = at.number(1)
        need(0 < count <= at.left + 1, "stuffing")
        out += at.take(count - 1)
        if at.left and count != 0xFF:
            out += b"\0"
    return out
