"""The verbs with which a desk reads: their arguments, and the answer that each means.

Theory of operation: as in verbs.py, whose tables take these in. Arguments, by verb:

    pending     [limit]
    thread      line number [incarnation] [side]
    search      [line] [words] [side] [precedence] [from_s] [until_s] [at] [limit] [latest]
                (words: all of them must be said; at: the "next" of the answer before; latest: begin
                with the last texts of the line)
    address     line
    address_set line text       (forms of address to be shown to those who write on the line)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import inputs
from .addressing import address
from .arguments import Args, count, get
from .core.events import Now
from .errors import LocalError
from .naming import line_in, place_in, precedence_in
from .pending import pending
from .searching import WORDS_CHARS_MAX, Sieve, latest, sift, words
from .store.base import Store
from .threads import thread
from .views import SIDES, PostFace

LIMIT_MAX = 200
"""Most messages of one answer."""


def _limit(args: Args, default: int) -> int:
    return min(count(args, "limit", default), LIMIT_MAX)


def _side(args: Args, default: str) -> int | None:
    side = get(args, "side", str, default)
    if side and side not in SIDES:
        raise LocalError("control.argument", name="side")
    return SIDES.index(side) if side else None


def _pending(store: Store, post: PostFace, args: Args, now: Now) -> Any:
    return pending(store, post, now, limit=_limit(args, 100))


def _thread(store: Store, post: PostFace, args: Args, now: Now) -> Any:
    side = _side(args, "theirs") or 0
    line, serial = place_in(store, post, side, args)
    return thread(store, post, line, side, serial, now)


def _search(store: Store, post: PostFace, args: Args, now: Now) -> Any:
    named = args.get("line") is not None
    lines = sorted(post.named(post.label(line_in(post, args))) if named else post.lines())
    said = get(args, "words", str, "")
    if len(said) > WORDS_CHARS_MAX:
        raise LocalError("search.words", most=WORDS_CHARS_MAX)
    sieve = Sieve(
        words(said),
        _side(args, ""),
        precedence_in(args) if args.get("precedence") else None,
        get(args, "from_s", int, None),
        get(args, "until_s", int, None),
    )
    at, limit = _at(args), _limit(args, 50)
    if get(args, "latest", bool, False):
        at = latest(store, post, line_in(post, args), now, limit)
    return sift(store, post, lines, sieve, now, at=at, limit=limit)


def _at(args: Args) -> tuple[int, int, int]:
    said = get(args, "at", list, [0, 0, 0])
    if len(said) != 3 or not all(type(each) is int and 0 <= each < 1 << 62 for each in said):
        raise LocalError("control.argument", name="at")
    line, ours, theirs = said
    return line, ours, theirs


def _address(store: Store, post: PostFace, args: Args, _now: Now) -> Any:
    return {"text": address(store, post.label(line_in(post, args)))}


READINGS: dict[str, Callable[[Store, PostFace, Args, Now], Any]] = {
    "pending": _pending,
    "thread": _thread,
    "search": _search,
    "address": _address,
}
"""Verbs that only read."""


def _set_address(_store: Store, post: PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.SetAddress(line_in(post, args), actor, get(args, "text", str))


ACTS: dict[str, Callable[[Store, PostFace, str, Args], inputs.Input]] = {
    "address_set": _set_address,
}
"""Verbs that change something."""
