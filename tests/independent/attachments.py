"""Files out of a chain of records, by docs/protocol.md §16 alone.

Theory of operation: the records of one author in the order of its chain go in; which FILEs count,
what came of each, and the numbers of those that are faults come out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from .frames import Kind, Record, read_record
from .wire import Cursor, RefusedError, need

CHUNK = 3840
SIZE_MAX = 16_777_216
NAME_MAX = 255
FILES_MAX = 8


@dataclass
class Found:
    """A file that counts."""

    number: int
    text: int
    size: int
    digest: bytes
    name: bytes
    state: str = "coming"
    content: bytearray = field(default_factory=bytearray)


def read_files(records: list[bytes]) -> tuple[list[Found], list[int]]:
    """Return the files of a chain and the numbers of the records in it that are faults."""
    held: dict[tuple[int, int], Record] = {}
    files: dict[tuple[int, int], Found] = {}
    faults = []
    for data in records:
        record = read_record(data)
        try:
            if record.kind == Kind.FILE:
                files[record.incarnation, record.number] = _file(record, held, files)
            elif record.kind == Kind.CHUNK:
                _chunk(record, files)
        except RefusedError:
            faults.append(record.number)
        held[record.incarnation, record.number] = record
    # A content that is another is a fault of the FILE.
    broken = [each.number for each in files.values() if each.state == "broken"]
    return [*files.values()], sorted([*faults, *broken])


def _named(record: Record) -> tuple[int, int]:
    """Return the serial of the one record of its own author that a record refers to."""
    need(len(record.references) == 1, "reference")
    named = record.references[0]
    need(named.whose == 0, "reference")
    return named.incarnation, named.number


def _file(
    record: Record, held: dict[tuple[int, int], Record], files: dict[tuple[int, int], Found]
) -> Found:
    at = Cursor(record.body)
    size, digest, name = at.number(4), at.take(32), at.take(at.left)
    need(0 < size <= SIZE_MAX and 0 < len(name) <= NAME_MAX, "malformed")
    need(not any(sign in name for sign in b"/\\\0") and name not in (b".", b".."), "malformed")
    try:
        name.decode()
    except UnicodeDecodeError:
        raise RefusedError("malformed") from None
    text = held.get(_named(record))
    need(text is not None and text.kind == Kind.TEXT, "reference")
    number = text.number if text is not None else 0
    need(sum(each.text == number for each in files.values()) < FILES_MAX, "too-many")
    return Found(record.number, number, size, digest, name)


def _chunk(record: Record, files: dict[tuple[int, int], Found]) -> None:
    at = Cursor(record.body)
    index, data = at.varint(), at.take(at.left)
    need(index * CHUNK < SIZE_MAX and len(data) <= CHUNK, "malformed")
    found = files.get(_named(record))
    need(found is not None, "reference")
    if found is None or found.state in ("whole", "broken"):
        return
    if not data:
        found.state = "stopped"
        return
    counted = -(-len(found.content) // CHUNK)
    if found.state == "coming" and index < counted:
        return
    need(found.state == "coming" and index == counted, "order")
    need(len(data) == min(CHUNK, found.size - index * CHUNK), "length")
    found.content += data
    if len(found.content) == found.size:
        good = sha256(found.content).digest() == found.digest
        found.state = "whole" if good else "broken"
