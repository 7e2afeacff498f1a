"""What people may see of healing, as values ready for JSON.

Theory of operation: parts of the views that views.py makes; their keys are documented in
docs/operating/commands.md and do not change. Nothing here words anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import display, dtg
from ..core import receipts
from ..core.events import Serial
from ..store.base import THEIRS, Mark, Row, Store
from .exchange import Asked, HealingStatus

View = dict[str, Any]

_PAGE = 256


def restored(marks: Sequence[Mark]) -> View | None:
    """That a record was lost here and comes from the other side's record: when, and by which COPY;
    None if it does not."""
    for mark in marks:
        if mark.kind == receipts.COPY:
            by = str(Serial(mark.by_incarnation, mark.by_number))
            return {"at": display.moment(mark.wall_s), "at_group": dtg.group(mark.wall_s), "by": by}
    return None


def was_lost(store: Store, row: Row | None) -> bool:
    """Whether a record was restored: it then belongs where those before it are."""
    if row is None:
        return False
    return restored(store.marks(row.line, row.side, row.number, row.incarnation)) is not None


def healing(found: HealingStatus | None) -> View:
    """What either side asked of the other, and how far that is."""
    if found is None:
        return {"ours": None, "theirs": None}
    return {"ours": _asked(found.ours), "theirs": _asked(found.theirs)}


def _asked(found: Asked | None) -> View | None:
    return (
        None
        if found is None
        else {
            "serial": str(found.serial),
            "asked": display.moment(found.asked_s),
            "asked_group": dtg.group(found.asked_s),
            "wanted": found.wanted,
            "ours": found.ours,
            "theirs": found.theirs,
            "complete": found.complete,
            "agreed": found.agreed,
            "paused": found.paused or None,
            "unproven": [list(lost) for lost in found.unproven],
        }
    )


def awaits_us(shown: View) -> bool:
    """Whether the other side asks to be given back what it lost, and nobody has agreed."""
    asked = shown["theirs"]
    return asked is not None and not (asked["agreed"] or asked["complete"])


def aside(store: Store, line: int) -> int:
    """How many records of theirs we hold off the chain, all of which their request is for."""
    count, after = 0, 0
    while page := store.arrivals(line, after, _PAGE, side=THEIRS, aside=True):
        count += sum(row.variant == 0 and row.kind not in receipts.SERVICE for row in page)
        after = page[-1].arrival
    return count
