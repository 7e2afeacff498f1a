"""The checker: judges a world by what it releases, what its disks hold and what its wires carry.

Theory of operation: it knows the protocol's document, not the code. It reads frames and heads by
its own few lines, sees every commit as it becomes durable, every act's result, and every plaintext
at the instant it is sealed, against the disk of that instant. `Violation` ends the world. What is
allowed to be missing, and after which fault, is said at each rule. A post whose live memory was put
back may give a serial twice: then R24 holds, and both texts must be with the reader.
"""

from __future__ import annotations

import hmac
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256

from ..core.compression import DICTIONARIES
from ..core.events import Serial
from ..core.limits import RETIRED_RUNS_MAX
from ..errors import InvariantError, LocalError, StoreError
from ..inputs import Input, Receive, Release
from ..sealing.keys import Identity
from ..store.base import ABANDONED, CHAINED, OURS, THEIRS, Row
from .disk import MemoryStore

LINE = 1
ALL = 1 << 30
_RECORD, _PIECE, _ACK, _RUN = 1, 2, 3, 4
_ANSWER = 35
_BEGIN = 32
_FLASH = 3
_ANSWER_BODY_BYTES = 2 + 2 + 1568
_REFUSED_FOR_NOW = (4, 5, 6)


class Violation(BaseException):
    """Something that must never happen has happened; no code under test may catch it as an error
    of its own."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    size = 1 << (data[at] >> 6)
    value = int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1)
    return value, at + size


def frames(inner: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, payload) of each frame of an inner (docs/protocol.md §5)."""
    at = len(inner) - len(inner.lstrip(b"\0"))
    while at < len(inner):
        kind = inner[at]
        if kind & 0x80:
            yield kind & 0x7F, inner[at + 1 :]
            return
        size, at = _varint(inner, at + 1)
        yield kind, inner[at : at + size]
        at += size


def _serial(data: bytes) -> tuple[Serial, int]:
    number, at = _varint(data, 3)
    return Serial(int.from_bytes(data[:3], "big"), number), at


def _body(record: bytes) -> bytes:
    """The body of a record, inflated (docs/protocol.md §6)."""
    _, at = _serial(record)
    flags, at = record[at], at + 8
    for bit in (0x20, 0x10):
        _, at = _varint(record, at) if flags & bit else (0, at)
    count, at = _varint(record, at) if flags & 8 else (0, at)
    for _ in range(count):
        at = _varint(record, at)[1] + 3
    size, at = _varint(record, at) if flags & 4 else (0, at)
    body = record[at + size :]
    if not flags & 2:
        return body
    return zlib.decompressobj(-15, zdict=DICTIONARIES[body[0]]).decompress(body[1:])


def _label(key: bytes, name: bytes, context: bytes = b"") -> bytes:
    return hmac.digest(key, b"openline/1 " + name + b"\0" + context + b"\1", "sha256")


