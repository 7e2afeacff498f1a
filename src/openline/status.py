"""What a post says of itself: frozen views of its lines, and the events that logs and live displays
follow.

Theory of operation: plain values made by post.py, read by views.py, the runner and the simulator.
Nothing here holds text of messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from .bearers.base import Mailbox
from .comparison import Comparison
from .core import receipts
from .core.events import Serial
from .core.gaps import Range, RangeSet
from .delivery.explain import BearerStatus
from .healing.exchange import HealingStatus
from .journey import STATE as JOURNEY
from .journey import Journey

__all__ = [
    "KIND_NAMES",
    "BearerStatus",
    "Channel",
    "Comparison",
    "HealingStatus",
    "LineStatus",
    "Mailboxes",
    "PostEvent",
    "missing",
]

KIND_NAMES = {
    receipts.TEXT: "text",
    receipts.FILE: "file",
    receipts.CHUNK: "chunk",
    receipts.DELIVERED: "delivered",
    receipts.OPENED: "opened",
    receipts.SHOWN: "shown",
    receipts.DECLINED: "declined",
    receipts.HOLDING: "holding",
    receipts.BEGIN: "begin",
    receipts.FORK: "fork",
    receipts.OFFER: "offer",
    receipts.ANSWER: "answer",
    receipts.HEAL: "heal",
    receipts.COPY: "copy",
    receipts.CLOSE: "close",
    receipts.SUCCEED: "succeed",
}
"""Stable names of kinds, for listings; wording lives in the catalogues."""


def missing(held: RangeSet, after: int) -> Iterator[Range]:
    """The gaps above `after` and below the highest number held, ascending."""
    expected = after + 1
    for first, last in held:
        if first > expected:
            yield expected, first - 1
        expected = max(expected, last + 1)


class PostEvent(NamedTuple):
    """Something that happened on a line; `values` are numbers and codes, never text."""

    name: str
    line: int
    values: dict[str, object]


class Channel(NamedTuple):
    """What a connection-oriented bearer needs to know the other end: key `bk`, and our sending
    direction."""

    bk: bytes
    direction: int


class Mailboxes(NamedTuple):
    """The mailboxes of a line: those taken from, the one deposited to, and the recovery one."""

    take: Sequence[Mailbox]
    deposit: Mailbox
    recovery: Mailbox


@dataclass(frozen=True)
class LineStatus:
    """A line as it stands. Times are unix seconds where the name ends in _s."""

    line: int
    label: str
    state: str
    """"new", "opening", "open", "revoked"; "successor" before it takes over, "closing" after
    another has taken over from it, "retired" when that is done."""
    tape: bool
    own_number: int = 0
    acked_number: int = 0
    outbox: int = 0
    peer_number: int = 0
    peer_highest: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)
    bearers: dict[str, BearerStatus] = field(default_factory=dict)
    heard_s: int | None = None
    alarm: bool = False
    flood: bool = False
    full: bool = False
    """Whether our disk takes nothing now but what is urgent."""
    faults: dict[str, int] = field(default_factory=dict)
    forks: int = 0
    differs_at: int | None = None
    refused: list[tuple[Serial, int]] = field(default_factory=list)
    underway: dict[int, list[str]] = field(default_factory=dict)
    """Numbers of ours that are on the wire, each with the bearers it is on."""
    comparison: Comparison | None = None
    healing: HealingStatus | None = None
    files: Mapping[tuple[int, Serial], int] = field(default_factory=dict)
    """(side, serial of the FILE) → chunks held, of each file that is on its way."""
    beyond: list[Range] = field(default_factory=list)
    """What of ours the other machine holds beyond acked_number."""
    missed: list[Range] = field(default_factory=list)
    """What of ours the other machine held, says it has lost, and asks for."""
    own_serial: Serial | None = None
    """The newest of ours that the other machine holds with all before it."""
    peer_serial: Serial | None = None
    """The newest of theirs that we hold with all before it."""
    digest: str = ""
    """Hex digest of the record at (own_serial, peer_serial); "" if there is none yet."""
    succeeds: int | None = None
    """The line it takes over from, or took over from."""
    again: frozenset[int] = frozenset()
    """Numbers of ours that were released again on another line, for the other side does not say
    that it holds them."""
    journey: Journey | None = None
    """When its texts were sent and held."""
    peer_version: int | None = None
    """The highest protocol version the other side said it speaks; None if it said nothing yet."""


def ended_line(number: int, state: Mapping[str, bytes], how: str) -> LineStatus:
    """What is left to say of a line that was revoked or retired, from what is kept of it."""
    status = LineStatus(number, state["label"].decode(), how, tape=False)
    status = replace(status, journey=Journey(number, state.get(JOURNEY)))
    if "line" not in state:  # which a backup does not hold
        return status
    line = json.loads(state["line"])
    own, acked = line["own"][0], line["own"][3]
    if how == "retired":
        # All of ours is held there, or was released again on the line after it.
        acked = own
    peer = line["peer"][0][0]
    return replace(status, own_number=own, acked_number=acked, peer_number=peer, peer_highest=peer)
