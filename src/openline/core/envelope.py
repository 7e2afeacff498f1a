"""The wire inside the seal: varints, records, frames (docs/protocol.md §1, §5, §6).

Theory of operation: fixed layouts by `struct`, nothing self-describing. A record's bytes are made
once, at release, and are what chains hash; decoding is strict so that no two byte strings mean the
same record. Every decoder raises RemoteError with a stable code and never allocates by a length it
was told before checking it against what is there. No state lives here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import reduce
from typing import NamedTuple

from ..errors import LocalError, RemoteError
from . import compression, limits, receipts
from .events import Reference, Serial
from .precedence import Precedence

HAS_DTG = 1 << 5
HAS_DUE = 1 << 4
HAS_REFERENCES = 1 << 3
HAS_SUBJECT = 1 << 2
DEFLATED = 1 << 1
LAST = 0x80


class FrameType(IntEnum):
    """Types of frames (§5)."""

    RECORD = 1
    PIECE = 2
    ACK = 3
    RUN = 4
    REOPEN = 5
    REFUSE = 6
    CLAIM = 7
    LOOK = 8
    HEADS = 9


class Refusal(IntEnum):
    """Why a record was not taken (§8)."""

    MALFORMED = 1
    TOO_LONG = 2
    SERIAL_JUMP = 3
    GAPS = 4
    NO_ROOM = 5
    PIECES = 6


def malformed(what: str) -> RemoteError:
    """The error for bytes that break a layout; `what` names the part."""
    return RemoteError("wire.malformed", part=what)


def varint(value: int) -> bytes:
    """Encode 0 ≤ value < 2**62 in its shortest form (RFC 9000 §16)."""
    if value < 0x40:
        return bytes((value,))
    if value < 0x4000:
        return struct.pack(">H", value | 0x4000)
    if value < 0x4000_0000:
        return struct.pack(">I", value | 0x8000_0000)
    return struct.pack(">Q", value | 0xC000_0000_0000_0000)


def svarint(value: int) -> bytes:
    """Encode a signed integer as the varint of its zigzag form."""
    return varint(value * 2 if value >= 0 else -value * 2 - 1)


class Reader:
    """Reads fields from the front of a byte string; raises RemoteError when they are not there."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise malformed("length")
        self.at += count
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self.data) - self.at)

    def more(self) -> bool:
        """Whether anything is left."""
        return self.at < len(self.data)

    def uint(self, count: int) -> int:
        """An unsigned integer of `count` bytes."""
        return int.from_bytes(self.take(count), "big")

    def varint(self) -> int:
        """A varint in its shortest form (R1)."""
        if self.at >= len(self.data):
            raise malformed("length")
        first = self.data[self.at]
        if first < 0x40:
            self.at += 1
            return first
        size = 1 << (first >> 6)
        value = self.uint(size) & ((1 << (8 * size - 2)) - 1)
        if value < (0x40, 0x4000, 0x4000_0000)[(first >> 6) - 1]:
            raise malformed("varint")
        return value

    def svarint(self) -> int:
        """A signed varint (zigzag)."""
        value = self.varint()
        return value >> 1 if not value & 1 else -(value >> 1) - 1


class Record(NamedTuple):
    """A record with its fields; times in unix seconds. `body` is as people wrote it (inflated)."""

    incarnation: int
    number: int
    precedence: Precedence
    kind: int
    language: str
    filed_s: int
    dtg_s: int
    due_s: int | None
    references: tuple[Reference, ...]
    subject: str
    body: bytes

    @property
    def serial(self) -> Serial:
        """(incarnation, number)."""
        return Serial(self.incarnation, self.number)

    @property
    def text(self) -> str:
        """The body as text; bytes that are not UTF-8 appear as escapes, never as errors."""
        return self.body.decode("utf-8", "backslashreplace")


def pack_language(tag: str) -> int:
    """Up to three letters of ISO 639 as an integer; "" is 0. Raises LocalError."""
    digits = [ord(letter) - 96 for letter in tag.lower()]
    if len(digits) > 3 or not all(0 < digit < 27 for digit in digits):
        raise LocalError("message.language")
    return reduce(lambda value, digit: value * 27 + digit, digits, 0)


def unpack_language(value: int) -> str:
    """The letters of a packed language; raises RemoteError if it is none."""
    letters = ""
    while value:
        value, digit = divmod(value, 27)
        if not digit or len(letters) == 3:
            raise malformed("language")
        letters = chr(96 + digit) + letters
    return letters


