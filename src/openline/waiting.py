"""What waits for people: texts of the other sides that nobody of ours has opened, answers due on
either side, and drafts that wait for a releaser.

Theory of operation: a text waits until somebody says that it was opened, shown to the principal,
declined, or answered for now with a holding reply; when an answer is due stands in replies.py.
What this gives are places, counts and times, never texts, so that a board which all may see can
show it. Nothing here changes anything.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

from . import display, dtg
from .core import receipts
from .core.envelope import decode_record
from .core.events import Serial
from .core.precedence import Precedence
from .drafts import Drafts
from .replies import Clock, Replies
from .store.base import OURS, THEIRS, Row, Store

WAITING_MAX = 1_000
"""Most that is listed: who has more waiting has another concern than their order."""
DUE_MAX = 100
"""Answers due that are listed, the soonest."""

_HANDLED = (receipts.OPENED, receipts.SHOWN, receipts.DECLINED, receipts.HOLDING)
_SIDES = {OURS: "ours", THEIRS: "theirs"}


class Answerable(Protocol):
    """What this asks of a post."""

    replies: Replies

    @property
    def drafts(self) -> Drafts:
        """What is under way."""


def waiting(store: Store, post: Answerable, after: int = 0) -> dict[str, Any]:
    """{"messages": […], "after": n, "replies": […], "complete": …, "drafts": […]}: the oldest
    message first, at most WAITING_MAX; the answers due soonest first, at most DUE_MAX.

    Pass the "after" of the last answer: nothing that came before it waits any more, so that a long
    record costs nothing. While "complete" is false, part of the record is still to be looked
    through for answers due: ask again.
    """
    rows = store.unmarked(after, WAITING_MAX, side=THEIRS, kind=receipts.TEXT, marks=_HANDLED)
    newest = store.arrivals(None, after, 1, newest=True)
    reached = rows[0].arrival - 1 if rows else newest[0].arrival if newest else after
    clocks, complete = post.replies.look(DUE_MAX)
    return {
        "messages": [_view(row) for row in rows],
        "after": reached,
        "replies": [_due(clock) for clock in clocks],
        "complete": complete,
        "drafts": _in_review(post),
    }


def _serial(number: int, incarnation: int) -> dict[str, Any]:
    serial = str(Serial(incarnation, number))
    return {"serial": serial, "number": number, "incarnation": incarnation}


def _moments(due_s: int | None) -> dict[str, Any]:
    group = None if due_s is None else dtg.group(due_s)
    return {"due": display.moment(due_s), "due_s": due_s, "due_group": group}


def _view(row: Row) -> dict[str, Any]:
    record = decode_record(row.record)
    return {
        "line": row.line,
        **_serial(row.number, row.incarnation),
        "precedence": record.precedence.name,
        "arrived": display.moment(row.wall_s),
        "arrived_s": row.wall_s,
        **_moments(record.due_s),
    }


def _due(clock: Clock) -> dict[str, Any]:
    """An answer due: to a text of theirs by us, or to one of ours by them."""
    return {
        "line": clock.line,
        "side": _SIDES[clock.side],
        **_serial(clock.serial.number, clock.serial.incarnation),
        "precedence": Precedence(clock.precedence).name,
        **_moments(clock.due_s),
        "promised": clock.promised,
    }


def _in_review(post: Answerable) -> list[dict[str, Any]]:
    """How many drafts wait for a releaser, by line and precedence."""
    counts = Counter(
        (draft.line, draft.latest.content.precedence) for draft in post.drafts.in_review()
    )
    return [
        {"line": line, "precedence": precedence.name, "count": count}
        for (line, precedence), count in sorted(counts.items(), reverse=True)
    ]
