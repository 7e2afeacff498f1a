"""Datagrams in fragments, for a narrow bearer (docs/protocol.md §15).

Theory of operation: sans-IO. A datagram goes in fragments, in order, one of them if it is short,
so that between two the fragments of a more urgent datagram may pass. Every fragment ends with a tag
under a key of the line's bearer key: noise, strangers and fragments of other lines are known before
anything of them is kept. The tag also covers where in its datagram the fragment begins, which is
not sent: after one that was lost, the others prove nothing and are dropped, and the line sends the
datagram again. On a wire of bytes `Stuffing` keeps fragments apart: consistent overhead byte
stuffing, one byte in 254 and a zero at the end. Pacing, devices and what datagrams are worth must
not live here.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from .delimited import Delimited
from .framing import FRAME_BYTES_MAX, LineKey

TAG_BYTES = 4
ADDED_BYTES = 1 + TAG_BYTES
"""What a fragment adds to its part of a datagram."""
FRAGMENT_BYTES_MIN = 32
FRAGMENT_BYTES_MAX = FRAME_BYTES_MAX + ADDED_BYTES
OPEN_MAX = 8
"""Datagrams of which parts have come and the last has not."""

_FIRST, _LAST = 0x80, 0x40
_NUMBERS = 64
_RUN_BYTES = 254


def _key(line: LineKey, direction: int) -> bytes:
    return hmac.digest(line.key, b"openline/1 fragment" + bytes([direction]), "sha256")


def _tag(key: bytes, start: int, head: int, part: bytes) -> bytes:
    """What proves a fragment, and where in its datagram it begins, which is not sent."""
    return hmac.digest(key, start.to_bytes(2, "big") + bytes([head]) + part, "sha256")[:TAG_BYTES]


class Fragmenter:
    """Cuts the datagrams of one line in fragments."""

    def __init__(self, line: LineKey) -> None:
        self._key = _key(line, line.direction)
        self._number = 0

    def cut(self, datagram: bytes, fragment_bytes: int) -> Iterator[bytes]:
        """The fragments of a datagram (1 to 4096 bytes), each at most `fragment_bytes` long, which
        is at least FRAGMENT_BYTES_MIN."""
        number, step = self._number, fragment_bytes - ADDED_BYTES
        self._number = (number + 1) % _NUMBERS
        for start in range(0, len(datagram), step):
            part = datagram[start : start + step]
            last = start + step >= len(datagram)
            head = number | (0 if start else _FIRST) | (_LAST if last else 0)
            yield bytes([head]) + part + _tag(self._key, start, head, part)


class Joiner:
    """Joins the fragments of the other side of one line; holds at most OPEN_MAX datagrams."""

    def __init__(self, line: LineKey) -> None:
        self._key = _key(line, 3 - line.direction)
        self._open: dict[int, bytes] = {}
        self.refused = 0
        """Fragments that were not the line's, were damaged, follow one that was lost, or make a
        datagram longer than any."""

    def feed(self, fragment: bytes) -> bytes | None:
        """Take a fragment; the datagram that it completes, if it does."""
        if not ADDED_BYTES < len(fragment) <= FRAGMENT_BYTES_MAX:
            self.refused += 1
            return None
        head, part, tag = fragment[0], fragment[1:-TAG_BYTES], fragment[-TAG_BYTES:]
        number = head % _NUMBERS
        before = b"" if head & _FIRST else self._open.get(number, b"")
        if not hmac.compare_digest(tag, _tag(self._key, len(before), head, part)):
            self.refused += 1
            return None
        self._open.pop(number, None)
        whole = before + part
        if len(whole) > FRAME_BYTES_MAX:
            self.refused += 1
            return None
        if head & _LAST:
            return whole
        self._open[number] = whole
        while len(self._open) > OPEN_MAX:
            del self._open[next(iter(self._open))]
        return None


class Stuffing(Delimited):
    """Fragments on a wire of bytes: stuffed so that no byte is zero, and ended by a zero."""

    def __init__(self) -> None:
        longest = FRAGMENT_BYTES_MAX + FRAGMENT_BYTES_MAX // _RUN_BYTES + 1
        super().__init__(b"\0", longest, _unstuffed)

    @staticmethod
    def encode(fragment: bytes) -> bytes:
        """The bytes of a fragment on the wire."""
        out = bytearray()
        for run in fragment.split(b"\0"):
            full, left = divmod(len(run), _RUN_BYTES)
            for at in range(0, _RUN_BYTES * full, _RUN_BYTES):
                out += b"\xff" + run[at : at + _RUN_BYTES]
            out += bytes([left + 1]) + run[_RUN_BYTES * full :]
        return bytes(out) + b"\0"


def _unstuffed(stuffed: bytes) -> bytes | None:
    """The fragment, or None if the bytes are none."""
    out, at = bytearray(), 0
    while at < len(stuffed):
        code = stuffed[at]
        run = stuffed[at + 1 : at + code]
        if len(run) != code - 1:
            return None
        out += run
        at += code
        if code != 0xFF and at < len(stuffed):
            out.append(0)
    return bytes(out) or None
