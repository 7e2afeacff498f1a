"""Vectors of files in a chain (docs/protocol.md §16), and the product's own reading of them.

Purpose: `given_chains` are chains made record by record, honest and not; `files_of_chain` puts one
into a store and lets the taking side of a line read it.
"""

from __future__ import annotations

from hashlib import sha256
from types import SimpleNamespace
from typing import Any, cast

from openline.attachments import reading, shown
from openline.attachments.bodies import Chunk, FileSaid
from openline.attachments.taking import Taker
from openline.core import receipts
from openline.core.envelope import decode_record, encode_record
from openline.core.events import Reference, Serial
from openline.core.line import Line
from openline.core.precedence import Precedence
from openline.core.transcript import next_head
from openline.errors import RemoteError
from openline.ledger import LineLedger
from openline.sim.disk import MemoryStore
from openline.store.base import CHAINED, THEIRS, Batch, Mark

Json = Any
CONTENT = bytes(range(251)) * 40
INCARNATION = 0x0A0B0C


class Chain:
    """Records of one author, numbered as they come."""

    def __init__(self) -> None:
        """Begin with a text, number 1."""
        self.records: list[bytes] = []
        self.add(receipts.TEXT, b"See the map.")

    def add(self, kind: int, body: bytes, *of: int) -> int:
        """One more record that refers to those with these numbers; its own number."""
        from openline.core.envelope import Record

        number = len(self.records) + 1
        named = tuple(Reference(True, Serial(INCARNATION, each)) for each in of)
        at = 1_790_000_000
        fields = (Precedence.ROUTINE, kind, "", at, at, None, named, "", body)
        self.records.append(encode_record(Record(INCARNATION, number, *fields)))
        return number

    def file(self, name: str = "map.png", content: bytes = CONTENT, of: int = 1) -> int:
        """A FILE."""
        said = FileSaid(len(content), sha256(content).digest(), name)
        return self.add(receipts.FILE, said.encode(), of)

    def chunk(self, file: int, at: int, data: bytes | None = None) -> int:
        """A CHUNK, of CONTENT unless there is other data."""
        data = CONTENT[3840 * at : 3840 * (at + 1)] if data is None else data
        return self.add(receipts.CHUNK, Chunk(at, data).encode(), file)


def given_chains() -> list[tuple[str, str, list[bytes]]]:
    """(name, what, records) of each vector."""
    whole, mixed, spoiled = Chain(), Chain(), Chain()
    one, other = whole.file(), whole.file("карта.png", CONTENT[:3840])
    whole.chunk(one, 0)
    whole.chunk(other, 0)
    whole.add(receipts.TEXT, b"Meanwhile.")
    whole.chunk(one, 1)
    whole.chunk(one, 1)
    whole.chunk(one, 2)
    stopped = whole.file("stopped")
    whole.chunk(stopped, 0)
    whole.chunk(stopped, 1, b"")
    coming = whole.file("coming")
    whole.chunk(coming, 0)
    for _ in range(10):
        mixed.file()
    mixed.chunk(10, 0)
    mixed.chunk(1, 0)
    mixed.chunk(99, 0)
    mixed.file(of=2)
    for name in ("a/b", "a\\b", "..", "a\0"):
        mixed.file(name)
    mixed.add(receipts.FILE, bytes(36) + b"x", 1)
    mixed.add(receipts.FILE, b"\0\0\0\1" + bytes(32) + b"\xff", 1)
    mixed.add(receipts.CHUNK, b"\x40\0" + CONTENT[:3840], 2)
    file = spoiled.file(content=CONTENT[::-1])
    spoiled.chunk(file, 1)
    spoiled.chunk(file, 0, CONTENT[:3839])
    for at in range(3):
        spoiled.chunk(file, at)
    return [
        ("files-whole", "Files whole, stopped and coming, with a text between.", whole.records),
        ("files-faults", "Too many files, names that are none, parts of nothing.", mixed.records),
        ("files-spoiled", "Out of order, too short; then all of another file.", spoiled.records),
    ]


def files_of_chain(given: Json) -> Json:
    """What the product makes of a chain."""
    store, faults = MemoryStore(), list[int]()
    ledger, head = LineLedger(store, 1), b""
    batch = Batch()
    ledger.begin(batch, 0)
    for each in given["records"]:
        data = bytes.fromhex(each)
        head = next_head(head, data)
        ledger.put(THEIRS, decode_record(data), data, head, CHAINED)

    def fault(error: RemoteError) -> None:
        # A layout that is broken names no number: the cursor stands at its record.
        faults.append(cast(int, error.details.get("number", taker._cursor)))

    reception = SimpleNamespace(contiguous=0, lost=[])
    line = SimpleNamespace(reception=reception, fault=fault, tell=lambda *_, **__: None)
    taker = Taker(cast(Line, line), ledger, store, 1, None)
    reception.contiguous = len(given["records"])
    for each in given["records"]:
        taker.hear(decode_record(bytes.fromhex(each)))
    more = True
    while more or taker._check is not None:
        more = taker.work()
        store.commit(batch)
        ledger.settle()
        batch = Batch()
        ledger.begin(batch, 0)
    # What names the record it is about counts there, and a ninth file at the file.
    return {"files": _files(store), "faults": sorted(faults)}


def _files(store: MemoryStore) -> list[Json]:
    found = []
    for text in store.arrivals(1, 0, 1000, side=THEIRS, kinds=[receipts.TEXT]):
        marks: list[Mark] = store.marks(1, THEIRS, text.number, text.incarnation)
        for which, each in enumerate(shown.files_of(store, text, marks, {}), 1):
            row, said = shown.file_row(store, text, which)
            content = _content(store, row, said) if each["state"] == "whole" else None
            found.append(
                {
                    "number": row.number,
                    "text": text.number,
                    "size": said.size,
                    "name": said.name.encode().hex(),
                    "state": each["state"],
                    "content": content,
                }
            )
    return found


def _content(store: MemoryStore, row: Any, said: FileSaid) -> str:
    data, found = b"", reading.portion(store, row, said)
    while found.at is not None:
        data, found = data + found.data, reading.portion(store, row, said, found.at)
    return sha256(data + found.data).hexdigest()
