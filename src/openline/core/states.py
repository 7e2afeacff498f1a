"""Transition tables: what may become of a record, of a run and of a line, as data.

Theory of operation: each machine is a table (state, event) → state. Code that changes such a state
goes through `Machine.next`, which knows no other way, so a table is the whole truth about its
machine; `./dev diagrams` draws docs/states.md from it, and the simulator demands that every row is
taken. A pair that is not in the table is a fault of Openline itself (InvariantError): remote input
is judged before it becomes an event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

from ..errors import InvariantError


class Inbound(Enum):
    """A number of the other side's chain, as we hold it."""

    MISSING = "missing"
    WAITING = "waiting"
    CHAINED = "chained"
    LOST = "lost"
    ABANDONED = "abandoned"


class Sending(Enum):
    """A run of ours."""

    OPENING = "opening"
    CONFIRMED = "confirmed"
    ENDED = "ended"


class Event(Enum):
    """What moves the machines."""

    SEND = "send"
    LOSE = "lose"
    ACK = "ack"
    REFUSE = "refuse"
    FORGET = "forget"
    ARRIVE_NEXT = "arrive next"
    ARRIVE_AHEAD = "arrive ahead"
    ARRIVE_ASIDE = "arrive aside"
    GAP_FILLED = "gap filled"
    DIFFER = "differ"
    BRANCH_LEFT = "branch left"
    SKIP = "skip"
    CONFIRM = "confirm"
    REPLACE = "replace"


S = TypeVar("S", bound=Enum)
MACHINES: list[Machine[Any]] = []
"""Every machine there is, in the order their modules are loaded."""


class Machine(Generic[S]):
    """A transition table with a count of how often each row was taken."""

    def __init__(self, name: str, table: Mapping[tuple[S, Event], S]) -> None:
        self.name = name
        self.table = table
        self.hits: Counter[tuple[S, Event]] = Counter()
        MACHINES.append(self)

    def next(self, state: S, event: Event) -> S:
        """The state after `event`; raises InvariantError for a pair that is not in the table."""
        after = self.table.get((state, event))
        if after is None:
            raise InvariantError(
                "states.transition", machine=self.name, state=state.value, event=event.value
            )
        self.hits[state, event] += 1
        return after


INBOUND = Machine(
    "inbound",
    {
        (Inbound.MISSING, Event.ARRIVE_NEXT): Inbound.CHAINED,
        (Inbound.MISSING, Event.ARRIVE_AHEAD): Inbound.WAITING,
        (Inbound.MISSING, Event.ARRIVE_ASIDE): Inbound.ABANDONED,
        (Inbound.MISSING, Event.SKIP): Inbound.LOST,
        (Inbound.LOST, Event.ARRIVE_ASIDE): Inbound.ABANDONED,
        (Inbound.WAITING, Event.GAP_FILLED): Inbound.CHAINED,
        (Inbound.WAITING, Event.DIFFER): Inbound.WAITING,
        (Inbound.WAITING, Event.BRANCH_LEFT): Inbound.ABANDONED,
        (Inbound.CHAINED, Event.DIFFER): Inbound.CHAINED,
        (Inbound.CHAINED, Event.BRANCH_LEFT): Inbound.ABANDONED,
        (Inbound.ABANDONED, Event.ARRIVE_NEXT): Inbound.CHAINED,
        (Inbound.ABANDONED, Event.ARRIVE_AHEAD): Inbound.WAITING,
    },
)
"""DIFFER: another text for a serial held; BRANCH_LEFT: a BEGIN continues from before it; SKIP: a
BEGIN's floor passes over it."""

SENDING = Machine(
    "sending",
    {
        (Sending.OPENING, Event.CONFIRM): Sending.CONFIRMED,
        (Sending.OPENING, Event.REPLACE): Sending.ENDED,
        (Sending.CONFIRMED, Event.REPLACE): Sending.ENDED,
    },
)
"""A run is replaced by a newer one confirmed (R12), or given up because the other side cannot read
it (R11)."""
