"""Chains and the digest: how two sides know that they hold the same record (docs/protocol.md §7).

Theory of operation: every author's records form one hash chain; the digest binds a point of both.
`Ledger` is what the line may ask of and put into the durable record; the post implements it over
its store and the batch of the step, so that a record that came earlier in the same step is seen. No
state lives here.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import NamedTuple, Protocol

from .envelope import Record
from .events import Serial

OURS = 0
THEIRS = 1


class Ledger(Protocol):
    """The durable record of one line, as the line sees it within a step."""

    def get(self, side: int, serial: Serial) -> bytes | None:
        """The bytes held for a serial (its first text)."""

    def head(self, side: int, number: int) -> bytes | None:
        """The head after `number` on the branch followed, if held."""

    def following(self, side: int, number: int) -> Iterator[tuple[Serial, bytes]]:
        """Records on the branch numbered above `number`, ascending."""

    def variants(self, side: int, serial: Serial) -> list[bytes]:
        """The other texts (forks) held for a serial."""

    def put(
        self, side: int, record: Record, data: bytes, head: bytes | None, standing: int
    ) -> None:
        """Keep a record; standing is CHAINED, ABANDONED or FORKED."""

    def rehead(self, side: int, serial: Serial, head: bytes | None, standing: int) -> None:
        """Set head and standing of a record held."""


CHAINED = 0
ABANDONED = 1
FORKED = 2


def next_head(head: bytes, data: bytes) -> bytes:
    """The chain head after a record: H(head ‖ record)."""
    return sha256(head + data).digest()


class Segment(NamedTuple):
    """Numbers from `first` on belong to `incarnation`, until the next segment."""

    incarnation: int
    first: int


class Branch(list[Segment]):
    """Segments in rising order: which incarnation each number belongs to, as far back as known."""

    def find(self, incarnation: int) -> int | None:
        """The index of an incarnation, searched from the newest."""
        newest_first = reversed(range(len(self)))
        return next((at for at in newest_first if self[at].incarnation == incarnation), None)

    def end(self, at: int, highest: int) -> int:
        """The last number of segment `at`; `highest` for the one still going."""
        return self[at + 1].first - 1 if at + 1 < len(self) else highest

    def serial(self, number: int) -> Serial:
        """The serial of a number; incarnation 0 if it lies before all that is known."""
        found = (s.incarnation for s in reversed(self) if s.first <= number)
        return Serial(next(found, 0), number)
