"""One author's chain, as the other side follows it (§7): incarnations, heads, digest.

Purpose: take records in any order and tell which stand in the chain, which wait, which are
abandoned. Each incarnation hangs where its BEGIN says it goes on; the branch followed is the
path to the BEGIN last taken. Everything else is worked out anew from that after each record,
which is slow and plain. Keys, frames and the timing of acknowledgements do not live here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .frames import Begin, Kind, Record, read_begin, read_record
from .wire import RefusedError, need, sha256

JUMP_MAX = 1_048_576
GAPS_MAX = 512
ENDLESS = 2**62


@dataclass
class Chain:
    """The reader's copy of a chain, from `start`, its head(0), on.

    `records` maps (incarnation, number) to bytes, on the chain or off it; `late` are the serials
    among them that waited or came when their numbers had been given up. `tree` maps an
    incarnation to its first number and the incarnation before it; `floors` to floor and
    head(floor), if its BEGIN is held;
    `tip` is the incarnation of the BEGIN last taken. Worked out: `path`, the incarnations of the
    chain with the first and last number of each, newest first; `heads` as far as known;
    `contiguous`; `lost`; and `differs`, that a head(floor) was not one's own.
    """

    start: bytes
    records: dict[tuple[int, int], bytes] = field(default_factory=dict)
    late: set[tuple[int, int]] = field(default_factory=set)
    tree: dict[int, tuple[int, int]] = field(default_factory=dict)
    floors: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    tip: int = 0
    path: list[tuple[int, int, int]] = field(default_factory=list)
    heads: dict[int, bytes] = field(default_factory=dict)
    contiguous: int = 0
    lost: list[tuple[int, int]] = field(default_factory=list)
    differs: bool = False

    def __post_init__(self) -> None:
        """head(0) is always known."""
        self._settle()

    @property
    def abandoned(self) -> list[tuple[int, int]]:
        """The serials held that are off the chain, in order."""
        return sorted(serial for serial in self.records if not self._stands(serial))

    def _stands(self, serial: tuple[int, int]) -> bool:
        return self.incarnation_at(serial[1]) == serial[0] and serial not in self.late

    def take(self, data: bytes) -> str:
        """Take a record; return what became of it.

        `taken`: contiguous. `held`: waits for numbers below. `late`: was given up as lost.
        `duplicate`, `fork` (R24), `abandoned` (R21, R22), `not-taken` (R22). Raises
        RefusedError for what is malformed, or beyond R26 (`serial-jump`, `gaps`).
        """
        record = read_record(data)
        serial = (record.incarnation, record.number)
        if serial in self.records:
            return self._again(serial, data)
        former = (dict(self.tree), dict(self.floors), self.tip, set(self.late))
        before, path = self.contiguous, list(self.path)
        if not (self._begin(record) if record.kind == Kind.BEGIN else serial[0] in self.tree):
            return "not-taken"
        if self.incarnation_at(record.number) != record.incarnation:
            self.records[serial] = data
            return "abandoned"
        try:
            self._bounds(record.number)
        except RefusedError:
            self.tree, self.floors, self.tip, self.late = former
            self._settle()
            raise
        self.records[serial] = data
        if path == self.path and record.number <= before:
            self.late.add(serial)
            return "late"
        self.late = {kept for kept in self.late if kept[1] <= self.contiguous}
        self._settle()
        return "held" if record.number > self.contiguous else "taken"

    def _again(self, serial: tuple[int, int], data: bytes) -> str:
        return "duplicate" if self.records[serial] == data else "fork"

    def incarnation_at(self, number: int) -> int:
        """Return the incarnation that a number of the chain belongs to, 0 if none."""
        return next((inc for inc, first, last in self.path if first <= number <= last), 0)

    def _begin(self, record: Record) -> bool:
        """Hang a BEGIN into the tree, if R21 lets it be taken; tell whether it was."""
        begin, inc, number = read_begin(record.body), record.incarnation, record.number
        known = inc in self.tree
        if known:
            self._between(inc, number, begin)
        elif begin.previous == 0 or begin.previous in self.tree:
            first, _ = self.tree.get(begin.previous, (0, 0))
            if first >= number or (begin.previous == 0 and number != 1):
                return False
            self.tree[inc] = (number, begin.previous)
        elif begin.floor > self.contiguous and begin.previous != inc:
            below = self.incarnation_at(begin.floor)
            if begin.floor + 1 < number:
                self.tree[begin.previous] = (begin.floor + 1, below)
                below = begin.previous
            self.tree[inc] = (number, below)
        else:
            return False
        if not known:
            self.tip = inc
        self.floors.setdefault(inc, (begin.floor, begin.head))
        self._settle()
        return True

    def _between(self, inc: int, number: int, begin: Begin) -> None:
        """A BEGIN of an incarnation known from a later one: it moves the boundary to itself."""
        first, below = self.tree[inc]
        on = incarnations_of(self.path)
        if inc not in on or not self.contiguous < first < number:
            return
        if begin.previous not in self.tree:
            self.tree[begin.previous] = (first, below)
            below = begin.previous
        self.tree[inc] = (number, below)

    def _settle(self) -> None:
        """Work out path, heads, contiguous, lost and differs anew."""
        self.path = self._walk()
        floors = [self.floors[inc] for inc, _, _ in self.path if inc in self.floors]
        self.heads, self.lost, self.differs = {0: self.start}, [], False
        number = 0
        while True:
            serial = (self.incarnation_at(number + 1), number + 1)
            if serial in self.records and serial not in self.late:
                number += 1
                self.heads[number] = sha256(self.heads[number - 1], self.records[serial])
                continue
            above = [given for given in floors if given[0] > number]
            if not above:
                break
            floor, head = min(above, key=lambda given: given[0])
            self.late |= {s for s in self.records if self._stands(s) and number < s[1] <= floor}
            first = self.lost.pop()[0] if self.lost and self.lost[-1][1] == number else number + 1
            self.lost.append((first, floor))
            number = floor
            self.heads[floor] = head
        self.contiguous = number
        self.differs = any(self.heads.get(f, head) != head for f, head in floors)

    def _walk(self) -> list[tuple[int, int, int]]:
        """Walk from the tip to the root of what is known."""
        path: list[tuple[int, int, int]] = []
        inc, last = self.tip, ENDLESS
        while inc:
            first, below = self.tree[inc]
            path.append((inc, first, last))
            inc, last = below, first - 1
        return path

    def _bounds(self, number: int) -> None:
        """R26: how far ahead, and how many gaps."""
        need(number - self.contiguous <= JUMP_MAX, "serial-jump")
        on = {serial[1] for serial in self.records if self._stands(serial)} | {number}
        ahead = {n for n in on if n > self.contiguous}
        gaps = sum(n - 1 not in on and n - 1 != self.contiguous for n in ahead)
        need(gaps <= GAPS_MAX, "gaps")

    def head(self, incarnation: int, number: int) -> bytes:
        """Return head(number) of the chain; refuses `not-held`."""
        need(number == 0 or self.incarnation_at(number) == incarnation, "not-held")
        need(number in self.heads, "not-held")
        return self.heads[number]


def incarnations_of(path: list[tuple[int, int, int]]) -> set[int]:
    """The incarnations on a path."""
    return {inc for inc, _, _ in path}


def digest(line_id: bytes, first_head: bytes, second_head: bytes) -> bytes:
    """Return the 32 bytes of the digest over a head of either party's chain; first party first."""
    return sha256(b"openline/1 digest", line_id, first_head, second_head)
