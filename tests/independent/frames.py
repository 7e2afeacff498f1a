"""What stands inside a datagram once it is open: frames (§5), records (§6) and their bodies.

Purpose: turn the inner of a datagram into frames and a record into its fields, refusing what
breaks a layout. Everything is a pure function of bytes. Keys, runs and chains do not live here.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from enum import IntEnum

from .dictionaries import DICTIONARIES
from .wire import VARINT_MAX, Cursor, RefusedError, need, sha256

TIMES_MAX = 3_162_240_000
BODY_MAX = 65_536
SUBJECT_MAX = 512
RECORD_MAX = 66_304
PAIRS_MAX = 512
TO_THE_END = 0x80


class Type(IntEnum):
    """Frame types of §5."""

    RECORD = 1
    PIECE = 2
    ACK = 3
    RUN = 4
    REOPEN = 5
    REFUSE = 6
    CLAIM = 7
    LOOK = 8
    HEADS = 9


class Kind(IntEnum):
    """Record kinds of §6."""

    TEXT = 1
    FILE = 2
    CHUNK = 3
    DELIVERED = 16
    OPENED = 17
    SHOWN = 18
    DECLINED = 19
    HOLDING = 20
    BEGIN = 32
    FORK = 33
    OFFER = 34
    ANSWER = 35


@dataclass(frozen=True)
class Frame:
    """One frame: its type 0..127 and its fields by the names of §5.

    A value is an integer, bytes, or a list of integers or of pairs; an unknown type has the one
    field `payload`.
    """

    type: int
    fields: dict[str, object]


@dataclass(frozen=True)
class Inner:
    """An inner as read: the frames that stand, and why the reading ended early, if it did."""

    frames: tuple[Frame, ...]
    fault: str | None


def _piece(at: Cursor) -> dict[str, object]:
    incarnation, number, total = at.number(3), at.varint(), at.varint()
    check, offset = at.take(4), at.varint()
    part = at.rest()
    need(0 < len(part) <= total - offset and total <= RECORD_MAX, "malformed")
    return {
        "incarnation": incarnation,
        "number": number,
        "total": total,
        "check": check,
        "offset": offset,
        "bytes": part,
    }


def _ack(at: Cursor) -> dict[str, object]:
    incarnation, contiguous = at.number(3), at.varint()
    pairs, reach = [], contiguous
    while at.left:
        missing, held = at.varint(), at.varint()
        reach += missing + held
        need(missing > 0 and held > 0 and reach <= VARINT_MAX, "malformed")
        pairs.append([missing, held])
    need(len(pairs) <= PAIRS_MAX, "malformed")
    return {"incarnation": incarnation, "contiguous": contiguous, "pairs": pairs}


def _claim(at: Cursor) -> dict[str, object]:
    ask = at.number(1)
    need(ask <= 1, "malformed")
    return {
        "ask": ask,
        "own_incarnation": at.number(3),
        "own_number": at.varint(),
        "other_incarnation": at.number(3),
        "other_number": at.varint(),
        "digest": at.take(16),
    }


def _whose(at: Cursor) -> int:
    whose = at.number(1)
    need(whose <= 1, "malformed")
    return whose


def _look(at: Cursor) -> dict[str, object]:
    whose, numbers = _whose(at), []
    while at.left:
        numbers.append(at.varint())
    need(1 <= len(numbers) <= 16, "malformed")
    return {"whose": whose, "numbers": numbers}


def _heads(at: Cursor) -> dict[str, object]:
    whose, heads = _whose(at), []
    while at.left:
        heads.append((at.varint(), at.take(16)))
    need(1 <= len(heads) <= 16, "malformed")
    return {"whose": whose, "heads": heads}


def _fields(kind: int, payload: bytes) -> dict[str, object]:
    at = Cursor(payload)
    fields: dict[str, object]
    match kind:
        case Type.RECORD:
            fields = {"record": at.rest()}
        case Type.PIECE:
            fields = _piece(at)
        case Type.ACK:
            fields = _ack(at)
        case Type.RUN | Type.REOPEN:
            fields = {"run": at.take(4)}
        case Type.REFUSE:
            fields = {"incarnation": at.number(3), "number": at.varint(), "code": at.number(1)}
        case Type.CLAIM:
            fields = _claim(at)
        case Type.LOOK:
            fields = _look(at)
        case Type.HEADS:
            fields = _heads(at)
        case _:
            fields = {"payload": at.rest()}
    at.end()
    return fields


def read_inner(inner: bytes) -> Inner:
    """Read the frames of an inner; a malformed frame ends the reading, those before it stand."""
    at = Cursor(inner.lstrip(b"\0"))
    frames: list[Frame] = []
    try:
        while at.left:
            kind = at.number(1)
            payload = at.rest() if kind & TO_THE_END else at.take(at.varint())
            kind &= ~TO_THE_END
            frames.append(Frame(kind, _fields(kind, payload)))
    except RefusedError as fault:
        return Inner(tuple(frames), fault.reason)
    return Inner(tuple(frames), None)


@dataclass(frozen=True)
class Reference:
    """A serial that a record refers to; `whose` is 0 for the author's chain, 1 for the other."""

    number: int
    whose: int
    incarnation: int


@dataclass(frozen=True)
class Record:
    """A record with its body inflated. Times are seconds; `dtg` and `due` are relative to filed."""

    incarnation: int
    number: int
    precedence: int
    kind: int
    language: str
    filed: int
    dtg: int | None
    due: int | None
    references: tuple[Reference, ...]
    subject: bytes | None
    body: bytes
    deflated: bool


def language(code: int) -> str:
    """Return the letters of a language code, "" for none; refuses `malformed`."""
    letters = ""
    while code:
        code, digit = divmod(code, 27)
        need(digit > 0, "malformed")
        letters = chr(ord("a") + digit - 1) + letters
    need(len(letters) <= 3, "malformed")
    return letters


