"""Who drafted and who released each message of ours, and who said what of each of theirs, as our
own people may see it.

Theory of operation: these are marks on the record (store.base.Mark) of kinds that no wire carries:
one of DRAFTED for each writer, one of RELEASED; on a text of theirs one of RECEIVED for each thing
that was said of it. A mark holds numbers only, so people stand in one
table of the post, and a mark names their places in it. Nothing of this leaves the post: towards the
other side the post has spoken, not a person.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from . import display, dtg
from .core.events import Now, Serial
from .inputs import Receive, Release
from .store.base import OURS, THEIRS, Batch, Mark

DRAFTED = 256
"""Mark.kind: `by_number` wrote what was released, at `wall_s`. Kinds on the wire end at 255."""
RELEASED = 257
"""Mark.kind: `by_number` released it at `wall_s`; `by_incarnation` is 1 if who wrote the text that
was released is who released it, so that nobody else has seen it."""

RECEIVED = 258
"""Mark.kind: `by_number` said at `wall_s` what a receipt of kind `by_incarnation` says."""

STATE = "actors"
"""The name of the table in the state of line 0."""


def by_one(given: Release) -> bool:
    """Whether one person wrote and releases a text."""
    return given.reviewed is None or given.reviewed.writer == given.actor


class Authorship:
    """The table of people and the marks made with it."""

    def __init__(self, saved: bytes | None) -> None:
        self._actors: list[str] = json.loads(saved) if saved else []

    def note(self, batch: Batch, line: int, serial: Serial, given: Release, now: Now) -> None:
        """Mark a message that is released in this step."""
        place = (line, OURS, serial.number, serial.incarnation)
        alone = int(by_one(given))
        reviewed = given.reviewed
        if reviewed is not None:
            for writer in reviewed.writers:
                by = self._place(batch, writer)
                batch.marks.append(Mark(*place, DRAFTED, reviewed.written_s, None, by))
        by = self._place(batch, given.actor)
        batch.marks.append(Mark(*place, RELEASED, now.wall_s, None, by, alone))

    def note_receipt(self, batch: Batch, given: Receive, now: Now) -> None:
        """Mark a text of theirs of which somebody says something in this step."""
        place = (given.line, THEIRS, given.serial.number, given.serial.incarnation)
        by = self._place(batch, given.actor)
        batch.marks.append(Mark(*place, RECEIVED, now.wall_s, given.due_s, by, given.kind))

    def by_whom(self, marks: Sequence[Mark], receipt: Mark) -> str | None:
        """Who of ours said what a receipt among these marks says; None if it is not known."""
        said = [m for m in marks if (m.kind, m.by_incarnation) == (RECEIVED, receipt.kind)]
        at_once = [mark for mark in said if mark.wall_s == receipt.wall_s]
        return self._actors[(at_once or said)[-1].by_number] if said else None

    def _place(self, batch: Batch, actor: str) -> int:
        if actor not in self._actors:
            self._actors.append(actor)
            batch.state[0, STATE] = json.dumps(self._actors).encode()
        return self._actors.index(actor)

    def view(self, marks: Sequence[Mark]) -> dict[str, Any] | None:
        """What marks say, as JSON; None for a message nobody here released, or long ago."""
        drafted = [mark for mark in marks if mark.kind == DRAFTED]
        for mark in marks:
            if mark.kind == RELEASED:
                by = self._actors[mark.by_number]
                drafted_s = drafted[0].wall_s if drafted else mark.wall_s
                return {
                    "drafted_by": [self._actors[each.by_number] for each in drafted] or [by],
                    "drafted": display.moment(drafted_s),
                    "drafted_group": dtg.group(drafted_s),
                    "released_by": by,
                    "released": display.moment(mark.wall_s),
                    "released_group": dtg.group(mark.wall_s),
                    "one_person": mark.by_incarnation == 1,
                }
        return None
