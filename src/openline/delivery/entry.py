"""One record on its way to the other machine, and the states it passes through.

Theory of operation: an entry knows on which bearers it is, by a flight for each; the outbox moves
it from state to state and decides. Only numbers and sizes live here, never bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ..core.events import Serial
from ..core.precedence import Precedence
from ..core.states import Event, Machine
from .channel import BULK, Flight

FLASH = Precedence.FLASH.value
"""The rank of FLASH."""
BEGIN = FLASH + 1
"""The rank of a BEGIN."""


class Outbound(Enum):
    """A record of ours on its way to the other machine."""

    QUEUED = "queued"
    SENT = "sent"
    HELD = "held"
    REFUSED = "refused"


OUTBOUND = Machine(
    "outbound",
    {
        (Outbound.QUEUED, Event.SEND): Outbound.SENT,
        (Outbound.QUEUED, Event.ACK): Outbound.HELD,
        (Outbound.SENT, Event.SEND): Outbound.SENT,
        (Outbound.SENT, Event.LOSE): Outbound.QUEUED,
        (Outbound.SENT, Event.ACK): Outbound.HELD,
        (Outbound.SENT, Event.REFUSE): Outbound.REFUSED,
        (Outbound.QUEUED, Event.REFUSE): Outbound.REFUSED,
        (Outbound.REFUSED, Event.ACK): Outbound.HELD,
        (Outbound.HELD, Event.FORGET): Outbound.QUEUED,
    },
)
"""FORGET: the other side lost what it held. LOSE: on every bearer it was on a timer ran out, the
bearer reported its death, or an ACK named it missing."""


@dataclass(slots=True)
class Entry:
    """One record on its way."""

    serial: Serial
    rank: int
    """Its precedence; one above FLASH for a BEGIN, before which nothing of its process is taken,
    one below ROUTINE for a chunk of a file."""
    size: int
    text: bool
    """Whether it is what a person wrote."""
    state: Outbound = Outbound.QUEUED
    repeated: bool = False
    """Whether it was lost once; then all but a chunk goes over every bearer, so that none which
    delivers nothing can keep it from the others."""
    forgotten: bool = False
    """Whether the other side held it and may have lost it: that it holds it still, said before we
    send it again, is no news and answers nothing."""
    flights: dict[str, Flight] = field(default_factory=dict)
    """By bearer: the last time it was given to it."""

    @property
    def bulk(self) -> bool:
        """Whether it is part of a file, for which nothing else waits."""
        return self.rank == BULK

    @property
    def everywhere(self) -> bool:
        """Whether it goes over every bearer at once."""
        return self.rank >= FLASH or (self.repeated and not self.bulk)

    def on(self, bearer: str) -> Flight | None:
        """Its flight on a bearer, if it is there now."""
        flight = self.flights.get(bearer)
        return flight if flight is not None and flight.live else None

    def bearers(self) -> list[str]:
        """The bearers it is on now."""
        return [name for name, flight in self.flights.items() if flight.live]
