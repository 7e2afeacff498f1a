"""The in-tray: what waits for our people, over all lines, most urgent first.

Theory of operation: what nobody has opened and what we have not answered though an answer is due
(`waiting`), as messages a reader may see (`views`), by precedence and then by when the answer is
due. Built on demand, never kept; only as many as a page shows are read. Nothing here changes
anything.
"""

from __future__ import annotations

from typing import Any

from .core.events import Now, Serial
from .core.precedence import Precedence
from .listing import Page
from .store.base import THEIRS, Store
from .views import PostFace, View, message
from .waiting import waiting

_NEVER_S = 1 << 62


def pending(store: Store, post: PostFace, now: Now, *, limit: int = 100) -> View:
    """{"messages": […], "count": n, "complete": …}: the most urgent of `count`, at most `limit`.

    A message has besides "unopened", and as "awaited" when our answer is due, which is later than
    its "due" if a holding reply promised so ("promised").
    """
    found = waiting(post)
    items: dict[tuple[int, str], dict[str, Any]] = {
        _key(each): {**each, "unopened": True, "promised": False} for each in found["messages"]
    }
    for each in found["replies"]:
        if each["side"] == "theirs":
            items[_key(each)] = {**each, "unopened": _key(each) in items}
    page = Page(limit)
    for each in sorted(items.values(), key=_urgency):
        if page.full:
            break
        page.add(_shown(store, post, now, each))
    return {
        "messages": page.entries,
        "count": len(items),
        "complete": found["complete"],
    }


def _key(each: View) -> tuple[int, str]:
    return each["line"], each["serial"]


def _urgency(each: View) -> tuple[int, int]:
    due_s = each["due_s"]
    return -Precedence[each["precedence"]], _NEVER_S if due_s is None else due_s


def _shown(store: Store, post: PostFace, now: Now, each: View) -> View:
    serial = Serial(each["incarnation"], each["number"])
    told = message(store, post, each["line"], THEIRS, serial, now)
    awaited = {
        "awaited": each["due"],
        "awaited_s": each["due_s"],
        "awaited_group": each["due_group"],
    }
    return {**told, **awaited, "unopened": each["unopened"], "promised": each["promised"]}
