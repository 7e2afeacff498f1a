"""Putting together records that came in pieces (docs/protocol.md §5, R17).

Theory of operation: each piece was authenticated by the seal before it came here, so only the
paired peer can spend this memory, and it is bounded: a few open records, each of a bounded length
known from its first piece. One that stands still makes room for another after a minute; nothing is
lost by that, since pieces are not acknowledged, only records are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

from ..core import limits
from ..core.envelope import Reader, Refusal, malformed, peek_serial, varint
from ..core.events import Serial
from ..core.gaps import RangeSet
from ..core.inbound import Refused

_STALE_MS = 60_000


class Piece(NamedTuple):
    """A part of a record that does not fit one datagram."""

    serial: Serial
    total: int
    check: bytes
    """The first 4 bytes of the record's hash: two texts of one serial are never put together."""
    offset: int
    data: bytes

    @classmethod
    def cut(cls, serial: Serial, record: bytes, start: int, end: int) -> Piece:
        """The bytes from `start` to before `end` of a record."""
        return cls(serial, len(record), check_of(record), start, record[start:end])

    def encode(self) -> bytes:
        """The payload of a PIECE frame."""
        return (
            self.serial.incarnation.to_bytes(3, "big")
            + varint(self.serial.number)
            + varint(self.total)
            + self.check
            + varint(self.offset)
            + self.data
        )

    @classmethod
    def decode(cls, payload: bytes) -> Piece:
        """Read a PIECE; raises RemoteError if it does not lie inside its total."""
        reader = Reader(payload)
        serial = Serial(reader.uint(3), reader.varint())
        total, check, offset = reader.varint(), reader.take(4), reader.varint()
        data = reader.rest()
        if not data or offset + len(data) > total or total > limits.RECORD_BYTES_MAX:
            raise malformed("piece")
        return cls(serial, total, check, offset, data)


def check_of(record: bytes) -> bytes:
    """What the pieces of a record carry of its hash; 4 bytes."""
    return sha256(record).digest()[:4]


@dataclass(slots=True)
class _Open:
    data: bytearray
    have: RangeSet = field(default_factory=RangeSet)
    touched_ms: int = 0


class Assembly:
    """The records of one line that are being put together."""

    def __init__(self) -> None:
        self._open: dict[tuple[Serial, bytes], _Open] = {}

    def take(self, piece: Piece, now_ms: int) -> bytes | None:
        """Put a piece in its place; the whole record when it is complete. Raises Refused,
        RemoteError."""
        key = piece.serial, piece.check
        found = self._open.get(key)
        if found is None:
            self._make_room(piece.serial, now_ms)
            found = self._open[key] = _Open(bytearray(piece.total))
        if len(found.data) != piece.total:
            if now_ms - found.touched_ms < _STALE_MS:
                raise malformed("piece")
            found = self._open[key] = _Open(bytearray(piece.total))
        found.data[piece.offset : piece.offset + len(piece.data)] = piece.data
        found.have.add(piece.offset, piece.offset + len(piece.data) - 1)
        found.touched_ms = now_ms
        if len(found.have) > 1 or 0 not in found.have or piece.total - 1 not in found.have:
            return None
        del self._open[key]
        whole = bytes(found.data)
        if peek_serial(whole) != piece.serial or check_of(whole) != piece.check:
            raise malformed("piece")
        return whole

    def _make_room(self, serial: Serial, now_ms: int) -> None:
        if len(self._open) < limits.OPEN_PIECES_MAX:
            return
        oldest = min(self._open, key=lambda s: self._open[s].touched_ms)
        if now_ms - self._open[oldest].touched_ms < _STALE_MS:
            raise Refused(Refusal.PIECES, serial)
        del self._open[oldest]
