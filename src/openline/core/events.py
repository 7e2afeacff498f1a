"""The plain values that everything speaks of: an instant, a serial, a reference."""

from __future__ import annotations

from typing import NamedTuple


class Now(NamedTuple):
    """An instant: monotonic `mono_ms` decides, unix time `wall_s` only labels."""

    mono_ms: int
    wall_s: int


class Serial(NamedTuple):
    """(incarnation, number) of a record, given at release; unique for its author for ever."""

    incarnation: int
    number: int

    def __str__(self) -> str:
        return f"{self.number}.{self.incarnation:06x}"


class Reference(NamedTuple):
    """A record named by another: `ours` from the point of view of the author of the reference."""

    ours: bool
    serial: Serial
