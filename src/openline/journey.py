"""When each text of ours was first given to each bearer, and when the other machine first said that
it holds it, as our own people may see it.

Theory of operation: these are marks on the record (store.base.Mark) of kinds that no wire carries:
one of SENT for each bearer, one of HELD. They gather in memory and go with the batch that is
committed next for another reason, so that they cost no commit of their own: an ACK that moves the
acknowledged number is such a reason, and its mark is durable with it. What was sent and followed by
no commit is lost in a crash; the text is then sent again, and has the time of that. A mark holds
numbers only, so the names of bearers stand in one table of the line. Nothing here decides what is
sent, and nothing here leaves the post.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from . import display, dtg
from .core.events import Serial
from .store.base import OURS, Batch, Mark, Row

SENT = 270
"""Mark.kind: at `wall_s` the text, or its first piece, was given to the bearer `by_number`."""
HELD = 271
"""Mark.kind: at `wall_s` an ACK of the other machine named the text."""

STATE = "journey"
"""The name of the table of bearers in the state of a line."""

BEARERS_MAX = 64
"""Names of bearers a line remembers; what goes over others has no time."""

TEXTS_MAX = 4_096
"""Texts whose marks wait for a commit; of more, the times are not known."""


class Journey:
    """The times of one line, and those of them that are not on disk yet."""

    def __init__(self, line: int, saved: bytes | None) -> None:
        self._line = line
        self._names: list[str] = json.loads(saved) if saved else []
        self._named = False
        """Whether names came that are not on disk."""
        self._marks: dict[Serial, list[Mark]] = {}
        self._written = False

    def note(self, steps: list[tuple[Serial, str]], wall_s: int) -> None:
        """Take what happened: a text and the bearer that took it, or "" if an ACK named it."""
        for serial, bearer in steps:
            if bearer:
                self.sent(serial, bearer, wall_s)
            else:
                self.held(serial, wall_s)
        steps.clear()

    def sent(self, serial: Serial, bearer: str, wall_s: int) -> None:
        """A text was given to a bearer."""
        if bearer not in self._names:
            if len(self._names) >= BEARERS_MAX:
                return
            self._names.append(bearer)
            self._named = True
        self._note(serial, SENT, wall_s, self._names.index(bearer))

    def held(self, serial: Serial, wall_s: int) -> None:
        """An ACK has named a text."""
        self._note(serial, HELD, wall_s, 0)

    def _note(self, serial: Serial, kind: int, wall_s: int, by: int) -> None:
        if serial in self._marks or len(self._marks) < TEXTS_MAX:
            place = (self._line, OURS, serial.number, serial.incarnation)
            self._marks.setdefault(serial, []).append(Mark(*place, kind, wall_s, None, by))

    def write(self, batch: Batch) -> None:
        """Add what waits to a batch that is committed anyway."""
        if self._named:
            batch.state[self._line, STATE] = json.dumps(self._names).encode()
        for marks in self._marks.values():
            batch.marks += marks
        self._written = True

    def settle(self) -> None:
        """The step is over and durable: what was written waits no more."""
        if self._written:
            self._marks.clear()
            self._named = self._written = False

    def resume(self, before: Journey) -> None:
        """Go on after a commit that failed: what was sent was sent; an ACK comes again."""
        for serial, marks in before._marks.items():
            for mark in marks:
                if mark.kind == SENT:
                    self.sent(serial, before._names[mark.by_number], mark.wall_s)

    def view(self, row: Row, marks: Sequence[Mark]) -> dict[str, Any]:
        """What the marks of a record say, and those that wait, as JSON; of theirs, nothing."""
        waiting = self._marks.get(Serial(row.incarnation, row.number), ())
        known = [*marks, *waiting] if row.side == OURS else []
        held_s = next((mark.wall_s for mark in known if mark.kind == HELD), None)
        return {
            "sent": list(self._sent(known)),
            "held": display.moment(held_s),
            "held_group": None if held_s is None else dtg.group(held_s),
        }

    def _sent(self, known: Sequence[Mark]) -> Iterator[dict[str, Any]]:
        """The first time over each bearer, in order."""
        first: dict[int, int] = {}
        for mark in known:
            if mark.kind == SENT and mark.by_number < len(self._names):
                first.setdefault(mark.by_number, mark.wall_s)
        for name, wall_s in sorted(first.items(), key=lambda each: each[1]):
            at, group = display.moment(wall_s), dtg.group(wall_s)
            yield {"bearer": self._names[name], "at": at, "at_group": group}
