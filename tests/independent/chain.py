"""One author's chain, as the other side follows it (§7): branches, heads, digest.

Purpose: take records in any order and tell which stand in the chain, which wait, which are
abandoned. What waits for a missing number is held; what no branch explains is not taken (R22).
Keys, frames and acknowledgement timers do not live here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .frames import Begin, Kind, Record, read_begin, read_record
from .wire import need, sha256

JUMP_MAX = 1_048_576
GAPS_MAX = 512


@dataclass
class Chain:
    """The reader's copy of a chain, from head(0) on.

    `branch` lists the incarnations followed, each with the number of its first record; `left` holds
    those once followed and left altogether; `held` maps a number on the branch to its record;
    `heads` a number to head(number), as far as contiguous. `differs` tells that a head(floor) was
    not one's own.
    """

    start: bytes
    branch: list[tuple[int, int]] = field(default_factory=list)
    held: dict[int, bytes] = field(default_factory=dict)
    heads: dict[int, bytes] = field(default_factory=dict)
    abandoned: dict[tuple[int, int], bytes] = field(default_factory=dict)
    left: set[int] = field(default_factory=set)
    lost: list[tuple[int, int]] = field(default_factory=list)
    contiguous: int = 0
    differs: bool = False

    def __post_init__(self) -> None:
        """head(0) is always known."""
        self.heads.setdefault(0, self.start)

    def take(self, data: bytes) -> str:
        """Take a record; return what became of it.

        `taken`: contiguous. `held`: waits for numbers below. `late`: was given up as lost.
        `duplicate`, `fork` (R24), `abandoned` (R21, R22), `not-taken` (R22). Raises
        RefusedError for what is malformed, or beyond R26 (`serial-jump`, `gaps`).
        """
        record = read_record(data)
        serial = (record.incarnation, record.number)
        known = self._at(serial)
        if known is not None:
            return "duplicate" if known == data else "fork"
        if record.kind == Kind.BEGIN:
            return self._begin(record, data)
        last = 0 if record.incarnation in self.left else self._last_of(record.incarnation)
        if last is None:
            return "not-taken"
        if record.number > last:
            self.abandoned[serial] = data
            return "abandoned"
        return self._hold(record.number, data)

    def _at(self, serial: tuple[int, int]) -> bytes | None:
        """The bytes held for a serial, on the branch or off it."""
        if serial in self.abandoned:
            return self.abandoned[serial]
        if self.incarnation_at(serial[1]) == serial[0]:
            return self.held.get(serial[1])
        return None

    def incarnation_at(self, number: int) -> int:
        """Return the incarnation that a number on the branch belongs to, 0 if none."""
        return next((inc for inc, first in reversed(self.branch) if first <= number), 0)

    def _last_of(self, incarnation: int) -> int | None:
        """The last number an incarnation reaches on the branch; None if it is not on it."""
        for place, (known, _) in enumerate(self.branch):
            if known == incarnation:
                later = self.branch[place + 1 :]
                return later[0][1] - 1 if later else 2**62
        return None

    def _hold(self, number: int, data: bytes) -> str:
        need(number - self.contiguous <= JUMP_MAX, "serial-jump")
        above = {n for n in self.held if n > self.contiguous} | {number}
        need(sum(n - 1 not in above | {self.contiguous} for n in above) <= GAPS_MAX, "gaps")
        self.held[number] = data
        if number <= self.contiguous:
            return "late"
        self._advance()
        return "taken" if number <= self.contiguous else "held"

    def _advance(self) -> None:
        while (following := self.contiguous + 1) in self.held:
            self.heads[following] = sha256(self.heads[self.contiguous], self.held[following])
            self.contiguous = following

    def _begin(self, record: Record, data: bytes) -> str:
        """R21: take a BEGIN that follows the branch, or whose floor lies above what is held."""
        begin, number = read_begin(record.body), record.number
        last = 0 if begin.previous == 0 else self._last_of(begin.previous)
        beyond = begin.floor > self.contiguous
        if last is None and not beyond:
            return "not-taken"
        if last is None:
            self._abandon_from(begin.floor + 1)
            self.branch.append((begin.previous, begin.floor + 1))
        if begin.previous and self.incarnation_at(number - 1) not in (begin.previous, 0):
            self.abandoned[(record.incarnation, number)] = data
            return "abandoned"
        self._abandon_from(number)
        self.branch.append((record.incarnation, number))
        self._floor(begin)
        return self._hold(number, data)

    def _abandon_from(self, number: int) -> None:
        """Take off the chain what the branch holds at `number` and above."""
        for place in sorted(n for n in self.held if n >= number):
            self.abandoned[(self.incarnation_at(place), place)] = self.held.pop(place)
        self.heads = {n: head for n, head in self.heads.items() if n < number}
        self.left |= {inc for inc, first in self.branch if first >= number}
        self.branch = [(inc, first) for inc, first in self.branch if first < number]
        self.contiguous = min(self.contiguous, number - 1)

    def _floor(self, begin: Begin) -> None:
        """Go on from the author's floor, or check that it is one's own."""
        if self.contiguous < begin.floor:
            self.lost += _missing(self.held, self.contiguous + 1, begin.floor)
            self.heads[begin.floor] = begin.head
            self.contiguous = begin.floor
            self._advance()
        elif self.heads.get(begin.floor, begin.head) != begin.head:
            self.differs = True

    def head(self, incarnation: int, number: int) -> bytes:
        """Return head(number) of the branch followed; refuses `not-held`."""
        need(number == 0 or self.incarnation_at(number) == incarnation, "not-held")
        need(number in self.heads, "not-held")
        return self.heads[number]


def _missing(held: dict[int, bytes], first: int, last: int) -> list[tuple[int, int]]:
    """The ranges between first and last, both within, of which no record is held."""
    found: list[tuple[int, int]] = []
    for number in range(first, last + 1):
        if number in held:
            continue
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def digest(line_id: bytes, first_head: bytes, second_head: bytes) -> bytes:
    """Return the 32 bytes of the digest over a head of either party's chain; first party first."""
    return sha256(b"openline/1 digest", line_id, first_head, second_head)