class Checker:
    """Judges one world of two posts."""

    def __init__(self, *, hostile: str = "") -> None:
        self.hostile = hostile
        self.texts: dict[str, dict[Serial, bytes]] = {"a": {}, "b": {}}
        """What each ever made durable as its own, by serial, restored or not: the newest text."""
        self.ever: dict[str, set[tuple[Serial, bytes]]] = {"a": set(), "b": set()}
        """The same with every text that a serial was given, by a post that was rolled back."""
        self.held: dict[str, set[Serial]] = {"a": set(), "b": set()}
        """What each ever held durably of the other's."""
        self.released: dict[str, list[Serial]] = {"a": [], "b": []}
        self.flashes: dict[str, list[Serial]] = {"a": [], "b": []}
        """The FLASHes among them."""
        self.overtakings = 0
        """How often a FLASH passed what was leaving on a narrow wire."""
        self.hindered: set[str] = set()
        """Whose disk has not let something be sent since a fragment last left it."""
        self.restores: Counter[str] = Counter()
        """How often each was put back, live or not."""
        self.outlived = False
        """Whether a bag came that was older than the keys it may need are kept (R13)."""
        self.rollbacks: Counter[str] = Counter()
        """How often with its memory."""
        self.unaware: set[str] = set()
        """Who was rolled back and has released nothing since."""
        self.sealings = 0
        """How many datagrams were sealed."""
        self.sending: tuple[str, MemoryStore] | None = None
        """Who is sealing right now, and its disk."""
        self.carried: list[set[int]] = []
        """Of each datagram that a bearer was given last: how urgent the records in it are; one more
        than FLASH for a BEGIN."""
        self._bodies: dict[str, set[bytes]] = {"a": set(), "b": set()}
        self._keys: dict[bytes, dict[bytes, tuple[bytes, bytes | None]]] = {}
        """Key → nonce → (plaintext, associated data)."""
        self._seen: dict[str, int] = {"a": 0, "b": 0}
        self._acked: dict[str, tuple[int, set[int]]] = {"a": (0, set()), "b": (0, set())}
        self._contiguous: dict[str, int] = {"a": 0, "b": 0}

    def fail(self, why: str) -> None:
        """Raise Violation."""
        raise Violation(why)

    @staticmethod
    def other(name: str) -> str:
        """The other station."""
        return "b" if name == "a" else "a"

    def wrote(self, name: str, body: bytes) -> bool:
        """Whether a text with this body was ever committed by its author."""
        return any(_body(data) == body for data in self.texts[name].values())

    # -- while it runs ------------------------------------------------------------------------

    def durable(self, name: str, store: MemoryStore) -> None:
        """A commit of this station has become durable."""
        if self.hostile == name:
            return
        for row in store.arrivals(None, self._seen[name], ALL):
            self._seen[name] = row.arrival
            serial = Serial(row.incarnation, row.number)
            if row.side == OURS:
                if serial in self.texts[name] and not self.rollbacks[name]:
                    self.fail(f"{name} gave the serial {serial} twice")
                self.texts[name][serial] = row.record
                self.unaware.discard(name)
                self.ever[name].add((serial, row.record))
                if row.kind == _ANSWER:
                    self._burned(name, store, row.record)
            elif self.hostile:
                self.held[name].add(serial)
            else:
                author = self.other(name)
                if (serial, row.record) not in self.ever[author]:
                    self.fail(f"{name} holds {serial}, which its author never committed so")
                if row.variant and not self.rollbacks[author]:
                    self.fail(f"{name} holds {serial} twice")
                self.held[name].add(serial)

    def _burned(self, name: str, store: MemoryStore, answer: bytes) -> None:
        """The page that went into a root is gone in the transaction that made the root (§9)."""
        page = int.from_bytes(answer[-_ANSWER_BODY_BYTES + 2 : -_ANSWER_BODY_BYTES + 4], "big")
        if page and f"tape/{page:04d}" in store.state(LINE):
            self.fail(f"{name} still has page {page} of the tape, which it has used")

    def stepped(
        self, name: str, store: MemoryStore, inputs: Sequence[Input], results: Sequence[object]
    ) -> None:
        """A step has ended with these results."""
        for given, result in zip(inputs, results, strict=True):
            if isinstance(result, InvariantError):
                self.fail(f"{name}: {result} after {type(given).__name__}")
            if isinstance(result, StoreError) and not store.full:
                self.fail(f"{name}: {result} though the disk is well")
            if isinstance(given, Release | Receive) and isinstance(result, Serial):
                row = store.row(LINE, OURS, result.number, result.incarnation)
                if row is None:
                    self.fail(f"{name} released {result} and does not hold it")
                elif isinstance(given, Release) and _body(row.record) != given.body.encode():
                    self.fail(f"{name} holds another text for {result} than was released")
                self.released[name].append(result)
                if isinstance(given, Release) and given.precedence == _FLASH:
                    self.flashes[name].append(result)
            if isinstance(given, Release) and isinstance(result, LocalError):
                self.fail(f"{name} would not release: {result}")

    def told(self, name: str, event: str, values: dict[str, object]) -> None:
        """A post says what happened; some of it must not happen by accident."""
        if self.hostile:
            return
        for_good = event == "refused" and values["code"] not in _REFUSED_FOR_NOW
        forks = event in ("fork", "differs") and not self.rollbacks
        if forks or for_good:
            self.fail(f"{name} tells {event} {values}, and nobody is hostile")
        if event == "alarm" and not self.restores and not self.outlived:
            self.fail(f"{name} raises the continuity alarm, and nothing was restored")
        grave = ("refuse.unknown",) if self.rollbacks else ("wire.malformed", "refuse.unknown")
        if event == "fault" and values["code"] in grave:
            self.fail(f"{name} counts {values['code']}, and nobody is hostile")

    def ended(self, name: str) -> None:
        """A process has ended."""
        self.sending = None

    def shown_down(self, name: str, bearer: str, *, up: bool) -> None:
        """A bearer has reported its death; `up` is what the post shows of it then."""
        if up:
            self.fail(f"{name} shows {bearer} as up, which has reported its death")

    def restored(self, name: str, store: MemoryStore, *, live: bool = False) -> None:
        """An old state of the disk was put back; `live`: and of the memory over it."""
        self.restores[name] += 1
        if live:
            self.rollbacks[name] += 1
            self.unaware.add(name)
        newest = store.arrivals(None, 0, 1, newest=True)
        self._seen[name] = newest[-1].arrival if newest else 0
        self._acked[name] = (0, set())
        self._contiguous[name] = 0

    def sends(self, name: str, store: MemoryStore) -> None:
        """A station is about to seal what a bearer asks for."""
        self.sending, self.carried = (name, store), []

    def overtakes(self, name: str, flashes: int, *, before: set[int], now: set[int]) -> None:
        """A fragment leaves after one whose datagram had records as urgent as `before`, when the
        first so many FLASHes had been released; `now`: those of the datagram it is of. What has
        no records, an answer, may pass too."""
        other, hindered = self.other(name), name in self.hindered
        self.hindered.discard(name)
        fresh = [
            serial for serial in self.flashes[name][flashes:] if serial not in self.held[other]
        ]
        urgent = not before or max(before) >= _FLASH
        if not fresh or not now or urgent or hindered or self.hostile:
            return
        if max(now) < _FLASH:
            self.fail(f"{name} goes on with what is less urgent than {fresh[0]}, a FLASH")
        self.overtakings += 1

    def sealed(self, key: bytes, nonce: bytes, data: bytes, associated: bytes | None) -> None:
        """A key is used to seal."""
        nonces = self._keys.setdefault(key, {})
        if nonces and not self.rollbacks:
            self.fail("a key is used for a second time")
        if nonces.setdefault(nonce, (data, associated)) != (data, associated):
            self.fail("a key and a nonce have sealed two different plaintexts")

    def spoken(self, inner: bytes) -> None:
        """The body of a datagram is being sealed."""
        self.sealings += 1
        self.carried.append(set())
        if self.sending is None or self.sending[0] == self.hostile:
            return
        name, store = self.sending
        for kind, payload in frames(inner):
            if kind in (_RECORD, _PIECE):
                self._sends_record(name, store, kind, payload)
            elif kind == _ACK:
                self._sends_ack(name, store, payload)
            elif kind == _RUN:
                state = store.state(LINE)
                retired = state.get("retired", b"")
                forgotten = len(retired) >= 4 * RETIRED_RUNS_MAX  # R9: what is older
                if not forgotten and "run/" + payload.hex() not in state and payload not in retired:
                    self.fail(f"{name} confirms a run that is not on its disk")

    def _sends_record(self, name: str, store: MemoryStore, kind: int, payload: bytes) -> None:
        serial, at = _serial(payload)
        row = store.row(LINE, OURS, serial.number, serial.incarnation)
        if row is None:
            self.fail(f"{name} sends {serial} before it is on disk")
            return
        begin = row.kind == _BEGIN
        self.carried[-1].add(_FLASH + 1 if begin else row.precedence)
        part, offset = payload, 0
        if kind == _PIECE:
            _, at = _varint(payload, at)
            offset, at = _varint(payload, at + 4)  # 4 bytes of the record's hash
            part = payload[at:]
        if row.record[offset : offset + len(part)] != part:
            self.fail(f"{name} sends another text for {serial} than it holds")

    def _sends_ack(self, name: str, store: MemoryStore, payload: bytes) -> None:
        serial, at = _serial(payload)
        incarnation, verified = self._acked[name]
        if incarnation != serial.incarnation:
            verified = set()
            self._contiguous[name] = 0
        named = [range(self._contiguous[name] + 1, serial.number + 1)]
        last = serial.number
        while at < len(payload):
            missing, at = _varint(payload, at)
            count, at = _varint(payload, at)
            named.append(range(last + missing + 1, last + missing + count + 1))
            last = named[-1][-1]
        for numbers in named:
            for number in numbers:
                if number not in verified:
                    self._acked_is_held(name, store, number)
                    verified.add(number)
        self._acked[name] = (serial.incarnation, verified)
        self._contiguous[name] = max(self._contiguous[name], serial.number)

    def _acked_is_held(self, name: str, store: MemoryStore, number: int) -> None:
        rows = store.variants(LINE, THEIRS, number)
        if not any(row.standing == CHAINED for row in rows) and not _within(number, _lost(store)):
            self.fail(f"{name} acknowledges {number}, which is not on its disk")

    # -- when it has healed -------------------------------------------------------------------

    def judge(self, stores: dict[str, MemoryStore], digests: dict[str, str]) -> None:
        """Every rule of the record, once the world has healed."""
        if self.hostile:
            honest = self.other(self.hostile)
            self._chain(honest, stores[honest])
            return
        for author in ("a", "b"):
            self._compare(author, stores)
        expected = {name: self._digest(name, stores[name]) for name in digests}
        differ = digests["a"] != digests["b"] and not self.apart(stores)
        if digests != expected or differ:
            self.fail(f"digests: told {digests}, by the rows {expected}")

    def apart(self, stores: dict[str, MemoryStore]) -> bool:
        """Whether a serial that was given twice has set the chains of a line apart (R24)."""
        return any(self._parting(author, stores) is not None for author in self.rollbacks)

    def _parting(self, author: str, stores: dict[str, MemoryStore]) -> int | None:
        """The first number of which the reader's chain has another text of the same serial; or that
        follows lost ones whose head a BEGIN gave before its author was put back behind them.
        """
        own, reader = stores[author].arrivals(LINE, 0, ALL, side=OURS), stores[self.other(author)]
        lost = _lost(reader)
        for row in reader.chain(LINE, THEIRS, 1, ALL):
            theirs = own[row.number - 1] if row.number <= len(own) else row
            same, led = theirs.record == row.record, theirs.head == row.head
            if theirs.incarnation == row.incarnation and not same:
                return row.number
            if same and not led and _within(row.number - 1, lost):
                return row.number
        return None

    def _chain(self, name: str, store: MemoryStore) -> list[Row]:
        """The station's own chain: consecutive from 1, with right heads."""
        rows = store.arrivals(LINE, 0, ALL, side=OURS)
        head = _genesis(store, own=True)
        for number, row in enumerate(rows, 1):
            if row.number != number or row.standing != CHAINED or row.variant:
                self.fail(f"{name}'s own chain has {row.number} where {number} belongs")
            head = sha256(head + row.record).digest()
            if row.head != head:
                self.fail(f"{name}'s own chain has a wrong head at {number}")
        return rows

    def _compare(self, author: str, stores: dict[str, MemoryStore]) -> None:
        reader = self.other(author)
        own = self._chain(author, stores[author])
        on_disk = {Serial(row.incarnation, row.number) for row in own}
        lost = _lost(stores[reader])
        chain = stores[reader].chain(LINE, THEIRS, 1, ALL)
        numbers = [row.number for row in chain]
        expected = [row.number for row in own if not _within(row.number, lost)]
        if numbers != expected:
            self.fail(
                f"{reader} has {_brief(numbers)} of {author}'s {len(own)} in its chain, lost {lost}"
            )
        differs = json.loads(stores[reader].state(LINE)["line"])["peer"][0][3] or 0
        unproven = max(lost[-1][1] if lost else 0, differs) if self.restores[author] else 0
        parting = self._parting(author, stores) if self.rollbacks[author] else None
        for row in chain:
            theirs = own[row.number - 1]
            same = row.record == theirs.record
            if parting is not None and row.number >= parting and row[3] == theirs[3]:
                continue
            # Below lost numbers the author may have left the branch unseen (R21).
            if row.number > unproven and not (same and row.head == theirs.head):
                self.fail(f"{reader} holds {row.number} of {author} otherwise than its author")
        for row in own:
            serial = Serial(row.incarnation, row.number)
            if _within(row.number, lost) and not (
                self.restores[reader] and serial in self.held[reader]
            ):
                self.fail(f"{serial} of {author} is lost at {reader}, which never held it")
        self._aside(author, stores, on_disk, lost)

    def _unproven(self, author: str, lost: Sequence[tuple[int, int]]) -> int:
        """Up to this number an author who went back may have left the branch unseen (R21)."""
        return lost[-1][1] if lost and self.restores[author] else 0

    def _aside(
        self,
        author: str,
        stores: dict[str, MemoryStore],
        on_disk: set[Serial],
        lost: list[tuple[int, int]],
    ) -> None:
        reader = self.other(author)
        rows = stores[reader].arrivals(LINE, 0, ALL, side=THEIRS)
        serials = [Serial(row.incarnation, row.number) for row in rows]
        unproven = self._unproven(author, lost)
        twice = len(set(serials)) != len(serials) and not self.rollbacks[author]
        if twice or len({row.record for row in rows}) != len(rows):
            self.fail(f"{reader} holds something of {author} twice")
        texts = {row.record for row in rows}
        for row in stores[author].arrivals(LINE, 0, ALL, side=OURS):
            # An ACK names serials: of one given twice, one text can pass for the other (R24, R25).
            given = self.rollbacks[author] and Serial(row.incarnation, row.number) in serials
            if row.record not in texts and not given and not _within(row.number, lost):
                self.fail(f"{reader} does not hold what {author} has as {row.number}")
        for row, serial in zip(rows, serials, strict=True):
            on_chain = serial in on_disk and not _within(row.number, lost)
            if row.standing == ABANDONED and on_chain and row.number > unproven:
                self.fail(f"{reader} holds {serial} aside, which is on {author}'s chain")
        for serial in self.texts[author].keys() - on_disk:
            if not self.restores[author]:
                self.fail(f"{author} has lost its own {serial}")
            held = serial in self.held[reader] and not self.restores[reader]
            if held and serial not in serials:
                self.fail(f"{reader} has lost {serial}, which it held")
        for serial in self.released[author]:
            if serial not in on_disk and not self.restores[author]:
                self.fail(f"{author} released {serial} and has lost it")

    def _digest(self, name: str, store: MemoryStore) -> str:
        own = _genesis(store, own=True)
        theirs = _genesis(store, own=False)
        for row in store.chain(LINE, OURS, 1, ALL):
            own = row.head or own
        for row in store.chain(LINE, THEIRS, 1, ALL):
            theirs = row.head or theirs
        heads = own + theirs if _first(store) else theirs + own
        line_id = _label(_kit(store), b"line")[:16]
        return sha256(b"openline/1 digest" + line_id + heads).hexdigest()


def _kit(store: MemoryStore) -> bytes:
    return store.state(LINE)["kit"][1:]


def _first(store: MemoryStore) -> bool:
    own = Identity.decode(store.state(0)["identity"]).card
    return sha256(own).digest() < sha256(store.state(LINE)["card"]).digest()


def _genesis(store: MemoryStore, *, own: bool) -> bytes:
    direction = 1 if _first(store) == own else 2
    return _label(_kit(store), b"chain", bytes((direction,)))


def _lost(store: MemoryStore) -> list[tuple[int, int]]:
    return [tuple(pair) for pair in json.loads(store.state(LINE)["line"])["peer"][4]]


def _within(number: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(first <= number <= last for first, last in ranges)


def _brief(numbers: Sequence[int]) -> str:
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{first}-{last}" for first, last in ranges)
