"""What goes into a step of the post and what comes out: plain values, no behaviour.

Theory of operation: the runner (or the simulator) gathers inputs, `Post.step` takes them as one batch with one commit, and gives one
result for each. Nothing here imports anything but the precedence table.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .precedence import Precedence


class Now(NamedTuple):
    """An instant: `mono_ms` decides (monotonic milliseconds), `wall_s` only labels (unix seconds)."""

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


class Arrived(NamedTuple):
    """Datagrams that a bearer of a line handed in, in order of arrival. Result: None."""

    line: int
    bearer: str
    datagrams: Sequence[bytes]


class BearerUp(NamedTuple):
    """A bearer of a line can carry. Costs, times and sizes are those of its profile. Result: None."""

    line: int
    bearer: str
    mtu_bytes: int
    latency_ms: int
    retry_ms_min: int
    retry_ms_max: int
    cost: int
    padded: bool


class BearerDown(NamedTuple):
    """A bearer of a line cannot carry, with a code that says why. Result: None."""

    line: int
    bearer: str
    code: str


class Release(NamedTuple):
    """A person releases a text. Result: its Serial."""

    line: int
    actor: str
    precedence: Precedence
    language: str
    subject: str
    body: str
    dtg_s: int | None = None
    due_s: int | None = None
    references: Sequence[Reference] = ()


class Receive(NamedTuple):
    """A person of ours did something with record `serial` of the other side. Result: the Serial of the receipt, or None if it was already said.

    `kind` is one of core.receipts (DELIVERED, OPENED, SHOWN, DECLINED, HOLDING); HOLDING needs `due_s`.
    """

    line: int
    actor: str
    kind: int
    serial: Serial
    due_s: int | None = None
    note: str = ""


class Compare(NamedTuple):
    """Ask the other side whether the records agree. Result: None; the outcome appears in LineStatus.comparison."""

    line: int
    actor: str


class ClearAlarm(NamedTuple):
    """A person has checked by voice what the continuity alarm asked. Result: None."""

    line: int
    actor: str


class Revoke(NamedTuple):
    """End a line: its keys are erased, its record stays readable. Result: None."""

    line: int
    actor: str


class Initialise(NamedTuple):
    """Make the identity of an empty post. Result: its card (bytes)."""

    actor: str


class Pair(NamedTuple):
    """Pair with the other side's card. Result: the line's number.

    `tape` is the hand-carried tape, or None for cards alone (weaker); `said` are the twelve words heard from the other side.
    """

    line_label: str
    actor: str
    card: bytes
    tape: bytes | None
    said: Sequence[str]


class Tick(NamedTuple):
    """Time has passed. Result: None."""


Input = (
    Arrived
    | BearerUp
    | BearerDown
    | Release
    | Receive
    | Compare
    | ClearAlarm
    | Revoke
    | Initialise
    | Pair
    | Tick
)
