"""What goes into a step of the post: plain values, no behaviour.

Theory of operation: the runner (or the simulator) gathers inputs, `Post.step` takes them as one
batch with one commit, and gives one result for each; each input says what its result is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .bearers.base import BearerProfile
from .core.events import Reference, Serial
from .core.precedence import Precedence


class Arrived(NamedTuple):
    """Datagrams that a bearer of a line handed in, in order of arrival. Result: None."""

    line: int
    bearer: str
    datagrams: Sequence[bytes]


class BearerUp(NamedTuple):
    """A bearer of a line can carry, and what it declares of itself. Result: None."""

    line: int
    bearer: str
    profile: BearerProfile


class BearerDown(NamedTuple):
    """A bearer of a line cannot carry, with a code that says why. Result: None."""

    line: int
    bearer: str
    code: str
    actor: str = ""
    """Who paused it, if somebody did."""


class BearerGone(NamedTuple):
    """A bearer of a line is there no more. Result: None."""

    line: int
    bearer: str


class TryBearer(NamedTuple):
    """Send something small over one bearer alone. Result: None; the event "tested" with
    `took_ms` says that it was answered over the same bearer."""

    line: int
    actor: str
    bearer: str


class Operate(NamedTuple):
    """An operator does something beside the record, which is to stand in the audit log before it is
    done: `act` with `details` that are numbers, names of bearers and codes. Result: None."""

    actor: str
    act: str
    details: Mapping[str, object]


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
    """A person of ours did something with record `serial` of the other side. Result: the Serial of
    the receipt, or None if it was already said.

    `kind` is one of core.receipts (DELIVERED, OPENED, SHOWN, DECLINED, HOLDING); HOLDING needs
    `due_s`.
    """

    line: int
    actor: str
    kind: int
    serial: Serial
    due_s: int | None = None
    note: str = ""


class Compare(NamedTuple):
    """Ask the other side whether the records agree. Result: None; the outcome appears in
    LineStatus.comparison."""

    line: int
    actor: str


class ClearAlarm(NamedTuple):
    """A person has checked by voice what the continuity alarm asked. Result: None."""

    line: int
    actor: str


class HealAsk(NamedTuple):
    """A releaser asks the other side for what is lost here. Result: the Serial of the HEAL."""

    line: int
    actor: str


class HealGive(NamedTuple):
    """A releaser lets the other side have what it asked for last. Result: None; it is given bit by
    bit, LineStatus.healing says how far."""

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

    `tape` is the hand-carried tape, or None for cards alone (weaker); `said` are the twelve words
    heard from the other side.
    """

    line_label: str
    actor: str
    card: bytes
    tape: bytes | None
    said: Sequence[str]
    replaces: int | None = None
    """The line whose place it takes; then `line_label` says nothing, for the name stays."""


class Rotate(NamedTuple):
    """Make a new card for pairings to come. Result: None."""

    actor: str


class Pages(NamedTuple):
    """How many pages of a tape were burned or added."""

    number: int


class BurnPages(NamedTuple):
    """Erase pages of a line's tape that may have been seen, and the reserve page if so said.
    Result: Pages."""

    line: int
    actor: str
    pages: Sequence[int]
    reserve: bool = False


class AddTape(NamedTuple):
    """Give a line the pages of another tape. Result: Pages, those that are new."""

    line: int
    actor: str
    tape: bytes


class BackUp(NamedTuple):
    """Back up the kit of the post. Result: the file (bytes).

    `wrapping` and `key` are of backup.Wrapping, so that no passphrase comes near the post; `config`
    is the text of post.toml to go with it.
    """

    actor: str
    wrapping: bytes
    key: bytes
    config: str


class Tick(NamedTuple):
    """Time has passed. Result: None."""


Input = (
    Arrived
    | BearerUp
    | BearerDown
    | BearerGone
    | TryBearer
    | Operate
    | Release
    | Receive
    | Compare
    | ClearAlarm
    | HealAsk
    | HealGive
    | Revoke
    | Initialise
    | Pair
    | BackUp
    | Rotate
    | BurnPages
    | AddTape
    | Tick
)
