"""The thread of a message: what it refers to, and what was said in reference to it.

Theory of operation: backwards by references, forwards by reading what came after it, for as far as
one question may read; both over all lines that bear the label. Built on demand, never kept. What
of a message a reader gets is decided in views.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from itertools import islice

from .core import receipts
from .core.envelope import decode_record
from .core.events import Now, Serial
from .listing import Page
from .store.base import CHAINED, Row, Store
from .views import PostFace, View, message

THREAD_MAX = 50
"""Messages before, and messages after."""
LOOKED_MAX = 2_000
"""Records after the message that are looked through."""

_Place = tuple[int, Serial]
"""(side, serial) of a record on any line of the label."""


def thread(store: Store, post: PostFace, line: int, side: int, serial: Serial, now: Now) -> View:
    """{"before": […], "after": […], "answer": … or None, "complete": …}, messages in the order they
    came. "answer" is the first of the other side that refers to it; "complete" says whether all
    that came after it was looked through and is here. Raises LocalError("message.unknown").
    """
    first = message(store, post, line, side, serial, now)
    lines = post.named(post.label(line))
    start = store.row(line, side, serial.number, serial.incarnation)
    if start is None:
        return {"before": [], "after": [], "answer": None, "complete": True}
    before = sorted(_before(store, lines, start), key=lambda row: row.arrival)
    later = _later(store, lines, start.arrival)
    after = [*islice(_after(later, (side, serial)), THREAD_MAX)]

    def shown(row: Row) -> View:
        place = row.side, Serial(row.incarnation, row.number)
        return message(store, post, row.line, *place, now)

    page = Page()
    for row in (*before, *after):
        if page.full:
            break
        page.add(shown(row))
    answers = [row for row in after if row.side != side and (side, serial) in _named(row)]
    whole = len(page.entries) == len(before) + len(after)
    return {
        "before": page.entries[: len(before)],
        "message": first,
        "after": page.entries[len(before) :],
        "answer": shown(answers[0]) if answers else None,
        "complete": whole and len(later) < LOOKED_MAX and len(after) < THREAD_MAX,
    }


def _named(row: Row) -> list[_Place]:
    """What a record refers to."""
    return [
        (row.side if same_side else 1 - row.side, serial)
        for same_side, serial in decode_record(row.record).references
    ]


def _before(store: Store, lines: list[int], start: Row) -> list[Row]:
    """What a record refers to, what that refers to, and so on."""
    found: dict[_Place, Row] = {}
    ahead = _named(start)
    while ahead and len(found) < THREAD_MAX:
        side, serial = ahead.pop(0)
        rows = (store.row(n, side, serial.number, serial.incarnation) for n in lines[::-1])
        row = next((row for row in rows if row is not None), None)
        if row is not None and (side, serial) not in found:
            found[side, serial] = row
            ahead += _named(row)
    return [*found.values()]


def _later(store: Store, lines: list[int], arrival: int) -> list[Row]:
    """The texts after an arrival."""
    pages = (store.arrivals(n, arrival, LOOKED_MAX, kinds=[receipts.TEXT]) for n in lines)
    return [*islice(merge(*pages, key=lambda row: row.arrival), LOOKED_MAX)]


def _after(later: list[Row], start: _Place) -> Iterator[Row]:
    """Those of the later records that refer to the message, or to one that does."""
    places = {start}
    for row in later:
        if row.standing == CHAINED and not places.isdisjoint(_named(row)):
            places.add((row.side, Serial(row.incarnation, row.number)))
            yield row
