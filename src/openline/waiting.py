"""What waits for people: texts of the other sides that nobody of ours has opened, answers due on
either side, and drafts that wait for a releaser.

Theory of operation: a text waits until somebody says that it was opened, shown to the principal,
declined, or answered for now with a holding reply (unopened.py); when an answer is due stands in
replies.py. What this gives are places, counts and times, never texts, so that a board which all may
see can show it. Nothing here changes anything.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

from . import display, dtg
from .core.events import Serial
from .core.precedence import Precedence
from .drafts import Drafts
from .replies import Clock, Replies
from .store.base import OURS, THEIRS
from .unopened import Text, Unopened

WAITING_MAX = 1_000
"""Most texts that are listed; counted are all."""
DUE_MAX = 100
"""Answers due that are listed, the soonest."""

_SIDES = {OURS: "ours", THEIRS: "theirs"}


class Answerable(Protocol):
    """What this asks of a post."""

    replies: Replies
    unopened: Unopened

    @property
    def drafts(self) -> Drafts:
        """What is under way."""


def waiting(post: Answerable, limit: int = WAITING_MAX) -> dict[str, Any]:
    """{"messages": […], "flashes": […], "counts": […], "replies": […], "complete": …, "drafts": …}:
    at most `limit` texts, the most urgent first; the newest FLASH of each line; how many texts
    there are by line and precedence; the answers due soonest first, at most DUE_MAX.

    While "complete" is false, part of the record is still to be looked through: ask again.
    """
    read = post.unopened.look()
    clocks, complete = post.replies.look(DUE_MAX)
    counts = sorted(post.unopened.counts().items(), reverse=True)
    return {
        "messages": [_view(text) for text in post.unopened.texts(limit)],
        "flashes": [_place(text) for text in post.unopened.flashes()],
        "counts": [
            {"line": line, "precedence": precedence.name, "count": count}
            for (line, precedence), count in counts
        ],
        "replies": [_due(clock) for clock in clocks],
        "complete": read and complete,
        "drafts": _in_review(post),
    }


def _serial(number: int, incarnation: int) -> dict[str, Any]:
    serial = str(Serial(incarnation, number))
    return {"serial": serial, "number": number, "incarnation": incarnation}


def _moments(due_s: int | None) -> dict[str, Any]:
    group = None if due_s is None else dtg.group(due_s)
    return {"due": display.moment(due_s), "due_s": due_s, "due_group": group}


def _place(text: Text) -> dict[str, Any]:
    return {"line": text.line, **_serial(text.serial.number, text.serial.incarnation)}


def _view(text: Text) -> dict[str, Any]:
    return {
        **_place(text),
        "precedence": text.precedence.name,
        "arrived": display.moment(text.arrived_s),
        "arrived_s": text.arrived_s,
        **_moments(text.due_s),
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
