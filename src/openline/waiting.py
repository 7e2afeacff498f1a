"""What waits for people here: texts of the other sides that nobody of ours has opened.

Theory of operation: a text waits until somebody says that it was opened, shown to the principal,
declined, or answered for now with a holding reply. What this gives are places and times, never
texts, so that a board which all may see can show it. Nothing here changes anything.
"""

from __future__ import annotations

from typing import Any

from . import display, dtg
from .core import receipts
from .core.envelope import decode_record
from .core.events import Serial
from .store.base import THEIRS, Row, Store

WAITING_MAX = 1_000
"""Most that is listed: who has more waiting has another concern than their order."""

_HANDLED = (receipts.OPENED, receipts.SHOWN, receipts.DECLINED, receipts.HOLDING)


def waiting(store: Store, after: int = 0) -> dict[str, Any]:
    """{"messages": […], "after": n}: the oldest first, at most WAITING_MAX.

    Pass the "after" of the last answer: nothing that came before it waits any more, so that a long
    record costs nothing.
    """
    rows = store.unmarked(after, WAITING_MAX, side=THEIRS, kind=receipts.TEXT, marks=_HANDLED)
    newest = store.arrivals(None, after, 1, newest=True)
    reached = rows[0].arrival - 1 if rows else newest[0].arrival if newest else after
    return {"messages": [_view(row) for row in rows], "after": reached}


def _view(row: Row) -> dict[str, Any]:
    record = decode_record(row.record)
    return {
        "line": row.line,
        "serial": str(Serial(row.incarnation, row.number)),
        "number": row.number,
        "incarnation": row.incarnation,
        "precedence": record.precedence.name,
        "arrived": display.moment(row.wall_s),
        "arrived_s": row.wall_s,
        "due": display.moment(record.due_s),
        "due_s": record.due_s,
        "due_group": None if record.due_s is None else dtg.group(record.due_s),
    }
