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
                [references: list of {ours, number, [incarnation]}] [files]
    receipt     line number [incarnation] kind ("opened" …) [due_s] [note]
    compare     line            clear_alarm line            revoke line
    heal_ask    line            heal_give line              heal_status line
    backup      wrapping (hex) key (hex) [config]
    pair        label card (hex) [tape (hex)] words (12 strings) [replaces: label; then no label]
    rotate      -               tape_add line tape (hex)    tape_burn line pages [reserve]
    inbox       [line] [limit] [all] [after] [reached]
    show        line [side] number [incarnation]
    lines       -               status [lines]              card -
    transcript  line [ours] [theirs] [limit] [raw]          off_chain line [after]
    anchors     line            audit [after] [limit]           voice line
    records     line            tape line                   waiting [limit]

Those about people stand in people_verbs.py, those about drafts in draft_verbs.py, those about files
in file_verbs.py, those with which a desk reads in reading_verbs.py.

Several lines bear one label after a card was rotated or a peer enrolled again: `line` means the one
in charge; `record`, the number of one of them, may be given beside it to all but send, inbox, show
and receipt.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from . import (
    audited,
    draft_verbs,
    dtg,
    file_verbs,
    inputs,
    people_verbs,
    reading,
    reading_verbs,
    tapes,
    views,
)
from .arguments import Args
from .arguments import count as _count
from .arguments import get as _get
from .arguments import octets as _bytes
from .attached import Laid
from .backup import KEY_BYTES, WRAPPING_BYTES
from .clock import Now
from .core import receipts
from .core.envelope import decode_record
from .core.events import Serial
from .enrolment import words
from .errors import LocalError, OpenlineError
from .naming import files_in, precedence_in, references_in
from .naming import line_in as _line
from .naming import place_in as _place
from .naming import record_in as _record
from .sealing.keys import Identity
from .signins import Token
from .status import KIND_NAMES
from .store.base import OURS, THEIRS, Store
from .waiting import WAITING_MAX, waiting

LIMIT_MAX = 10_000
"""Most entries of one answer; listings are read on from where they ended."""


# -- acts ---------------------------------------------------------------------------------------


