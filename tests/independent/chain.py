"""One author's chain, as the other side follows it (§7): the branch, heads, digest.

Purpose: take records in any order and tell which stand in the chain, which wait, which are
abandoned. The branch is what the BEGIN last taken says it is; heads and the contiguous number are
worked out anew from it after each record, which is slow and plain. Keys, frames, and whatever
goes by a clock (how often a BEGIN may abandon much, or is answered) do not live here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .frames import Kind, Record, read_begin, read_record
from .wire import RefusedError, need, sha256

JUMP_MAX = 1_048_576
GAPS_MAX = 512
PAIRS_ABOVE_MAX = 256

Branch = Sequence[tuple[int, int]]


@dataclass
class Chain:
    """The reader's copy of a chain, from `start`, its head(0), on.

    `records` maps (incarnation, number) to bytes, on the chain or off it. `branch` is the branch
    followed, pairs of an incarnation and its first number; `known` are the incarnations on it or
    on one that was left; `floors` maps those whose BEGIN was taken to floor and head(floor).
    `losses` are first, last and the head given for the last of numbers lost here. Worked out:
    `heads` as far as known, and `contiguous`.
    """

    start: bytes
    records: dict[tuple[int, int], bytes] = field(default_factory=dict)
    branch: tuple[tuple[int, int], ...] = ()
    known: frozenset[int] = frozenset()
    floors: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    losses: tuple[tuple[int, int, bytes], ...] = ()
    heads: dict[int, bytes] = field(default_factory=dict)
    contiguous: int = 0

    def __post_init__(self) -> None:
        """head(0) is always known."""
        self._settle()

    @property
    def abandoned(self) -> list[tuple[int, int]]:
        """The serials held that are off the chain, in order."""
        return sorted(serial for serial in self.records if not self._stands(serial))

    @property
    def lost(self) -> list[tuple[int, int]]:
        """The first and last of the numbers lost here; losses that touch are one."""
        joined: list[tuple[int, int]] = []
        for first, last, _ in self.losses:
            touches = bool(joined) and joined[-1][1] == first - 1
            joined.append((joined.pop()[0] if touches else first, last))
        return joined

    @property
    def differs(self) -> bool:
        """Whether a head(floor) of a BEGIN taken and still followed is not one's own."""
        said = [self.floors[inc] for inc, _ in self.branch if inc in self.floors]
        return any(self.heads.get(floor, head) != head for floor, head in said)

    def incarnation_at(self, number: int) -> int:
        """Return the incarnation that a number of the chain belongs to, 0 if none."""
        return named_at(self.branch, number)

    def _is_lost(self, number: int) -> bool:
        return any(first <= number <= last for first, last, _ in self.losses)

    def _stands(self, serial: tuple[int, int]) -> bool:
        return self.incarnation_at(serial[1]) == serial[0] and not self._is_lost(serial[1])

    def take(self, data: bytes) -> str:
        """Take a record; return what became of it.

        `taken`: contiguous. `held`: waits for numbers below. `late`: was given up as lost.
        `duplicate`, `fork` (R24), `abandoned` (R21, R22), `not-taken` (R22). Raises
        RefusedError for what is malformed, or beyond R21 or R26 (`serial-jump`, `gaps`).
        """
        record = read_record(data)
        serial = (record.incarnation, record.number)
        if serial in self.records:
            return "duplicate" if self.records[serial] == data else "fork"
        if record.incarnation not in self.known:
            if record.kind != Kind.BEGIN:
                return "not-taken"
            self._begin(record, data)
        elif not self._stands(serial):
            on_branch = self.incarnation_at(record.number) == record.incarnation
            self.records[serial] = data
            return "late" if on_branch else "abandoned"
        else:
            self._bounds(record.number)
            self.records[serial] = data
            self._settle()
        return "held" if record.number > self.contiguous else "taken"

    def _begin(self, record: Record, data: bytes) -> None:
        """R21: follow a BEGIN of an unknown incarnation, or refuse it and change nothing."""
        begin, inc, number = read_begin(record), record.incarnation, record.number
        former = (self.branch, self.losses)
        # The path is empty only at number 1, below which there is nothing.
        path_first = begin.path[0][1] if begin.path else 1
        below = tuple(pair for pair in self.branch if pair[1] < path_first)
        self.branch = (*below, *begin.path, (inc, number))
        # A loss that the change reaches ends in a number of the branch left: the head given for
        # it says nothing here, so all of it is missing again, unless this floor gives it up too.
        change = first_difference(former[0], self.branch)
        self.losses = tuple(loss for loss in self.losses if loss[1] < change)
        self._settle()
        if self.contiguous < begin.floor:
            self.losses += ((self.contiguous + 1, begin.floor, begin.head),)
            self._settle()
        try:
            above = [first for _, first in self.branch if first > self.contiguous]
            need(len(above) <= PAIRS_ABOVE_MAX, "gaps")
            self._bounds(number)
        except RefusedError:
            self.branch, self.losses = former
            self._settle()
            raise
        self.known |= {incarnation for incarnation, _ in self.branch}
        self.floors[inc] = (begin.floor, begin.head)
        self.records[inc, number] = data
        self._settle()

    def _settle(self) -> None:
        """Work out heads and contiguous anew: records of the branch, and losses jumped over."""
        jumps = {first: (last, head) for first, last, head in self.losses}
        self.heads, number = {0: self.start}, 0
        while True:
            serial = (self.incarnation_at(number + 1), number + 1)
            if number + 1 in jumps:
                number, self.heads[number] = jumps[number + 1]
            elif serial in self.records:
                number += 1
                self.heads[number] = sha256(self.heads[number - 1], self.records[serial])
            else:
                break
        self.contiguous = number

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


def named_at(branch: Branch, number: int) -> int:
    """Return the incarnation that a branch gives a number to, 0 if it does not reach so far."""
    return next((inc for inc, first in reversed(branch) if first <= number), 0)


def first_difference(old: Branch, new: Branch) -> int:
    """Return the lowest number that two branches give to different incarnations.

    A new branch that agrees where the old one began, and names numbers below, only tells more.
    """
    began = old[0][1] if old else 1
    lowest = began if named_at(old, began) == named_at(new, began) else 1
    # Either branch changes only at the first number of a pair: nothing lies between to look at.
    firsts = {first for _, first in (*old, *new)}
    differing = [n for n in firsts if n >= lowest and named_at(old, n) != named_at(new, n)]
    return min(differing)


def digest(line_id: bytes, first_head: bytes, second_head: bytes) -> bytes:
    """Return the 32 bytes of the digest over a head of either party's chain; first party first."""
    return sha256(b"openline/1 digest", line_id, first_head, second_head)