def inflate(data: bytes) -> bytes:
    """Inflate the body behind its dictionary's number, one whole stream (R18); refuses `truncated`,
    `unknown-dictionary`, `deflate-broken`, `too-long`."""
    at = Cursor(data)
    number = at.number(1)
    need(number in DICTIONARIES, "unknown-dictionary")
    machine = zlib.decompressobj(-15, zdict=DICTIONARIES[number])
    try:
        out = machine.decompress(at.rest(), BODY_MAX + 1)
    except zlib.error as broken:
        raise RefusedError("deflate-broken") from broken
    need(len(out) <= BODY_MAX, "too-long")
    need(machine.eof and not machine.unused_data, "deflate-broken")
    return out


def _references(at: Cursor) -> tuple[Reference, ...]:
    count = at.varint()
    need(1 <= count <= 16, "malformed")
    found = []
    for _ in range(count):
        both, incarnation = at.varint(), at.number(3)
        need(both >> 1 > 0 and incarnation > 0, "malformed")
        found.append(Reference(both >> 1, both & 1, incarnation))
    return tuple(found)


def read_record(data: bytes) -> Record:
    """Read a record (§6) and check what R17 and R18 ask of it; raises RefusedError."""
    need(len(data) <= RECORD_MAX, "too-long")
    at = Cursor(data)
    incarnation, number, flags, kind = at.number(3), at.varint(), at.number(1), at.number(1)
    need(incarnation > 0 and number > 0 and not flags & 1, "malformed")
    letters, filed = language(at.number(2)), at.number(4)
    dtg = at.svarint() if flags & 0x20 else None
    need(dtg != 0, "malformed")
    need(abs(dtg or 0) <= TIMES_MAX, "time-out-of-range")
    due = at.varint() if flags & 0x10 else None
    need((due or 0) <= TIMES_MAX, "time-out-of-range")
    references = _references(at) if flags & 8 else ()
    subject = None
    if flags & 4:
        size = at.varint()
        need(size > 0, "malformed")
        need(size <= SUBJECT_MAX, "too-long")
        subject = at.take(size)
    body = at.rest()
    if flags & 2:
        body = inflate(body)
    need(len(body) <= BODY_MAX, "too-long")
    record = Record(
        incarnation,
        number,
        flags >> 6,
        kind,
        letters,
        filed,
        dtg,
        due,
        references,
        subject,
        body,
        bool(flags & 2),
    )
    _check_kind(record)
    return record


def _check_kind(record: Record) -> None:
    """The bodies of service records; what they and receipts refer to breaks no layout."""
    if record.kind == Kind.BEGIN:
        read_begin(record)
    elif record.kind == Kind.FORK:
        need(len(record.body) == 64, "malformed")
    elif record.kind in (Kind.OFFER, Kind.ANSWER):
        read_exchange(record.body)


@dataclass(frozen=True)
class Begin:
    """The body of a BEGIN: where the author goes on, and what it holds of the other's chain.

    `path` is the author's branch before it: pairs of an incarnation and its first number.
    """

    floor: int
    head: bytes
    reader_incarnation: int
    reader_contiguous: int
    path: tuple[tuple[int, int], ...]


def read_begin(record: Record) -> Begin:
    """Read the body of a BEGIN (§7); what its path may be depends on the BEGIN's own serial."""
    at = Cursor(record.body)
    floor = at.varint()
    need(floor < record.number, "malformed")
    head, reader_incarnation, reader_contiguous = at.take(32), at.number(3), at.varint()
    path: list[tuple[int, int]] = []
    named = {0, record.incarnation}
    while at.left:
        incarnation = at.number(3)
        need(incarnation not in named, "malformed")
        named.add(incarnation)
        first = at.varint()
        if path:
            need(path[-1][1] < first < record.number, "malformed")
        else:
            need(0 < first <= floor + 1 and first < record.number, "malformed")
        path.append((incarnation, first))
    # Any pair of a BEGIN numbered 1 has broken a bound above: no number is left below it.
    need(bool(path) or record.number == 1, "malformed")
    return Begin(floor, head, reader_incarnation, reader_contiguous, tuple(path))


@dataclass(frozen=True)
class Exchange:
    """The body of an OFFER or an ANSWER: `value` is an encapsulation key or a ciphertext."""

    base: bytes
    page: int
    value: bytes


def read_exchange(body: bytes) -> Exchange:
    """Read the body of an OFFER or an ANSWER (§9)."""
    at = Cursor(body)
    exchange = Exchange(at.take(2), at.number(2), at.take(1568))
    at.end()
    return exchange


class Assembly:
    """The pieces of one record, gathered in any order until it is whole."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.total: int | None = None
        self.check: object = None
        self.parts: dict[int, int] = {}

    def add(self, frame: Frame) -> bytes | None:
        """Take a PIECE; return the record once whole. Refuses `pieces-differ`."""
        total, offset, part = (frame.fields[name] for name in ("total", "offset", "bytes"))
        if not (isinstance(total, int) and isinstance(offset, int) and isinstance(part, bytes)):
            raise TypeError("not a PIECE")
        check = frame.fields["check"]
        need(self.total in (None, total) and self.check in (None, check), "pieces-differ")
        self.total, self.check = total, check
        self.parts.update(enumerate(part, offset))
        if len(self.parts) < total:
            return None
        record = bytes(self.parts[place] for place in range(total))
        at = Cursor(record)
        serial = (at.number(3), at.varint())
        need(serial == (frame.fields["incarnation"], frame.fields["number"]), "pieces-differ")
        need(sha256(record)[:4] == check, "pieces-differ")
        return record
