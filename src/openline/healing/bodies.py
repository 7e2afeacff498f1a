"""The bodies of HEAL and COPY records (docs/protocol.md §12).

Theory of operation: fixed layouts as everywhere on the wire, read strictly; a record too long for
one body goes in two COPYs that follow each other. No state lives here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..core import limits
from ..core.envelope import Reader, malformed, varint
from ..core.gaps import Range

GIVERS = 0
"""Copy.whose: a record of who gives it."""
READERS = 1
"""Copy.whose: a record of who reads it, held aside by who gives it."""

_WHOSE, _CONTINUED, _END = 1, 2, 4
_NUMBERS = 1 << 62


def encode_ranges(ranges: Sequence[Range]) -> bytes:
    """The body of a HEAL: sorted ranges of numbers that do not touch."""
    out, before = bytearray(), 0
    for first, last in ranges:
        out += varint(first - before - 1) + varint(last - first + 1)
        before = last
    return bytes(out)


def decode_ranges(body: bytes) -> list[Range]:
    """Read the body of a HEAL; raises RemoteError."""
    reader = Reader(body)
    ranges: list[Range] = []
    before = 0
    while reader.more():
        passed, count = reader.varint(), reader.varint()
        first, last = before + passed + 1, before + passed + count
        touches = bool(ranges) and not passed
        if not count or touches or last >= _NUMBERS or len(ranges) == limits.HEAL_RANGES_MAX:
            raise malformed("heal")
        ranges.append((first, last))
        before = last
    return ranges


class Copy(NamedTuple):
    """The body of a COPY: a record, the first part of one, or (`data` empty) the end of all."""

    whose: int
    data: bytes
    continued: bool = False

    def encode(self) -> bytes:
        """The body's bytes."""
        if not self.data:
            return bytes((_END,))
        return bytes((self.whose | _CONTINUED * self.continued,)) + self.data

    @classmethod
    def decode(cls, body: bytes) -> Copy:
        """Read the body of a COPY; raises RemoteError."""
        flags, data = body[:1], body[1:]
        end = flags == bytes((_END,))
        if len(flags) != 1 or end == bool(data) or (not end and flags[0] > _WHOSE | _CONTINUED):
            raise malformed("copy")
        return cls(flags[0] & _WHOSE, data, bool(flags[0] & _CONTINUED))


PART_BYTES = limits.BODY_BYTES_MAX - 1
"""Longest part of a record in one COPY."""


def parts(whose: int, data: bytes) -> list[Copy]:
    """A record as the one or two COPYs that carry it."""
    cut = [data[at : at + PART_BYTES] for at in range(0, len(data), PART_BYTES)]
    return [Copy(whose, part, part is not cut[-1]) for part in cut]
