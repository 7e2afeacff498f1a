"""One author's chain, as the other side follows it (§7): incarnations, heads, digest.

Purpose: take records in any order and tell which stand in the chain, which wait, which are
abandoned. Each BEGIN hangs where it says it goes on; the branch followed is the path to
the BEGIN last taken. Everything else is worked out anew from that after each record, which
is slow and plain. Keys, frames and the timing of acknowledgements do not live here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

from .frames import Begin, Kind, Record, read_begin, read_record
from .wire import RefusedError, need, sha256

JUMP_MAX = 1_048_576
GAPS_MAX = 512
ENDLESS = 2**62


@dataclass
class Chain:
    """The reader's copy of a chain, from `start`, its head(0), on.

    `records` maps (incarnation, number) to bytes, on the chain or off it; `begins` an incarnation
    to the number and body of its BEGIN; `tip` is the incarnation of the BEGIN last taken. Worked
    out: `path`, the incarnations of the chain with the first and last number of each; `heads` as
    far as known; `contiguous`; `lost`; and `differs`, that a head(floor) was not one's own.
    """

    start: bytes
    records: dict[tuple[int, int], bytes] = field(default_factory=dict)
    begins: dict[int, tuple[int, Begin]] = field(default_factory=dict)
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
        return sorted(s for s in self.records if self.incarnation_at(s[1]) != s[0])

    def take(self, data: bytes) -> str:
        """Take a record; return what became of it.

        `taken`: contiguous. `held`: waits for numbers below. `late`: was given up as lost.
        `duplicate`, `fork` (R24), `abandoned` (R21, R22), `not-taken` (R22). Raises
        RefusedError for what is malformed, or beyond R26 (`serial-jump`, `gaps`).
        """
        record = read_record(data)
        serial = (record.incarnation, record.number)
        if serial in self.records:
            return "duplicate" if self.records[serial] == data else "fork"
        tree = (dict(self.begins), self.tip)
        if not (self._begin(record) if record.kind == Kind.BEGIN else self._known(serial[0])):
            return "not-taken"
        before = self.contiguous
        if self.incarnation_at(record.number) != record.incarnation:
            self.records[serial] = data
            return "abandoned"
        try:
            self._bounds(record.number)
        except RefusedError:
            self.begins, self.tip = tree
            self._settle()
            raise
        self.records[serial] = data
        self._settle()
        if record.number > self.contiguous:
            return "held"
        return "late" if record.number <= before else "taken"

    def _known(self, incarnation: int) -> bool:
        return incarnation in self.begins or any(incarnation == inc for inc, _, _ in self.path)

    def incarnation_at(self, number: int) -> int:
        """Return the incarnation that a number of the chain belongs to, 0 if none."""
        return next((inc for inc, first, last in self.path if first <= number <= last), 0)

    def _begin(self, record: Record) -> bool:
        """Hang a BEGIN into the tree, if R21 lets it be taken; tell whether it was."""
        begin, inc = read_begin(record.body), record.incarnation
        place = self.incarnation_at(record.number - 1)
        if self._known(inc):
            taken = inc not in self.begins and self.incarnation_at(record.number) == inc
        elif begin.previous == 0:
            taken = record.number == 1
        else:
            taken = self._known(begin.previous) or begin.floor > self.contiguous
        above = begin.previous in self.begins and self.begins[begin.previous][0] >= record.number
        if above or not taken:
            return False
        if not self._known(inc) and (not self._known(begin.previous) or place == begin.previous):
            self.tip = inc
        self.begins[inc] = (record.number, begin)
        self._settle()
        return True

    def _settle(self) -> None:
        """Work out path, heads, contiguous, lost and differs anew."""
        self.path, floors = self._walk()
        self.heads, self.lost, self.differs = {0: self.start}, [], False
        number = 0
        while True:
            serial = (self.incarnation_at(number + 1), number + 1)
            if serial in self.records:
                number += 1
                self.heads[number] = sha256(self.heads[number - 1], self.records[serial])
                continue
            above = [given for given in floors if given[0] > number]
            if not above:
                break
            floor, head = min(above, key=lambda given: given[0])
            self.lost += self._missing(number + 1, floor)
            number = floor
            self.heads[floor] = head
        self.contiguous = number
        self.differs = any(self.heads.get(f, head) != head for f, head in floors)

    def _walk(self) -> tuple[list[tuple[int, int, int]], list[tuple[int, bytes]]]:
        """Walk from the tip to the root of what is known; also return the floors on the way,
        newest first, each with its head."""
        path: list[tuple[int, int, int]] = []
        floors: list[tuple[int, bytes]] = []
        inc, last = self.tip, ENDLESS
        while inc in self.begins and self.begins[inc][0] <= last:
            first, begin = self.begins[inc]
            path.append((inc, first, last))
            floors.append((begin.floor, begin.head))
            inc, last = begin.previous, first - 1
        if inc:
            path.append((inc, max(floor for floor, _ in floors) + 1, last))
        return path, floors

    def _missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """The ranges from first to last, both within, of which no record is held."""
        on = sorted(n for inc, n in self.records if self.incarnation_at(n) == inc)
        edges = [first - 1, *(n for n in on if first <= n <= last), last + 1]
        return [(low + 1, high - 1) for low, high in pairwise(edges) if high - low > 1]

    def _bounds(self, number: int) -> None:
        """R26: how far ahead, and how many gaps."""
        need(number - self.contiguous <= JUMP_MAX, "serial-jump")
        on = {n for inc, n in self.records if self.incarnation_at(n) == inc} | {number}
        ahead = {n for n in on if n > self.contiguous}
        gaps = sum(n - 1 not in on and n - 1 != self.contiguous for n in ahead)
        need(gaps <= GAPS_MAX, "gaps")

    def head(self, incarnation: int, number: int) -> bytes:
        """Return head(number) of the chain; refuses `not-held`."""
        need(number == 0 or self.incarnation_at(number) == incarnation, "not-held")
        need(number in self.heads, "not-held")
        return self.heads[number]


def digest(line_id: bytes, first_head: bytes, second_head: bytes) -> bytes:
    """Return the 32 bytes of the digest over a head of either party's chain; first party first."""
    return sha256(b"openline/1 digest", line_id, first_head, second_head)