def _send(store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.Release(
        _line(post, args),
        actor,
        precedence_in(args),
        _get(args, "language", str, ""),
        _get(args, "subject", str, ""),
        _get(args, "text", str),
        _get(args, "dtg_s", int, None),
        _get(args, "due_s", int, None),
        references_in(store, post, args["line"], args),
        files=files_in(args),
    )


RECEIPT_KINDS = {KIND_NAMES[kind]: kind for kind in sorted(receipts.RECEIPTS)}
"""Receipts by their stable names."""


def _receipt(store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    kind = RECEIPT_KINDS.get(_get(args, "kind", str))
    if kind is None:
        raise LocalError("control.argument", name="kind")
    due_s = _get(args, "due_s", int, None)
    line, serial = _place(store, post, THEIRS, args)
    return inputs.Receive(line, actor, kind, serial, due_s, _get(args, "note", str, ""))


def _compare(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.Compare(_record(post, args), actor)


def _clear_alarm(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.ClearAlarm(_record(post, args), actor)


def _heal_ask(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.HealAsk(_line(post, args), actor)


def _heal_give(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.HealGive(_line(post, args), actor)


def _revoke(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.Revoke(_record(post, args), actor)


def _pair(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    said = _get(args, "words", list)
    if not all(isinstance(word, str) for word in said):
        raise LocalError("control.argument", name="words")
    label, replaced = _get(args, "label", str, ""), _get(args, "replaces", str, None)
    replaces = None if replaced is None else views.find_line(post, replaced)
    card, tape = _bytes(args, "card"), _bytes(args, "tape", None)
    return inputs.Pair(label, actor, card, tape, said, replaces)


def _rotate(_store: Store, _post: views.PostFace, actor: str, _args: Args) -> inputs.Input:
    return inputs.Rotate(actor)


def _tape_burn(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    pages = _get(args, "pages", list, [])
    if not all(isinstance(page, int) and 0 <= page < 1 << 16 for page in pages):
        raise LocalError("control.argument", name="pages")
    reserve = _get(args, "reserve", bool, False)
    return inputs.BurnPages(_record(post, args), actor, tuple(set(pages)), reserve)


def _tape_add(_store: Store, post: views.PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.AddTape(_record(post, args), actor, _bytes(args, "tape"))


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
    "rotate": _rotate,
    "tape_burn": _tape_burn,
    "tape_add": _tape_add,
    **people_verbs.ACTS,
    **draft_verbs.ACTS,
    **file_verbs.ACTS,
    **reading_verbs.ACTS,
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
    if isinstance(result, inputs.Pages):
        return {"count": result.number}
    if isinstance(result, inputs.SignedOut | Token | dict):
        return people_verbs.acted(result)
    if isinstance(result, inputs.Written):
        return draft_verbs.acted(result)
    if isinstance(result, Laid):
        return file_verbs.acted(result)
    return {"line": result} if isinstance(result, int) else {}


# -- readings -----------------------------------------------------------------------------------


def _inbox(store: Store, post: views.PostFace, args: Args, now: Now) -> Any:
    line = _line(post, args) if args.get("line") is not None else None
    limit = min(_count(args, "limit", 50), LIMIT_MAX)
    return views.inbox(
        store,
        post,
        line,
        now,
        limit=limit,
        everything=_get(args, "all", bool, False),
        after=None if args.get("after") is None else _count(args, "after", 0),
        reached=_reached(args),
    )


def _reached(args: Args) -> list[tuple[int, int]]:
    """The highest number listed of each line."""
    said = _get(args, "reached", list, [])
    pairs = [each for each in said if isinstance(each, list) and len(each) == 2]
    if len(pairs) < len(said) or not all(type(one) is int for each in pairs for one in each):
        raise LocalError("control.argument", name="reached")
    return [(line, number) for line, number in pairs]


def _show(store: Store, post: views.PostFace, args: Args, now: Now) -> Any:
    side = _get(args, "side", str, "theirs")
    if side not in views.SIDES:
        raise LocalError("control.argument", name="side")
    which = views.SIDES.index(side)
    line, serial = _place(store, post, which, args)
    return views.message(store, post, line, which, serial, now)


def _transcript(store: Store, post: views.PostFace, args: Args, now: Now) -> Any:
    return views.transcript(
        store,
        post,
        _record(post, args),
        now,
        ours=_count(args, "ours", 0),
        theirs=_count(args, "theirs", 0),
        limit=min(_count(args, "limit", reading.PAGE), LIMIT_MAX),
        raw=_get(args, "raw", bool, False),
    )


def _off_chain(store: Store, post: views.PostFace, args: Args, now: Now) -> Any:
    after = _count(args, "after", 0)
    return views.off_chain(store, post, _record(post, args), now, after=after)


def _lines(_store: Store, post: views.PostFace, _args: Args, now: Now) -> Any:
    return views.lines(post, now)


def _status(_store: Store, post: views.PostFace, args: Args, now: Now) -> Any:
    only = _get(args, "lines", list, None)
    if only is not None and not all(isinstance(each, int) for each in only):
        raise LocalError("control.argument", name="lines")
    return views.status(post, now, only)


def _waiting(_store: Store, post: views.PostFace, args: Args, _now: Now) -> Any:
    return waiting(post, min(_count(args, "limit", WAITING_MAX), WAITING_MAX))


def _healing(store: Store, post: views.PostFace, args: Args, now: Now) -> Any:
    return views.healing(store, post, _line(post, args), now)


def _audit(store: Store, _post: views.PostFace, args: Args, _now: Now) -> Any:
    limit = min(_count(args, "limit", 100), LIMIT_MAX)
    return audited.audit(store, _count(args, "after", 0), limit)


def _card(_store: Store, post: views.PostFace, _args: Args, _now: Now) -> Any:
    card = post.card()
    if card is None:
        raise LocalError("post.not_initialised")
    return {"card": card.hex(), "words": list(words(card))}


def _voice(store: Store, post: views.PostFace, args: Args, _now: Now) -> Any:
    """What people check by voice when the alarm stands: the words of both cards, the last texts."""
    line = _line(post, args)
    state = store.state(line)
    # A line keeps the identity it was paired with when the post has got a new card since.
    own = Identity.decode(state["identity"]).card if "identity" in state else post.card()
    return {
        "ours": list(words(own or b"")),
        "theirs": list(words(state["card"])),
        "ours_last": _last(store, line, OURS),
        "theirs_last": _last(store, line, THEIRS),
    }


def _last(store: Store, line: int, side: int) -> views.View | None:
    for row in store.arrivals(line, 0, 1, side=side, kinds=[receipts.TEXT], newest=True):
        record = decode_record(row.record)
        return {"serial": str(record.serial), "dtg_group": dtg.group(record.dtg_s)}
    return None


def _anchors(store: Store, post: views.PostFace, args: Args, _now: Now) -> Any:
    """What both chains of a line start from."""
    return json.loads(store.state(_record(post, args))["anchors"])


def _records(_store: Store, post: views.PostFace, args: Args, _now: Now) -> Any:
    """The numbers of the lines under one label, oldest first but the one in charge last."""
    return post.named(post.label(_line(post, args)))


def _tape(store: Store, post: views.PostFace, args: Args, _now: Now) -> Any:
    """What is left of a line's tape."""
    state = store.state(_record(post, args))
    return {"pages": tapes.held(state), "reserve": "reserve" in state}


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
    "voice": _voice,
    "records": _records,
    "tape": _tape,
    "waiting": _waiting,
    **people_verbs.READINGS,
    **draft_verbs.READINGS,
    **file_verbs.READINGS,
    **reading_verbs.READINGS,
}
"""Verbs that only read."""


def read(store: Store, post: views.PostFace, verb: str, args: Args, now: Now) -> Any:
    """The answer to a verb of READINGS; raises LocalError."""
    return READINGS[verb](store, post, args, now)
