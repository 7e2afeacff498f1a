"""The verbs of the control socket, without the socket: what they ask, do and answer.

Theory of operation: a verb is either a reading (answered from store and post at once) or an act
(turned into an input of `Post.step`, whose result is then put into JSON). The daemon serves them on
its socket; a command that finds no daemon opens the post itself and uses the same functions, so
that both ways mean the same, are checked the same and enter the same audit log. Arguments come from
a process of our own side, but are checked all the same: a wrong one is
LocalError("control.argument"). No socket, no clock, no wording lives here.

Arguments, by verb (`line` is a label; `number` and `incarnation` name a record, `incarnation` may
be left out where unique):

    send        line text [precedence] [language] [subject] [dtg_s] [due_s]
                [references: list of {ours, number, [incarnation]}]
    receipt     line number [incarnation] kind ("opened" …) [due_s] [note]
    compare     line            clear_alarm line            revoke line
    heal_ask    line            heal_give line              heal_status line
    backup      wrapping (hex) key (hex) [config]
    pair        label card (hex) [tape (hex)] words (12 strings)
    inbox       [line] [limit] [all]
    show        line [side] number [incarnation]
    lines       -               status -                    card -
    transcript  line [ours] [theirs] [limit] [raw]          off_chain line
    anchors     line            audit [after] [limit]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from . import inputs, views
from .backup import KEY_BYTES, WRAPPING_BYTES
from .clock import Now
from .core import receipts
from .core.events import Reference, Serial
from .core.precedence import Precedence
from .enrolment import words
from .errors import LocalError, OpenlineError
from .status import KIND_NAMES
from .store.base import OURS, THEIRS, Store

Args = Mapping[str, Any]
"""Arguments of a verb, as read from JSON."""

LIMIT_MAX = 10_000
"""Most entries of one answer; listings are read on from where they ended."""


def _get(args: Args, name: str, kind: type, default: Any = ...) -> Any:
    value = args.get(name)
    if value is None and default is not ...:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise LocalError("control.argument", name=name)
    return value


def _count(args: Args, name: str, default: int) -> int:
    value: int = _get(args, name, int, default)
    if not 0 <= value <= 1 << 62:
        raise LocalError("control.argument", name=name)
    return value


def _line(post: views.PostFace, args: Args) -> int:
    return views.find_line(post, _get(args, "line", str))


def _serial(store: Store, line: int, side: int, args: Args) -> Serial:
    number, incarnation = _count(args, "number", 0), _get(args, "incarnation", int, None)
    return views.resolve(store, line, side, number, incarnation)


def _bytes(args: Args, name: str, default: Any = ...) -> Any:
    said = _get(args, name, str, default)
    try:
        return bytes.fromhex(said) if isinstance(said, str) else said
    except ValueError:
        raise LocalError("control.argument", name=name) from None


# -- acts ---------------------------------------------------------------------------------------


def _send(store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    line = _line(post, args)
    name = _get(args, "precedence", str, "ROUTINE").upper()
    if name not in Precedence.__members__:
        raise LocalError("control.argument", name="precedence")
    references = []
    for said in _get(args, "references", list, []):
        if not isinstance(said, dict):
            raise LocalError("control.argument", name="references")
        ours = _get(said, "ours", bool, False)
        serial = _serial(store, line, OURS if ours else THEIRS, said)
        references.append(Reference(ours, serial))
    return inputs.Release(
        line,
        actor,
        Precedence[name],
        _get(args, "language", str, ""),
        _get(args, "subject", str, ""),
        _get(args, "text", str),
        _get(args, "dtg_s", int, None),
        _get(args, "due_s", int, None),
        tuple(references),
    )


RECEIPT_KINDS = {KIND_NAMES[kind]: kind for kind in sorted(receipts.RECEIPTS)}
"""Receipts by their stable names."""


def _receipt(store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    line = _line(post, args)
    kind = RECEIPT_KINDS.get(_get(args, "kind", str))
    if kind is None:
        raise LocalError("control.argument", name="kind")
    due_s = _get(args, "due_s", int, None)
    serial = _serial(store, line, THEIRS, args)
    return inputs.Receive(line, actor, kind, serial, due_s, _get(args, "note", str, ""))


def _compare(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.Compare(_line(post, args), actor)


def _clear_alarm(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.ClearAlarm(_line(post, args), actor)


def _heal_ask(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.HealAsk(_line(post, args), actor)


def _heal_give(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.HealGive(_line(post, args), actor)


def _revoke(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.Revoke(_line(post, args), actor)


def _pair(_store: Store, _post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    said = _get(args, "words", list)
    if not all(isinstance(word, str) for word in said):
        raise LocalError("control.argument", name="words")
    tape = _bytes(args, "tape", None)
    return inputs.Pair(_get(args, "label", str), actor, _bytes(args, "card"), tape, said)


def _back_up(_store: Store, _post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    wrapping, key = _bytes(args, "wrapping"), _bytes(args, "key")
    for name, given, length in (("wrapping", wrapping, WRAPPING_BYTES), ("key", key, KEY_BYTES)):
        if len(given) != length:
            raise LocalError("control.argument", name=name)
    return inputs.BackUp(actor, wrapping, key, _get(args, "config", str, ""))


ACTS: dict[str, Callable[[Store, views.PostFace, str, Args], inputs.Input]] = {
    "send": _send,
    "receipt": _receipt,
    "compare": _compare,
    "clear_alarm": _clear_alarm,
    "heal_ask": _heal_ask,
    "heal_give": _heal_give,
    "revoke": _revoke,
    "pair": _pair,
    "backup": _back_up,
}
"""Verbs that change the record: each makes one input for `Post.step`."""


def act(store: Store, post: views.PostFace, actor: str, verb: str, args: Args) -> inputs.Input:
    """The input for `Post.step` that a verb of ACTS means; raises LocalError."""
    return ACTS[verb](store, post, actor, args)


def acted(result: object) -> views.View:
    """The answer to an act from the result of its step; raises the result if it is an error."""
    if isinstance(result, OpenlineError):
        raise result
    if isinstance(result, Serial):
        return {"serial": {"number": result.number, "incarnation": result.incarnation}}
    if isinstance(result, bytes):
        return {"sealed": result.hex()}
    return {"line": result} if isinstance(result, int) else {}


# -- readings -----------------------------------------------------------------------------------


def _inbox(store: Store, post: views.PostFace, args: Args, now: Now) -> Any:
    line = _line(post, args) if args.get("line") is not None else None
    limit = min(_count(args, "limit", 50), LIMIT_MAX)
    return views.inbox(
        store, post, line, now, limit=limit, everything=_get(args, "all", bool, False)
    )


def _show(store: Store, post: views.PostFace, args: Args, now: Now) -> Any:
    line = _line(post, args)
    side = _get(args, "side", str, "theirs")
    if side not in views.SIDES:
        raise LocalError("control.argument", name="side")
    which = views.SIDES.index(side)
    return views.message(store, post, line, which, _serial(store, line, which, args), now)


def _transcript(store: Store, post: views.PostFace, args: Args, now: Now) -> Any:
    return views.transcript(
        store,
        post,
        _line(post, args),
        now,
        ours=_count(args, "ours", 0),
        theirs=_count(args, "theirs", 0),
        limit=min(_count(args, "limit", views.PAGE), LIMIT_MAX),
        raw=_get(args, "raw", bool, False),
    )


def _off_chain(store: Store, post: views.PostFace, args: Args, now: Now) -> Any:
    return views.off_chain(store, post, _line(post, args), now)


def _lines(_store: Store, post: views.PostFace, _args: Args, now: Now) -> Any:
    return views.lines(post, now)


def _status(_store: Store, post: views.PostFace, _args: Args, now: Now) -> Any:
    return views.status(post, now)


def _healing(store: Store, post: views.PostFace, args: Args, now: Now) -> Any:
    return views.healing(store, post, _line(post, args), now)


def _audit(store: Store, _post: views.PostFace, args: Args, _now: Now) -> Any:
    limit = min(_count(args, "limit", 100), LIMIT_MAX)
    return views.audit(store, _count(args, "after", 0), limit)


def _card(_store: Store, post: views.PostFace, _args: Args, _now: Now) -> Any:
    card = post.card()
    if card is None:
        raise LocalError("post.not_initialised")
    return {"card": card.hex(), "words": list(words(card))}


def _anchors(store: Store, post: views.PostFace, args: Args, _now: Now) -> Any:
    """What both chains of a line start from."""
    return json.loads(store.state(_line(post, args))["anchors"])


READINGS: dict[str, Callable[[Store, views.PostFace, Args, Now], Any]] = {
    "inbox": _inbox,
    "show": _show,
    "lines": _lines,
    "status": _status,
    "transcript": _transcript,
    "off_chain": _off_chain,
    "heal_status": _healing,
    "audit": _audit,
    "card": _card,
    "anchors": _anchors,
}
"""Verbs that only read."""


def read(store: Store, post: views.PostFace, verb: str, args: Args, now: Now) -> Any:
    """The answer to a verb of READINGS; raises LocalError."""
    return READINGS[verb](store, post, args, now)