def encode_record(record: Record) -> bytes:
    """The bytes of a record; raises LocalError if a field is out of bounds (R17)."""
    body = record.body
    subject = record.subject.encode()
    if len(body) > limits.BODY_BYTES_MAX:
        raise LocalError("message.too_long", bytes=len(body), bytes_max=limits.BODY_BYTES_MAX)
    if len(subject) > limits.SUBJECT_BYTES_MAX:
        raise LocalError("message.subject_too_long", bytes_max=limits.SUBJECT_BYTES_MAX)
    if len(record.references) > limits.REFERENCES_MAX:
        raise LocalError("message.references", most=limits.REFERENCES_MAX)
    if not 0 <= record.filed_s < 1 << 32:
        raise LocalError("message.filed")
    flags = record.precedence << 6
    tail = bytearray()
    if record.dtg_s != record.filed_s:
        flags |= HAS_DTG
        tail += svarint(_offset(record.dtg_s - record.filed_s))
    if record.due_s is not None:
        flags |= HAS_DUE
        if record.due_s < record.filed_s:
            raise LocalError("message.due_past")
        tail += varint(_offset(record.due_s - record.filed_s))
    if record.references:
        flags |= HAS_REFERENCES
        tail += varint(len(record.references))
        for ours, serial in record.references:
            tail += varint(serial.number * 2 + (not ours)) + serial.incarnation.to_bytes(3, "big")
    if subject:
        flags |= HAS_SUBJECT
        tail += varint(len(subject)) + subject
    if record.kind in receipts.SPOKEN:
        deflated = compression.deflate(body, record.language.lower())
        if len(deflated) < len(body):
            flags, body = flags | DEFLATED, deflated
    head = record.incarnation.to_bytes(3, "big") + varint(record.number)
    fixed = struct.pack(">BBHI", flags, record.kind, pack_language(record.language), record.filed_s)
    return head + fixed + bytes(tail) + body


def _offset(seconds: int) -> int:
    if abs(seconds) > limits.OFFSET_S_MAX:
        raise LocalError("message.time", seconds_max=limits.OFFSET_S_MAX)
    return seconds


def peek_serial(data: bytes) -> Serial:
    """The serial of a record's bytes without reading the rest."""
    reader = Reader(data)
    return Serial(reader.uint(3), reader.varint())


def decode_record(data: bytes) -> Record:
    """Read a record strictly; raises RemoteError (R17)."""
    reader = Reader(data)
    incarnation = reader.uint(3)
    number = reader.varint()
    flags, kind, language, filed_s = struct.unpack(">BBHI", reader.take(8))
    if flags & 1 or not number or not incarnation:
        raise malformed("class")
    dtg_s, due_s = filed_s, None
    if flags & HAS_DTG:
        offset_s = reader.svarint()
        if not offset_s:
            raise malformed("time")
        dtg_s += _checked(offset_s)
    if flags & HAS_DUE:
        due_s = filed_s + _checked(reader.varint())
    references = tuple(_references(reader)) if flags & HAS_REFERENCES else ()
    subject = b""
    if flags & HAS_SUBJECT:
        size = reader.varint()
        if not 0 < size <= limits.SUBJECT_BYTES_MAX:
            raise malformed("subject")
        subject = reader.take(size)
    body = reader.rest()
    if flags & DEFLATED:
        inflated = compression.inflate(body, limits.BODY_BYTES_MAX)
        if inflated is None:
            raise malformed("deflate")
        body = inflated
    if len(body) > limits.BODY_BYTES_MAX:
        raise malformed("body")
    precedence, tag = Precedence(flags >> 6), unpack_language(language)
    times = (filed_s, dtg_s, due_s)
    title = subject.decode("utf-8", "backslashreplace")
    return Record(incarnation, number, precedence, kind, tag, *times, references, title, body)


def _checked(seconds: int) -> int:
    if abs(seconds) > limits.OFFSET_S_MAX:
        raise malformed("time")
    return seconds


def _references(reader: Reader) -> Iterator[Reference]:
    count = reader.varint()
    if not 0 < count <= limits.REFERENCES_MAX:
        raise malformed("references")
    for _ in range(count):
        number, whose = divmod(reader.varint(), 2)
        yield Reference(not whose, Serial(reader.uint(3), number))


class Frame(NamedTuple):
    """A frame as bytes: type and payload."""

    type: int
    payload: bytes


def encode_frames(frames: Sequence[Frame]) -> bytes:
    """Join frames; the last one carries no length."""
    parts = [bytes((f.type,)) + varint(len(f.payload)) + f.payload for f in frames[:-1]]
    return b"".join([*parts, bytes((frames[-1].type | LAST,)), frames[-1].payload])


def decode_frames(inner: bytes) -> Iterator[Frame]:
    """The frames of an inner, padding skipped; raises RemoteError at the first that is malformed
    (R16)."""
    reader = Reader(inner)
    reader.at = len(inner) - len(inner.lstrip(b"\0"))
    while reader.more():
        kind = reader.uint(1)
        if kind & LAST:
            yield Frame(kind & ~LAST, reader.rest())
        else:
            yield Frame(kind, reader.take(reader.varint()))


class Ack(NamedTuple):
    """What a machine holds on disk of the other's chain: all up to `contiguous`, and `held` ranges
    beyond."""

    incarnation: int
    contiguous: int
    held: tuple[tuple[int, int], ...] = ()

    def encode(self) -> bytes:
        """The payload of an ACK frame."""
        out = bytearray(self.incarnation.to_bytes(3, "big") + varint(self.contiguous))
        before = self.contiguous
        for first, last in self.held:
            out += varint(first - before - 1) + varint(last - first + 1)
            before = last
        return bytes(out)

    @classmethod
    def decode(cls, payload: bytes) -> Ack:
        """Read an ACK; raises RemoteError."""
        reader = Reader(payload)
        incarnation, contiguous = reader.uint(3), reader.varint()
        held: list[tuple[int, int]] = []
        before = contiguous
        while reader.more():
            missing, count = reader.varint(), reader.varint()
            if not missing or not count or len(held) == limits.GAPS_MAX:
                raise malformed("ack")
            first = before + missing + 1
            before = first + count - 1
            held.append((first, before))
        return cls(incarnation, contiguous, tuple(held))
